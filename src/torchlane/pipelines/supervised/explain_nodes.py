"""The nodes that explain a model and its data: facts for figures, the page and warnings. Each calls core.

Each imports what it calls, because a stage waits for the libraries of no other.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torchlane.core.options import (
    DataOptions,
    EvaluationOptions,
    Recipe,
    SplitOptions,
)

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor
    from torch.utils.data import TensorDataset

    from torchlane.core.model.trained import TrainedModel
else:  # Kedro resolves all annotations of a node for the types of its options
    DataFrame = Tensor = TensorDataset = TrainedModel = Any


def summarise_data(
    clean_rows: DataFrame, rejected_rows: DataFrame, splits: DataFrame, data: DataOptions, split: SplitOptions
) -> dict[str, Any]:
    """Summarise the rows and their parts; see `torchlane.core.explaining.data_summary.summarise_data`."""
    from torchlane.core.explaining import data_summary

    return data_summary.summarise_data(clean_rows, rejected_rows, splits, data, split)


def explain_model(
    model: TrainedModel,
    train_tensors: TensorDataset,
    valid_tensors: TensorDataset,
    test_tensors: TensorDataset,
    clean_rows: DataFrame,
    splits: DataFrame,
    options: EvaluationOptions,
) -> tuple[DataFrame, DataFrame, dict[str, Any]]:
    """Measure what drives the model; see `torchlane.core.explaining.explanation.explain_model`."""
    from torchlane.core.explaining import explanation
    from torchlane.core.rows.splits import PARTS

    parts = dict(zip(PARTS, (train_tensors, valid_tensors, test_tensors), strict=True))
    return explanation.explain_model(model, parts, clean_rows, splits, options)


def list_mistakes(test_predictions: DataFrame, clean_rows: DataFrame, data: DataOptions) -> DataFrame:
    """List the largest mistakes on test; see `torchlane.core.explaining.mistakes.list_mistakes`."""
    from torchlane.core.explaining import mistakes

    return mistakes.list_mistakes(test_predictions, clean_rows, data)


def find_failures(test_predictions: DataFrame, clean_rows: DataFrame, data: DataOptions) -> DataFrame:
    """List levels and ranges that are predicted worse; see `torchlane.core.explaining.failures.find_failures`."""
    from torchlane.core.explaining import failures

    return failures.find_failures(test_predictions, clean_rows, data)


def fit_baselines(
    model: TrainedModel,
    train_tensors: TensorDataset,
    valid_tensors: TensorDataset,
    test_tensors: TensorDataset,
    clean_rows: DataFrame,
    splits: DataFrame,
    options: EvaluationOptions,
) -> dict[str, Any]:
    """Fit and score a linear model of the same rows; see `torchlane.core.explaining.baselines`."""
    from torchlane.core.explaining import baselines
    from torchlane.core.rows.splits import PARTS

    parts = dict(zip(PARTS, (train_tensors, valid_tensors, test_tensors), strict=True))
    return baselines.fit_baselines(model, parts, clean_rows, splits, options)


def find_warnings(
    model: TrainedModel,
    valid_outputs: Tensor,
    train_tensors: TensorDataset,
    valid_tensors: TensorDataset,
    test_tensors: TensorDataset,
    metrics: dict[str, Any],
    baselines: dict[str, Any],
    feature_importances: DataFrame,
    chosen_options: dict[str, Any],
    recipe: Recipe,
    split: SplitOptions,
) -> dict[str, Any]:
    """Warn of what a colleague would warn of; see `torchlane.core.explaining.warnings`."""
    from torchlane.core.explaining import evidence, warnings
    from torchlane.core.rows.splits import PARTS
    from torchlane.core.search.chosen import no_change

    parts = dict(zip(PARTS, (train_tensors, valid_tensors, test_tensors), strict=True))
    chosen = chosen_options if recipe.trials or not chosen_options.get("values") else no_change()
    model = replace(model, valid_outputs=valid_outputs)
    facts = evidence.gather_evidence(model, parts, split, metrics, baselines, feature_importances, chosen)
    return warnings.find_warnings(facts)
