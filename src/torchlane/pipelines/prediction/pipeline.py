"""The prediction pipeline, step by step."""

from kedro.pipeline import Pipeline

from torchlane.pipelines.prediction import nodes
from torchlane.pipelines.steps import step


def create_pipeline(use_case: str) -> Pipeline:
    """Compose the pipeline in the namespace of a use case."""
    return Pipeline(
        [
            step(
                "predict",
                nodes.score_files,
                ["inbox", "ledger", "predictions", "model", "params:prediction", "params:evaluation"],
                ["scoring", "scored"],  # `scored` is in memory, because another job may overwrite the file
            ),
            step("predict", nodes.collect_drift, ["scoring", "ledger", "params:prediction"], "drift"),
            step("predict", nodes.plot_drift, ["drift", "ledger"], "drift_by_file_figure"),
            step(
                "predict",
                nodes.score_outcomes,
                ["scoring", "outcomes", "ledger", "predictions", "model", "params:prediction"],
                "live_metrics",
            ),
        ],
        namespace=use_case,
    )
