"""The nodes that explain a model and its data: facts for figures, the page and warnings. Each calls core.

Each imports what it calls, because a stage waits for the libraries of no other.
"""

from typing import TYPE_CHECKING, Any

from torchlane.core.options import DataOptions, EvaluationOptions, SplitOptions

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch.utils.data import TensorDataset

    from torchlane.core.model.trained import TrainedModel
else:  # Kedro resolves all annotations of a node for the types of its options
    DataFrame = TensorDataset = TrainedModel = Any


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
