"""The nodes of the stage report. Each draws one figure of plain tables, and imports plotly only then."""

from typing import TYPE_CHECKING, Any

from torchlane.core.options import DataOptions, EvaluationOptions, Recipe

if TYPE_CHECKING:
    from pandas import DataFrame
    from plotly.graph_objects import Figure
    from torch.utils.data import TensorDataset

    from torchlane.core.model.trained import TrainedModel
    from torchlane.core.search.option_importances import OptionImportances
else:  # Kedro resolves all annotations of a node for the types of its options
    DataFrame = Figure = OptionImportances = TensorDataset = TrainedModel = Any

AUGMENTED, COPIES = 5, 4  # images, and distortions of each


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
    """Draw the measurements inside the network."""
    from torchlane.figures import layers
    from torchlane.figures.style import source_of

    return layers.plot_layers(diagnosis, source_of(metrics))


def plot_predictions(test_predictions: DataFrame, metrics: dict[str, Any], data: DataOptions) -> Figure:
    """Draw truth against prediction on test, or how the classes are confused."""
    from torchlane.figures import predictions
    from torchlane.figures.style import source_unweighted

    source, unit = source_unweighted(metrics), data.target_column.unit
    return predictions.plot_predictions(test_predictions, source, data.target, unit)


def plot_reliability(test_predictions: DataFrame, metrics: dict[str, Any], data: DataOptions) -> Figure:
    """Draw how often intervals cover the truth, or how often what is stated with a probability is so."""
    from torchlane.figures import reliability
    from torchlane.figures.style import source_unweighted

    source = source_unweighted(metrics)
    if data.task != "regression":
        return reliability.plot_probabilities(test_predictions, metrics["positive"], source)
    asked = metrics["calibration"].get("coverage_asked")
    return reliability.plot_coverage(test_predictions, asked, source, data.target, data.target_column.unit)


def plot_roc(test_predictions: DataFrame, metrics: dict[str, Any]) -> Figure:
    """Draw the recall against the false-positive rate of classes."""
    from torchlane.figures import ranking
    from torchlane.figures.style import source_unweighted

    return ranking.plot_roc(test_predictions, metrics.get("positive"), source_unweighted(metrics))


def plot_precision_recall(test_predictions: DataFrame, metrics: dict[str, Any]) -> Figure:
    """Draw the precision against the recall of classes."""
    from torchlane.figures import ranking
    from torchlane.figures.style import source_unweighted

    return ranking.plot_precision_recall(test_predictions, metrics.get("positive"), source_unweighted(metrics))


def plot_thresholds(test_predictions: DataFrame, metrics: dict[str, Any], evaluation: EvaluationOptions) -> Figure:
    """Draw what each threshold on the probability of the positive label gives and costs."""
    from torchlane.figures import thresholds
    from torchlane.figures.style import source_unweighted

    costs = (evaluation.costs.false_positive, evaluation.costs.false_negative)
    return thresholds.plot_thresholds(test_predictions, metrics.get("positive"), costs, source_unweighted(metrics))


def plot_residuals(
    test_predictions: DataFrame,
    clean_rows: DataFrame,
    feature_importances: DataFrame,
    metrics: dict[str, Any],
    data: DataOptions,
) -> Figure:
    """Draw the mistakes by size of the prediction or by label, and by groups of the strongest feature."""
    from torchlane.figures import residuals
    from torchlane.figures.features import group_by_strongest
    from torchlane.figures.style import source_unweighted

    source = source_unweighted(metrics)
    groups = group_by_strongest(test_predictions["row"], clean_rows, feature_importances, data)
    if data.task != "regression":
        return residuals.plot_mistakes_by_group(test_predictions, groups, source, data.target)
    return residuals.plot_residuals(test_predictions, groups, source, data.target, data.target_column.unit)


def plot_distributions(data_summary: dict[str, Any], feature_importances: DataFrame, data: DataOptions) -> Figure:
    """Draw how the target and the strongest features are distributed in each part."""
    from torchlane.figures import distributions
    from torchlane.figures.features import strongest

    order = strongest(feature_importances, data)
    return distributions.plot_distributions(data_summary, data.target, order, data_summary["source"])


def plot_pairs(clean_rows: DataFrame, feature_importances: DataFrame, data: DataOptions) -> Figure:
    """Draw the strongest numeric features against each other, coloured by the target."""
    from torchlane.figures import pairs
    from torchlane.figures.features import strongest_numbers

    features, source = strongest_numbers(feature_importances, data), clean_rows.attrs.get("source", data.source)
    return pairs.plot_pairs(clean_rows, features, data.target, source)


def plot_feature_importances(
    feature_importances: DataFrame, explanation: dict[str, Any], metrics: dict[str, Any]
) -> Figure:
    """Draw how much the score drops without each feature."""
    from torchlane.figures import importances
    from torchlane.figures.style import source_of

    return importances.plot_feature_importances(feature_importances, source_of(metrics), explanation["reason"])


def plot_partial_dependence(
    partial_dependence: DataFrame, explanation: dict[str, Any], metrics: dict[str, Any], data: DataOptions
) -> Figure:
    """Draw how predictions change with the strongest features."""
    from torchlane.figures import dependence
    from torchlane.figures.style import source_of

    units = {name: column.unit for name, column in data.columns.items()}
    levels = {name: column.levels for name, column in data.columns.items() if column.levels}
    source, reason = source_of(metrics), explanation["reason"]
    return dependence.plot_partial_dependence(partial_dependence, source, data.target, units, levels, reason)


def plot_mistakes(
    mistakes: DataFrame,
    test_predictions: DataFrame,
    test_tensors: TensorDataset,
    metrics: dict[str, Any],
    data: DataOptions,
) -> Figure:
    """Draw the largest mistakes, of images as pictures."""
    from torchlane.core.explaining import pictures
    from torchlane.figures import mistakes as figures
    from torchlane.figures.style import source_unweighted

    images = pictures.images_of(mistakes["row"], test_predictions, test_tensors)
    pixels = None if images is None else images.numpy()
    unit = data.target_column.unit
    return figures.plot_mistakes(
        mistakes, pixels, data.task != "regression", source_unweighted(metrics), data.target, unit
    )


def plot_augmentation(train_tensors: TensorDataset, recipe: Recipe, metrics: dict[str, Any]) -> Figure:
    """Draw images beside random distortions of them."""
    from torchlane.core.explaining import pictures as core
    from torchlane.figures import pictures
    from torchlane.figures.style import source_unweighted

    options, seed = recipe.training.augmentation, recipe.training.seed
    if options is None or not any(options.model_dump().values()):
        return pictures.plot_augmentation(None, source_unweighted(metrics))
    drawn = core.augment_some(train_tensors, options, seed, AUGMENTED, COPIES)
    return pictures.plot_augmentation(drawn.numpy(), source_unweighted(metrics))


def plot_filters(model: TrainedModel, metrics: dict[str, Any]) -> Figure:
    """Draw the filters of the first layer over pixels."""
    from torchlane.core.explaining import pictures as core
    from torchlane.figures import pictures
    from torchlane.figures.style import source_unweighted

    filters = core.first_filters(model)
    return pictures.plot_filters(None if filters is None else filters.numpy(), source_unweighted(metrics))
