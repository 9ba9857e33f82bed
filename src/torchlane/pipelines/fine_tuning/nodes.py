"""The nodes of the fine-tuning pipeline. Each unpacks its inputs and calls core, which it imports when it runs."""

from typing import TYPE_CHECKING, Any, Protocol

from torchlane.core.machine.checkpoints import CheckpointStore
from torchlane.core.options import (
    DataOptions,
    EncodingOptions,
    EvaluationOptions,
    FineTuningOptions,
    ModelOptions,
    Recipe,
    SplitOptions,
    TrainingOptions,
)

if TYPE_CHECKING:
    from pandas import DataFrame
    from plotly.graph_objects import Figure

    from torchlane.core.model.trained import TrainedModel
else:  # Kedro resolves all annotations of a node for the types of its options
    DataFrame = Figure = TrainedModel = Any


class ParentStore(Protocol):
    """A store of parent models and their rows; see `torchlane.datasets.parents`."""

    def model(self, path: str | None) -> TrainedModel:
        """Read the model at `path`, or the model of the use case if `path` is None."""

    def rows(self, path: str | None) -> DataFrame | None:
        """Read the rows that the model was trained and tested on; None if they are not beside it."""


def check_new_rows(
    new_rows: DataFrame, parent: ParentStore, data: DataOptions, fine_tuning: FineTuningOptions
) -> tuple[DataFrame, DataFrame]:
    """Separate clean new rows from rejected ones; see `torchlane.core.transfer.check_new_rows`."""
    from torchlane.core import transfer

    return transfer.check_new_rows(new_rows, parent.model(fine_tuning.parent), data, fine_tuning)


def split_new_rows(
    new_clean_rows: DataFrame,
    new_rejected_rows: DataFrame,
    parent: ParentStore,
    data: DataOptions,
    split: SplitOptions,
    fine_tuning: FineTuningOptions,
) -> DataFrame:
    """Assign each new row to a part, unless too many were rejected; see `torchlane.core.transfer.split_new_rows`."""
    from torchlane.core import transfer
    from torchlane.core.rows import checking as rows

    rows.check_rejections(new_clean_rows, new_rejected_rows, data)
    adapted = transfer.data_for(parent.model(fine_tuning.parent), data, fine_tuning)
    return transfer.split_new_rows(new_clean_rows, adapted, split, fine_tuning)


def fine_tune_model(
    parent: ParentStore,
    new_clean_rows: DataFrame,
    new_splits: DataFrame,
    fine_tuning_checkpoints: CheckpointStore,
    data: DataOptions,
    encoding: EncodingOptions,
    training: TrainingOptions,
    fine_tuning: FineTuningOptions,
) -> tuple[TrainedModel, DataFrame]:
    """Continue the training of the parent's members; see `torchlane.core.transfer.fine_tune`."""
    from torchlane.core import transfer

    model, source = parent.model(fine_tuning.parent), new_clean_rows.attrs["source"]
    lesson = transfer.make_lesson(model, new_clean_rows, new_splits, data, encoding, training, fine_tuning)
    (tuned,) = transfer.fine_tune(model, [lesson], data, fine_tuning, fine_tuning_checkpoints, source)
    return tuned


def compare_models(
    parent: ParentStore,
    fine_tuned_model: TrainedModel,
    new_clean_rows: DataFrame,
    new_splits: DataFrame,
    comparison_checkpoints: CheckpointStore,
    data: DataOptions,
    split: SplitOptions,
    encoding: EncodingOptions,
    model: ModelOptions,
    training: TrainingOptions,
    fine_tuning: FineTuningOptions,
) -> DataFrame:
    """Score parent, scratch and fine-tuned over several splits; see `torchlane.core.transfer.comparison.compare`."""
    import pandas as pd

    from torchlane.core.transfer import comparison

    lines = comparison.compare(
        parent.model(fine_tuning.parent),
        fine_tuned_model,
        new_clean_rows,
        new_splits,
        data,
        split,
        Recipe(encoding=encoding, model=model, training=training),
        fine_tuning,
        comparison_checkpoints,
    )
    return pd.DataFrame(lines)


def evaluate_fine_tuned(
    parent: ParentStore,
    fine_tuned_model: TrainedModel,
    new_clean_rows: DataFrame,
    new_splits: DataFrame,
    comparison_scores: DataFrame,
    split: SplitOptions,
    fine_tuning: FineTuningOptions,
    evaluation_options: EvaluationOptions,
) -> tuple[dict[str, Any], DataFrame]:
    """Score the parts of the new rows, and report the gain over the parent and what was forgotten."""
    from torchlane.core import transfer
    from torchlane.core.encoding import tensors
    from torchlane.core.judging import evaluation
    from torchlane.core.rows import splits
    from torchlane.core.transfer import comparison

    parts = {
        part: tensors.build_tensors(splits.rows_of(part, new_clean_rows, new_splits), fine_tuned_model.encoder)
        for part in splits.PARTS
    }
    coverage, named = evaluation_options.coverage, evaluation_options.metrics
    own_split = transfer.split_for(split, fine_tuning)
    metrics, listed = evaluation.evaluate(
        fine_tuned_model, parts, new_clean_rows, new_splits, coverage, split=own_split, named=named
    )
    own, old = parent.model(fine_tuning.parent), parent.rows(fine_tuning.parent)
    verdict = comparison.judge(own, fine_tuned_model, new_clean_rows, new_splits, comparison_scores, old)
    return {**metrics, **verdict}, listed


def plot_fine_tuned_history(fine_tuned_history: DataFrame, metrics: dict[str, Any]) -> Figure:
    """Draw losses and the primary metric over epochs of fine-tuning."""
    from torchlane.figures import curves
    from torchlane.figures.style import source_of

    return curves.plot_history(fine_tuned_history, source_of(metrics))


def plot_comparison(comparison_scores: DataFrame, metrics: dict[str, Any]) -> Figure:
    """Draw the scores of parent, scratch and fine-tuned on the held-out new rows."""
    from torchlane.figures import comparisons

    return comparisons.plot_comparison(comparison_scores, metrics)


def plot_fine_tuned_predictions(
    fine_tuned_predictions: DataFrame, metrics: dict[str, Any], data: DataOptions
) -> Figure:
    """Draw truth against prediction on the held-out new rows."""
    from torchlane.figures import predictions
    from torchlane.figures.style import source_unweighted

    source, unit = source_unweighted(metrics), data.target_column.unit
    return predictions.plot_predictions(fine_tuned_predictions, source, data.target, unit)
