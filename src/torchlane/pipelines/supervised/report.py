"""The stage report of the supervised pipeline: a line for each figure, then the page and the model card."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node

from torchlane.pipelines.supervised import page_nodes
from torchlane.pipelines.supervised import report_nodes as nodes

FACTS = (
    *("data_summary", "provenance", "history", "diagnosis", "metrics", "explanation", "feature_importances"),
    *("baselines", "warnings", "mistakes", "failures", "recipe"),
    *("leaderboard", "chosen_options", "option_importances"),
)
OPTIONS = ("data", "split", "tuning", "evaluation", "diagnosis")


def report() -> list[Node]:
    """Draw the figures, gather the facts, and write both up."""
    figures = _figures()
    facts = {name: name for name in FACTS} | {f"{section}_options": f"params:{section}" for section in OPTIONS}
    shown = {name: name for figure in figures for name in figure.outputs}
    return [
        *figures,
        _node(page_nodes.gather_facts, facts, "facts"),
        _node(page_nodes.write_report, {"facts": "facts", **shown}, "report"),
        _node(page_nodes.write_model_card, {"facts": "facts"}, "model_card"),
    ]


def _figures() -> list[Node]:
    return [
        _figure(nodes.plot_history, "history", "metrics"),
        _figure(nodes.plot_search, "leaderboard", "option_importances", "metrics"),
        _figure(nodes.plot_layers, "diagnosis", "metrics"),
        _figure(nodes.plot_predictions, "test_predictions", "metrics", "params:data"),
        _figure(nodes.plot_reliability, "test_predictions", "metrics", "params:data"),
        _figure(nodes.plot_roc, "test_predictions", "metrics"),
        _figure(nodes.plot_precision_recall, "test_predictions", "metrics"),
        _figure(nodes.plot_thresholds, "test_predictions", "metrics", "params:evaluation"),
        _figure(nodes.plot_feature_importances, "feature_importances", "metrics"),
        _figure(nodes.plot_partial_dependence, "partial_dependence", "metrics", "params:data"),
        _figure(nodes.plot_mistakes, "mistakes", "test_predictions", "test_tensors", "metrics", "params:data"),
        _figure(nodes.plot_augmentation, "train_tensors", "recipe", "metrics"),
        _figure(nodes.plot_filters, "model", "metrics"),
    ]


def _figure(draw: Callable[..., Any], *inputs: str) -> Node:
    """Draw a figure, which has the name of what it shows: `plot_history` makes `history_figure`."""
    figure = f"{draw.__name__.removeprefix('plot_')}_figure"
    return _node(draw, list(inputs), figure)


def _node(function: Callable[..., Any], inputs: list[str] | dict[str, str], output: str) -> Node:
    return Node(function, inputs=inputs, outputs=output, name=function.__name__, tags="report", namespace="report")
