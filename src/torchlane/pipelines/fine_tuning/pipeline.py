"""The fine-tuning pipeline: one function per stage."""

from kedro.pipeline import Node, Pipeline

from torchlane.pipelines.fine_tuning import nodes
from torchlane.pipelines.steps import step


def create_pipeline(use_case: str) -> Pipeline:
    """Compose the stages, in the order of the flow, in the namespace of a use case."""
    return Pipeline([*_prepare(), *_train(), *_evaluate(), *_report()], namespace=use_case)


def _prepare() -> list[Node]:
    """Check the new rows and split them."""
    return [
        step(
            "prepare",
            nodes.check_new_rows,
            ["new_rows", "parent", "params:data", "params:fine_tuning"],
            ["new_clean_rows", "new_rejected_rows"],
        ),
        step(
            "prepare",
            nodes.split_new_rows,
            ["new_clean_rows", "new_rejected_rows", "parent", "params:data", "params:split", "params:fine_tuning"],
            "new_splits",
        ),
    ]


def _train() -> list[Node]:
    """Fine-tune the parent."""
    return [
        step(
            "train",
            nodes.fine_tune_model,
            [
                "parent",
                "new_clean_rows",
                "new_splits",
                "fine_tuning_checkpoints",
                "params:data",
                "params:encoding",
                "params:training",
                "params:fine_tuning",
            ],
            ["fine_tuned_model", "fine_tuned_history"],
        ),
    ]


def _evaluate() -> list[Node]:
    """Compare the fine-tuned model with the parent and with training from scratch, and score it."""
    return [
        step(
            "evaluate",
            nodes.compare_models,
            [
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
            "comparison_scores",
        ),
        step(
            "evaluate",
            nodes.evaluate_fine_tuned,
            [
                "parent",
                "fine_tuned_model",
                "new_clean_rows",
                "new_splits",
                "comparison_scores",
                "params:split",
                "params:fine_tuning",
                "params:evaluation",
            ],
            ["fine_tuned_metrics", "fine_tuned_predictions"],
        ),
    ]


def _report() -> list[Node]:
    """Draw the figures."""
    return [
        step(
            "report",
            nodes.plot_fine_tuned_history,
            ["fine_tuned_history", "fine_tuned_metrics"],
            "fine_tuned_history_figure",
        ),
        step("report", nodes.plot_comparison, ["comparison_scores", "fine_tuned_metrics"], "comparison_figure"),
        step(
            "report",
            nodes.plot_fine_tuned_predictions,
            ["fine_tuned_predictions", "fine_tuned_metrics", "params:data"],
            "fine_tuned_predictions_figure",
        ),
    ]
