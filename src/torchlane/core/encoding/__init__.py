"""Checked rows to tensors, and predictions back to the units of the raw file."""
