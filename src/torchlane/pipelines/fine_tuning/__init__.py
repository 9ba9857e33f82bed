"""A trained model and new rows to a fine-tuned model, and whether that paid."""

from torchlane.pipelines.fine_tuning.pipeline import create_pipeline

__all__ = ["create_pipeline"]
