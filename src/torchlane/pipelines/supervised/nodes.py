"""The nodes of the supervised pipeline up to the report. Each unpacks its inputs and calls core.

Each imports what it calls, because a stage waits for the libraries of no other, and a list of pipelines for none.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torchlane.core.machine.checkpoints import CheckpointStore
from torchlane.core.options import (
    DataOptions,
    DiagnosisOptions,
    EncodingOptions,
    EvaluationOptions,
    ModelOptions,
    Recipe,
    SplitOptions,
    TrainingOptions,
    TuningOptions,
)

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor
    from torch.utils.data import TensorDataset

    from torchlane.core.encoding.encoder import Encoder
    from torchlane.core.model.trained import TrainedModel
    from torchlane.core.search.option_importances import OptionImportances
    from torchlane.core.search.store import StudyStore
else:  # Kedro resolves all annotations of a node for the types of its options
    DataFrame = Encoder = OptionImportances = StudyStore = Tensor = TensorDataset = TrainedModel = Any


def check_rows(raw_rows: DataFrame, data: DataOptions) -> tuple[DataFrame, DataFrame]:
    """Separate clean rows from rejected ones; see `torchlane.core.rows.checking.check_rows`."""
    from torchlane.core.rows import checking as rows

    return rows.check_rows(raw_rows, data)


def split_rows(clean_rows: DataFrame, rejected_rows: DataFrame, data: DataOptions, split: SplitOptions) -> DataFrame:
    """Assign each row to a part, unless too many were rejected; see `torchlane.core.rows.splits.split_rows`."""
    from torchlane.core.rows import checking as rows
    from torchlane.core.rows import splits as splitting

    rows.check_rejections(clean_rows, rejected_rows, data)
    return splitting.split_rows(clean_rows, data, split)


def check_folds(clean_rows: DataFrame, data: DataOptions, split: SplitOptions, options: EvaluationOptions) -> None:
    """Check the folds of cross-validation; see `torchlane.core.rows.folds.require_folds`."""
    from torchlane.core.rows import folds

    folds.require_folds(clean_rows, data, split, options)


def choose_options(
    clean_rows: DataFrame,
    splits: DataFrame,
    studies: StudyStore,
    search_checkpoints: CheckpointStore,
    data: DataOptions,
    encoding: EncodingOptions,
    model: ModelOptions,
    training: TrainingOptions,
    options: TuningOptions,
) -> tuple[dict[str, Any], DataFrame, OptionImportances]:
    """Search for better options; see `torchlane.core.search.search.choose_options`."""
    from torchlane.core.search import search
    from torchlane.core.search.ground import Ground

    recipe = Recipe(encoding=encoding, model=model, training=training)
    ground = Ground(clean_rows, splits, data, recipe, options)
    return search.choose_options(ground, studies, search_checkpoints)


def settle_recipe(
    clean_rows: DataFrame,
    splits: DataFrame,
    chosen_options: dict[str, Any],
    data: DataOptions,
    encoding: EncodingOptions,
    model: ModelOptions,
    training: TrainingOptions,
    options: TuningOptions,
) -> Recipe:
    """Merge the given options with those that the search chose; see `torchlane.core.search.chosen`."""
    from torchlane.core.search import chosen

    recipe = Recipe(encoding=encoding, model=model, training=training)
    return chosen.apply_chosen(chosen_options, clean_rows, splits, data, recipe, options)


def fit_encoder(clean_rows: DataFrame, splits: DataFrame, recipe: Recipe, data: DataOptions) -> Encoder:
    """Fit the encoder to train; see `torchlane.core.encoding.encoder.fit_encoder`."""
    from torchlane.core.encoding import encoder as encoders
    from torchlane.core.rows.splits import rows_of

    return encoders.fit_encoder(rows_of("train", clean_rows, splits), data, recipe.encoding)


def build_tensors(clean_rows: DataFrame, splits: DataFrame, encoder: Encoder) -> tuple[TensorDataset, ...]:
    """Encode the parts: the tensors of train, valid and test."""
    from torchlane.core.encoding import tensors
    from torchlane.core.rows.splits import PARTS, rows_of

    return tuple(tensors.build_tensors(rows_of(part, clean_rows, splits), encoder) for part in PARTS)


def train_model(
    train_tensors: TensorDataset,
    valid_tensors: TensorDataset,
    encoder: Encoder,
    clean_rows: DataFrame,
    recipe: Recipe,
    checkpoints: CheckpointStore,
    data: DataOptions,
    diagnosis: DiagnosisOptions,
) -> tuple[TrainedModel, Tensor, DataFrame, dict[str, Any]]:
    """Train a model and diagnose the training; see `learning.train_model` and `diagnosis.diagnose`."""
    from torchlane.core.judging.diagnosis import diagnose
    from torchlane.core.model import learning
    from torchlane.core.training.observation import Observer

    source = clean_rows.attrs["source"]
    lesson = learning.Lesson(train_tensors, valid_tensors, encoder, recipe.training)
    observer = Observer(diagnosis)
    trained, history = learning.train_model(lesson, data, recipe.model, checkpoints, source, observer)
    diagnosis_of_run = diagnose(observer, history, encoder.target, trained.details["capacity"])
    return trained, trained.valid_outputs, history, diagnosis_of_run


def record_provenance(model: TrainedModel) -> dict[str, Any]:
    """Record what the model was made from, now that it is trained; see `torchlane.core.model.provenance`."""
    from torchlane.core.model import provenance

    return provenance.describe_provenance(model)


def cross_validate(
    clean_rows: DataFrame,
    recipe: Recipe,
    encoder: Encoder,
    fold_checkpoints: CheckpointStore,
    data: DataOptions,
    split: SplitOptions,
    evaluation: EvaluationOptions,
) -> DataFrame:
    """Train and score a model for each fold; see `torchlane.core.judging.cross_validation.cross_validate`."""
    from torchlane.core.judging import cross_validation

    data = encoder.target.keep_positive(data)
    return cross_validation.cross_validate(clean_rows, data, split, recipe, evaluation, fold_checkpoints)


def evaluate_model(
    model: TrainedModel,
    valid_outputs: Tensor,
    train_tensors: TensorDataset,
    valid_tensors: TensorDataset,
    test_tensors: TensorDataset,
    clean_rows: DataFrame,
    splits: DataFrame,
    fold_scores: DataFrame,
    recipe: Recipe,
    split: SplitOptions,
    options: EvaluationOptions,
) -> tuple[dict[str, Any], DataFrame]:
    """Score all parts; see `torchlane.core.judging.evaluation.evaluate`."""
    from torchlane.core.judging import cross_validation, evaluation
    from torchlane.core.rows.splits import PARTS

    parts = dict(zip(PARTS, (train_tensors, valid_tensors, test_tensors), strict=True))
    metrics, test_predictions = evaluation.evaluate(
        replace(model, valid_outputs=valid_outputs),
        parts,
        clean_rows,
        splits,
        options.coverage,
        split=split,
        named=options.metrics,
    )
    folds = cross_validation.summarise_folds(fold_scores, recipe.trials, split.order_by)
    return {**metrics, "cross_validation": folds}, test_predictions
