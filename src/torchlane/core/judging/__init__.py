"""Evaluation, cross-validation, and the diagnosis of a training."""
