"""The fine-tuning pipeline: one function per stage, and the stage's name is the tag of its nodes."""

from kedro.pipeline import Node, Pipeline

from torchlane.pipelines.fine_tuning import nodes


def create_pipeline(use_case: str) -> Pipeline:
    """Compose the stages, in the order of the flow, in the namespace of a use case."""
    return Pipeline([*_prepare(), *_train(), *_evaluate(), *_report()], namespace=use_case)


def _prepare() -> list[Node]:
    """Check the new rows and split them."""
    return [
        Node(
            nodes.check_new_rows,
            inputs=["new_rows", "parent", "params:data", "params:fine_tuning"],
            outputs=["new_clean_rows", "new_rejected_rows"],
            name="check_new_rows",
            tags="prepare",
            namespace="prepare",
        ),
        Node(
            nodes.split_new_rows,
            inputs=[
                "new_clean_rows",
                "new_rejected_rows",
                "parent",
                "params:data",
                "params:split",
                "params:fine_tuning",
            ],
            outputs="new_splits",
            name="split_new_rows",
            tags="prepare",
            namespace="prepare",
        ),
    ]


def _train() -> list[Node]:
    """Fine-tune the parent."""
    return [
        Node(
            nodes.fine_tune_model,
            inputs=[
                "parent",
                "new_clean_rows",
                "new_splits",
                "fine_tuning_checkpoints",
                "params:data",
                "params:encoding",
                "params:training",
                "params:fine_tuning",
            ],
            outputs=["fine_tuned_model", "fine_tuned_history"],
            name="fine_tune_model",
            tags="train",
            namespace="train",
        ),
    ]


def _evaluate() -> list[Node]:
    """Compare the fine-tuned model with the parent and with training from scratch, and score it."""
    return [
        Node(
            nodes.compare_models,
            inputs=[
                "parent",
                "fine_tuned_model",
                "new_clean_rows",
                "new_splits",
                "comparison_checkpoints",
                "params:data",
                "params:split",
                "params:encoding",
                "params:model",
                "params:training",
                "params:fine_tuning",
            ],
            outputs="comparison_scores",
            name="compare_models",
            tags="evaluate",
            namespace="evaluate",
        ),
        Node(
            nodes.evaluate_fine_tuned,
            inputs=[
                "parent",
                "fine_tuned_model",
                "new_clean_rows",
                "new_splits",
                "comparison_scores",
                "params:fine_tuning",
                "params:evaluation",
            ],
            outputs=["fine_tuned_metrics", "fine_tuned_predictions"],
            name="evaluate_fine_tuned",
            tags="evaluate",
            namespace="evaluate",
        ),
    ]


def _report() -> list[Node]:
    """Draw the figures."""
    return [
        Node(
            nodes.plot_fine_tuned_history,
            inputs=["fine_tuned_history", "fine_tuned_metrics"],
            outputs="fine_tuned_history_figure",
            name="plot_fine_tuned_history",
            tags="report",
            namespace="report",
        ),
        Node(
            nodes.plot_comparison,
            inputs=["comparison_scores", "fine_tuned_metrics"],
            outputs="comparison_figure",
            name="plot_comparison",
            tags="report",
            namespace="report",
        ),
        Node(
            nodes.plot_fine_tuned_predictions,
            inputs=["fine_tuned_predictions", "fine_tuned_metrics", "params:data"],
            outputs="fine_tuned_predictions_figure",
            name="plot_fine_tuned_predictions",
            tags="report",
            namespace="report",
        ),
    ]
