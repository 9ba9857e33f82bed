"""The fine-tuning pipeline: from a trained model and new rows to a fine-tuned model and its comparison."""

from torchlane.pipelines.fine_tuning.pipeline import create_pipeline

__all__ = ["create_pipeline"]
