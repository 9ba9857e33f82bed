"""The nodes of the stage report. Each draws one figure of plain tables, and imports plotly only then."""

from typing import TYPE_CHECKING, Any

from torchlane.core.options import DataOptions

if TYPE_CHECKING:
    from pandas import DataFrame
    from plotly.graph_objects import Figure

    from torchlane.core.search.option_importances import OptionImportances
else:  # Kedro resolves all annotations of a node for the types of its options
    DataFrame = Figure = OptionImportances = Any


def plot_history(history: DataFrame, metrics: dict[str, Any]) -> Figure:
    """Draw losses and the primary metric over epochs."""
    from torchlane.figures import curves
    from torchlane.figures.style import source_of

    return curves.plot_history(history, source_of(metrics))


def plot_search(leaderboard: DataFrame, importances: OptionImportances, metrics: dict[str, Any]) -> Figure:
    """Draw the trials of the search, and how much each option mattered."""
    from torchlane.figures import trials
    from torchlane.figures.style import source_of

    return trials.plot_search(leaderboard, importances, source_of(metrics))


def plot_layers(diagnosis: dict[str, Any], metrics: dict[str, Any]) -> Figure:
    """Draw the measurements inside the network, with the findings."""
    from torchlane.figures import layers
    from torchlane.figures.style import source_of

    return layers.plot_layers(diagnosis, source_of(metrics))


def plot_predictions(test_predictions: DataFrame, metrics: dict[str, Any], data: DataOptions) -> Figure:
    """Draw truth against prediction on test."""
    from torchlane.figures import predictions

    return predictions.plot_predictions(test_predictions, metrics["data"], data.target)
