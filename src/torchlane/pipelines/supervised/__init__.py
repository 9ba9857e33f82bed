"""The supervised pipeline: from raw rows to an evaluated model and its report."""

from torchlane.pipelines.supervised.pipeline import create_pipeline

__all__ = ["create_pipeline"]
