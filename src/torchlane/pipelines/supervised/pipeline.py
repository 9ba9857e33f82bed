"""The supervised pipeline: one function per stage.

The stage's name is the tag of its nodes, and their namespace within that of the use case, so Kedro-Viz shows a box for
each stage. Datasets stand in the namespace of the use case.
"""

from kedro.pipeline import Node, Pipeline

from torchlane.pipelines.supervised import explain_nodes, nodes
from torchlane.pipelines.supervised.page import page
from torchlane.pipelines.supervised.report import report


def create_pipeline(use_case: str) -> Pipeline:
    """Compose the stages, in the order of the flow, in the namespace of a use case."""
    figures = report()
    stages = [*_prepare(), *_tune(), *_train(), *_evaluate(), *figures, *page(figures)]
    return Pipeline(stages, namespace=use_case)


def _prepare() -> list[Node]:
    """Check the raw rows, split them, summarise them, and check that they make folds."""
    return [
        Node(
            nodes.check_rows,
            inputs=["raw_rows", "params:data"],
            outputs=["clean_rows", "rejected_rows"],
            name="check_rows",
            tags="prepare",
            namespace="prepare",
        ),
        Node(
            nodes.split_rows,
            inputs=["clean_rows", "rejected_rows", "params:data", "params:split"],
            outputs="splits",
            name="split_rows",
            tags="prepare",
            namespace="prepare",
        ),
        Node(
            explain_nodes.summarise_data,
            inputs=["clean_rows", "rejected_rows", "splits", "params:data", "params:split"],
            outputs="data_summary",
            name="summarise_data",
            tags="prepare",
            namespace="prepare",
        ),
        Node(
            nodes.check_folds,
            inputs=["clean_rows", "params:data", "params:split", "params:evaluation"],
            outputs=None,
            name="check_folds",
            tags=["prepare", "tune", "train"],  # before anything is trained, whichever stage comes first
            namespace="prepare",
        ),
    ]


def _tune() -> list[Node]:
    """Search for better options."""
    return [
        Node(
            nodes.choose_options,
            inputs=[
                "clean_rows",
                "splits",
                "studies",
                "search_checkpoints",
                "params:data",
                "params:encoding",
                "params:model",
                "params:training",
                "params:tuning",
            ],
            outputs=["chosen_options", "leaderboard", "option_importances"],
            name="choose_options",
            tags="tune",
            namespace="tune",
        ),
    ]


def _train() -> list[Node]:
    """Encode the rows and train the model."""
    return [
        Node(
            nodes.settle_recipe,
            inputs=[
                "clean_rows",
                "splits",
                "chosen_options",
                "params:data",
                "params:encoding",
                "params:model",
                "params:training",
                "params:tuning",
            ],
            outputs="recipe",
            name="settle_recipe",
            tags="train",
            namespace="train",
        ),
        Node(
            nodes.fit_encoder,
            inputs=["clean_rows", "splits", "recipe", "params:data"],
            outputs="encoder",
            name="fit_encoder",
            tags="train",
            namespace="train",
        ),
        Node(
            nodes.build_tensors,
            inputs=["clean_rows", "splits", "encoder"],
            outputs=["train_tensors", "valid_tensors", "test_tensors"],
            name="build_tensors",
            tags="train",
            namespace="train",
        ),
        Node(
            nodes.train_model,
            inputs={
                "train_tensors": "train_tensors",
                "valid_tensors": "valid_tensors",
                "encoder": "encoder",
                "clean_rows": "clean_rows",
                "recipe": "recipe",
                "checkpoints": "checkpoints",
                "data": "params:data",
                "diagnosis": "params:diagnosis",
            },
            outputs=["model", "history", "diagnosis"],
            name="train_model",
            tags="train",
            namespace="train",
        ),
        Node(
            nodes.record_provenance,
            inputs="model",
            outputs="provenance",
            name="record_provenance",
            tags="train",
            namespace="train",
        ),
    ]


def _evaluate() -> list[Node]:
    """Cross-validate, score the model on every part, explain it, and warn of what scores do not say."""
    return [
        Node(
            nodes.cross_validate,
            inputs={
                "clean_rows": "clean_rows",
                "recipe": "recipe",
                "encoder": "encoder",
                "fold_checkpoints": "fold_checkpoints",
                "data": "params:data",
                "split": "params:split",
                "evaluation": "params:evaluation",
            },
            outputs="fold_scores",
            name="cross_validate",
            tags="evaluate",
            namespace="evaluate",
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
                "recipe",
                "params:evaluation",
            ],
            outputs=["metrics", "test_predictions"],
            name="evaluate_model",
            tags="evaluate",
            namespace="evaluate",
        ),
        Node(
            explain_nodes.explain_model,
            inputs=[
                "model",
                "train_tensors",
                "valid_tensors",
                "test_tensors",
                "clean_rows",
                "splits",
                "params:evaluation",
            ],
            outputs=["feature_importances", "partial_dependence", "explanation"],
            name="explain_model",
            tags="evaluate",
            namespace="evaluate",
        ),
        Node(
            explain_nodes.list_mistakes,
            inputs=["test_predictions", "clean_rows", "params:data"],
            outputs="mistakes",
            name="list_mistakes",
            tags="evaluate",
            namespace="evaluate",
        ),
        Node(
            explain_nodes.find_failures,
            inputs=["test_predictions", "clean_rows", "params:data"],
            outputs="failures",
            name="find_failures",
            tags="evaluate",
            namespace="evaluate",
        ),
        Node(
            explain_nodes.fit_baselines,
            inputs=[
                "model",
                "train_tensors",
                "valid_tensors",
                "test_tensors",
                "clean_rows",
                "splits",
                "params:evaluation",
            ],
            outputs="baselines",
            name="fit_baselines",
            tags="evaluate",
            namespace="evaluate",
        ),
        Node(
            explain_nodes.find_warnings,
            inputs={
                "model": "model",
                "train_tensors": "train_tensors",
                "valid_tensors": "valid_tensors",
                "test_tensors": "test_tensors",
                "metrics": "metrics",
                "baselines": "baselines",
                "feature_importances": "feature_importances",
                "chosen_options": "chosen_options",
                "recipe": "recipe",
                "split": "params:split",
            },
            outputs="warnings",
            name="find_warnings",
            tags="evaluate",
            namespace="evaluate",
        ),
    ]
