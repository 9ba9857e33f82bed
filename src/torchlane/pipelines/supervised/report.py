"""The stage report of the supervised pipeline: a line for each figure."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node

from torchlane.pipelines.steps import step
from torchlane.pipelines.supervised import report_nodes as nodes


def report() -> list[Node]:
    """Draw the figures."""
    return [
        _figure(nodes.plot_history, "history", "metrics"),
        _figure(nodes.plot_search, "leaderboard", "option_importances", "metrics"),
        _figure(nodes.plot_layers, "diagnosis", "metrics"),
        _figure(nodes.plot_predictions, "test_predictions", "metrics", "params:data"),
        _figure(nodes.plot_reliability, "test_predictions", "metrics", "params:data"),
        _figure(nodes.plot_roc, "test_predictions", "metrics"),
        _figure(nodes.plot_precision_recall, "test_predictions", "metrics"),
        _figure(nodes.plot_thresholds, "test_predictions", "metrics", "params:evaluation"),
        _figure(
            nodes.plot_residuals, "test_predictions", "clean_rows", "feature_importances", "metrics", "params:data"
        ),
        _figure(nodes.plot_distributions, "data_summary", "feature_importances", "params:data"),
        _figure(nodes.plot_pairs, "clean_rows", "feature_importances", "params:data"),
        _figure(nodes.plot_feature_importances, "feature_importances", "explanation", "metrics"),
        _figure(nodes.plot_partial_dependence, "partial_dependence", "explanation", "metrics", "params:data"),
        _figure(nodes.plot_mistakes, "mistakes", "test_predictions", "test_tensors", "metrics", "params:data"),
        _figure(nodes.plot_augmentation, "train_tensors", "recipe", "metrics"),
        _figure(nodes.plot_filters, "model", "metrics"),
    ]


def _figure(draw: Callable[..., Any], *inputs: str) -> Node:
    """Draw a figure, which has the name of what it shows: `plot_history` makes `history_figure`."""
    figure = f"{draw.__name__.removeprefix('plot_')}_figure"
    return step("report", draw, list(inputs), figure)
