"""The supervised pipeline, step by step; the tags are its stages."""

from kedro.pipeline import Node, Pipeline

from torchlane.pipelines.supervised import nodes


def create_pipeline(use_case: str) -> Pipeline:
    """Compose the pipeline in the namespace of a use case."""
    return Pipeline(
        [
            Node(
                nodes.check_rows,
                inputs=["raw_rows", "params:data"],
                outputs=["clean_rows", "rejected_rows"],
                name="check_rows",
                tags="prepare",
            ),
            Node(
                nodes.split_rows,
                inputs=["clean_rows", "rejected_rows", "params:data", "params:split"],
                outputs="splits",
                name="split_rows",
                tags="prepare",
            ),
            Node(
                nodes.fit_encoder,
                inputs=["clean_rows", "splits", "params:data", "params:encoding"],
                outputs="encoder",
                name="fit_encoder",
                tags="prepare",
            ),
            Node(
                nodes.build_tensors,
                inputs=["clean_rows", "splits", "encoder"],
                outputs=["train_tensors", "valid_tensors", "test_tensors"],
                name="build_tensors",
                tags="prepare",
            ),
            Node(
                nodes.choose_options,
                inputs=["train_tensors", "params:tuning"],
                outputs="chosen_options",
                name="choose_options",
                tags="tune",
            ),
            Node(
                nodes.train_model,
                inputs={
                    "train_tensors": "train_tensors",
                    "valid_tensors": "valid_tensors",
                    "encoder": "encoder",
                    "clean_rows": "clean_rows",
                    "chosen_options": "chosen_options",
                    "checkpoints": "checkpoints",
                    "data": "params:data",
                    "model": "params:model",
                    "training": "params:training",
                    "diagnosis": "params:diagnosis",
                },
                outputs=["model", "history", "diagnosis"],
                name="train_model",
                tags="train",
            ),
            Node(
                nodes.cross_validate,
                inputs={
                    "clean_rows": "clean_rows",
                    "train_tensors": "train_tensors",
                    "chosen_options": "chosen_options",
                    "fold_checkpoints": "fold_checkpoints",
                    "data": "params:data",
                    "split": "params:split",
                    "encoding": "params:encoding",
                    "model": "params:model",
                    "training": "params:training",
                    "evaluation": "params:evaluation",
                },
                outputs="fold_scores",
                name="cross_validate",
                tags="evaluate",
            ),
            Node(
                nodes.evaluate_model,
                inputs=[
                    "model",
                    "train_tensors",
                    "valid_tensors",
                    "test_tensors",
                    "clean_rows",
                    "splits",
                    "fold_scores",
                    "params:evaluation",
                ],
                outputs=["metrics", "test_predictions"],
                name="evaluate_model",
                tags="evaluate",
            ),
            Node(
                nodes.plot_history,
                inputs=["history", "metrics"],
                outputs="history_figure",
                name="plot_history",
                tags="report",
            ),
            Node(
                nodes.plot_layers,
                inputs=["diagnosis", "metrics"],
                outputs="layers_figure",
                name="plot_layers",
                tags="report",
            ),
            Node(
                nodes.plot_predictions,
                inputs=["test_predictions", "metrics"],
                outputs="predictions_figure",
                name="plot_predictions",
                tags="report",
            ),
        ],
        namespace=use_case,
    )
