"""The supervised pipeline: one function per stage."""

from kedro.pipeline import Node, Pipeline

from torchlane.pipelines.steps import step
from torchlane.pipelines.supervised import explain_nodes, nodes
from torchlane.pipelines.supervised.page import page
from torchlane.pipelines.supervised.report import report

TENSORS = ["train_tensors", "valid_tensors", "test_tensors"]
RECIPE = ["params:data", "params:encoding", "params:model", "params:training", "params:tuning"]


def create_pipeline(use_case: str) -> Pipeline:
    """Compose the stages, in the order of the flow, in the namespace of a use case."""
    figures = report()
    stages = [*_prepare(), *_tune(), *_train(), *_evaluate(), *figures, *page(figures)]
    return Pipeline(stages, namespace=use_case)


def _prepare() -> list[Node]:
    """Check the raw rows, split them, summarise them, and check that they make folds."""
    return [
        step("prepare", nodes.check_rows, ["raw_rows", "params:data"], ["clean_rows", "rejected_rows"]),
        step("prepare", nodes.split_rows, ["clean_rows", "rejected_rows", "params:data", "params:split"], "splits"),
        step(
            "prepare",
            explain_nodes.summarise_data,
            ["clean_rows", "rejected_rows", "splits", "params:data", "params:split"],
            "data_summary",
        ),
        step(
            "prepare",
            nodes.check_folds,
            ["clean_rows", "params:data", "params:split", "params:evaluation"],
            None,
            also=["tune", "train"],  # before anything is trained, whichever stage comes first
        ),
    ]


def _tune() -> list[Node]:
    """Search for better options."""
    return [
        step(
            "tune",
            nodes.choose_options,
            ["clean_rows", "splits", "studies", "search_checkpoints", *RECIPE],
            ["chosen_options", "leaderboard", "option_importances"],
        ),
    ]


def _train() -> list[Node]:
    """Encode the rows and train the model."""
    return [
        step("train", nodes.settle_recipe, ["clean_rows", "splits", "chosen_options", *RECIPE], "recipe"),
        step("train", nodes.fit_encoder, ["clean_rows", "splits", "recipe", "params:data"], "encoder"),
        step("train", nodes.build_tensors, ["clean_rows", "splits", "encoder"], TENSORS),
        step(
            "train",
            nodes.train_model,
            {
                "train_tensors": "train_tensors",
                "valid_tensors": "valid_tensors",
                "encoder": "encoder",
                "clean_rows": "clean_rows",
                "recipe": "recipe",
                "checkpoints": "checkpoints",
                "data": "params:data",
                "diagnosis": "params:diagnosis",
            },
            ["model", "valid_outputs", "history", "diagnosis"],
        ),
        step("train", nodes.record_provenance, "model", "provenance"),
    ]


def _evaluate() -> list[Node]:
    """Cross-validate, score the model on every part, explain it, and warn of what scores do not say."""
    parts = ["model", *TENSORS, "clean_rows", "splits"]
    return [
        step(
            "evaluate",
            nodes.cross_validate,
            {
                "clean_rows": "clean_rows",
                "recipe": "recipe",
                "encoder": "encoder",
                "fold_checkpoints": "fold_checkpoints",
                "data": "params:data",
                "split": "params:split",
                "evaluation": "params:evaluation",
            },
            "fold_scores",
        ),
        step(
            "evaluate",
            nodes.evaluate_model,
            ["model", "valid_outputs", *parts[1:], "fold_scores", "recipe", "params:split", "params:evaluation"],
            ["metrics", "test_predictions"],
        ),
        step(
            "evaluate",
            explain_nodes.explain_model,
            [*parts, "params:evaluation"],
            ["feature_importances", "partial_dependence", "explanation"],
        ),
        step("evaluate", explain_nodes.list_mistakes, ["test_predictions", "clean_rows", "params:data"], "mistakes"),
        step("evaluate", explain_nodes.find_failures, ["test_predictions", "clean_rows", "params:data"], "failures"),
        step("evaluate", explain_nodes.fit_baselines, [*parts, "params:evaluation"], "baselines"),
        step(
            "evaluate",
            explain_nodes.find_warnings,
            [
                *(
                    "model",
                    "valid_outputs",
                    *TENSORS,
                    "metrics",
                    "baselines",
                    "feature_importances",
                    "chosen_options",
                    "recipe",
                ),
                "params:split",
            ],
            "warnings",
        ),
    ]
