"""The steps of the supervised pipeline: unpack, call core, return."""

from typing import Any

import pandas as pd
from plotly.graph_objects import Figure
from torch.utils.data import TensorDataset

from torchlane.core import cross_validation, encoders, evaluation, learning, rows, splits, tensors, tuning
from torchlane.core.checkpoints import CheckpointStore
from torchlane.core.diagnosis import diagnose
from torchlane.core.encoders import Encoder
from torchlane.core.inference import TrainedModel
from torchlane.core.observation import Observer
from torchlane.core.options import (
    DataOptions,
    DiagnosisOptions,
    EncodingOptions,
    EvaluationOptions,
    ModelOptions,
    SplitOptions,
    TrainingOptions,
    TuningOptions,
)
from torchlane.figures import curves, layers, predictions


def check_rows(raw_rows: pd.DataFrame, data: DataOptions) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part clean rows from rejected ones; see `torchlane.core.rows.check_rows`."""
    return rows.check_rows(raw_rows, data)


def split_rows(
    clean_rows: pd.DataFrame, rejected_rows: pd.DataFrame, data: DataOptions, split: SplitOptions
) -> pd.DataFrame:
    """Give each row its part, unless too many were rejected; see `torchlane.core.splits.split_rows`."""
    rows.check_rejections(clean_rows, rejected_rows, data)
    return splits.split_rows(clean_rows, data, split)


def fit_encoder(clean_rows: pd.DataFrame, split: pd.DataFrame, data: DataOptions, encoding: EncodingOptions) -> Encoder:
    """Learn the encoding from train alone; see `torchlane.core.encoders.fit_encoder`."""
    return encoders.fit_encoder(splits.rows_of("train", clean_rows, split), data, encoding)


def build_tensors(clean_rows: pd.DataFrame, split: pd.DataFrame, encoder: Encoder) -> tuple[TensorDataset, ...]:
    """Encode the parts: the tensors of train, valid and test."""
    return tuple(tensors.build_tensors(splits.rows_of(part, clean_rows, split), encoder) for part in splits.PARTS)


def choose_options(train_tensors: TensorDataset, options: TuningOptions) -> dict[str, Any]:
    """Search for better options; see `torchlane.core.tuning.choose_options`."""
    return tuning.choose_options(train_tensors, options)


def train_model(
    train_tensors: TensorDataset,
    valid_tensors: TensorDataset,
    encoder: Encoder,
    clean_rows: pd.DataFrame,
    chosen_options: dict[str, Any],
    checkpoints: CheckpointStore,
    data: DataOptions,
    model: ModelOptions,
    training: TrainingOptions,
    diagnosis: DiagnosisOptions,
) -> tuple[TrainedModel, pd.DataFrame, dict[str, Any]]:
    """Train with the chosen options, and say what is wrong; see `learning.train_model` and `diagnosis.diagnose`."""
    model, training = tuning.apply_chosen(chosen_options, train_tensors, model, training)
    source = clean_rows.attrs["source"]
    lesson = learning.Lesson(train_tensors, valid_tensors, encoder, training)
    observer = Observer(diagnosis)
    trained, history = learning.train_model(lesson, data, model, checkpoints, source, observer)
    return trained, history, diagnose(observer, history, encoder.target, trained.details["capacity"])


def cross_validate(
    clean_rows: pd.DataFrame,
    train_tensors: TensorDataset,
    chosen_options: dict[str, Any],
    fold_checkpoints: CheckpointStore,
    data: DataOptions,
    split: SplitOptions,
    encoding: EncodingOptions,
    model: ModelOptions,
    training: TrainingOptions,
    evaluation: EvaluationOptions,
) -> pd.DataFrame:
    """Train and score a model a fold; see `torchlane.core.cross_validation.cross_validate`."""
    model, training = tuning.apply_chosen(chosen_options, train_tensors, model, training)
    return cross_validation.cross_validate(
        clean_rows, data, split, encoding, model, training, evaluation, fold_checkpoints
    )


def evaluate_model(
    model: TrainedModel,
    train_tensors: TensorDataset,
    valid_tensors: TensorDataset,
    test_tensors: TensorDataset,
    clean_rows: pd.DataFrame,
    split: pd.DataFrame,
    fold_scores: pd.DataFrame,
    options: EvaluationOptions,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Score all parts; see `torchlane.core.evaluation.evaluate`."""
    parts = dict(zip(splits.PARTS, (train_tensors, valid_tensors, test_tensors), strict=True))
    metrics, test_predictions = evaluation.evaluate(model, parts, clean_rows, split, options.coverage)
    return {**metrics, "cross_validation": cross_validation.summarise_folds(fold_scores)}, test_predictions


def plot_history(history: pd.DataFrame, metrics: dict[str, Any]) -> Figure:
    """Draw losses and the primary metric over epochs."""
    return curves.plot_history(history, metrics["data"])


def plot_layers(diagnosis: dict[str, Any], metrics: dict[str, Any]) -> Figure:
    """Draw what was seen inside the network, with the findings."""
    return layers.plot_layers(diagnosis, metrics["data"])


def plot_predictions(test_predictions: pd.DataFrame, metrics: dict[str, Any]) -> Figure:
    """Draw truth against prediction on test."""
    return predictions.plot_predictions(test_predictions, metrics["data"])
