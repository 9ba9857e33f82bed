"""From files that arrive in an inbox to predictions, drift and live metrics."""

from torchlane.pipelines.prediction.pipeline import create_pipeline

__all__ = ["create_pipeline"]
