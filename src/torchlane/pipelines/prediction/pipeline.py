"""The prediction pipeline, step by step."""

from kedro.pipeline import Node, Pipeline

from torchlane.pipelines.prediction import nodes


def create_pipeline(use_case: str) -> Pipeline:
    """Compose the pipeline in the namespace of a use case."""
    return Pipeline(
        [
            Node(
                nodes.score_files,
                inputs=["inbox", "ledger", "predictions", "model", "params:prediction", "params:evaluation"],
                outputs=["scoring", "scored"],  # `scored` is in memory, because another job may overwrite the file
                name="score_files",
                tags="predict",
                namespace="predict",
            ),
            Node(
                nodes.collect_drift,
                inputs=["scoring", "ledger", "params:prediction"],
                outputs="drift",
                name="collect_drift",
                tags="predict",
                namespace="predict",
            ),
            Node(
                nodes.plot_drift,
                inputs=["drift", "ledger"],
                outputs="drift_by_file_figure",
                name="plot_drift",
                tags="predict",
                namespace="predict",
            ),
            Node(
                nodes.score_outcomes,
                inputs=["scoring", "outcomes", "ledger", "predictions", "model", "params:prediction"],
                outputs="live_metrics",
                name="score_outcomes",
                tags="predict",
                namespace="predict",
            ),
        ],
        namespace=use_case,
    )
