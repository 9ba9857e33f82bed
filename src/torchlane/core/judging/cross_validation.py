"""Cross-validation: train and score a model for each of several splits, with all members trained together."""

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.judging.evaluation import evaluate
from torchlane.core.machine.checkpoints import CheckpointStore
from torchlane.core.machine.naming import naming
from torchlane.core.model.learning import Lesson, train_models
from torchlane.core.options import DataOptions, EvaluationOptions, Recipe, SplitOptions
from torchlane.core.options.shown import shown_number
from torchlane.core.rows.folds import deal_folds
from torchlane.core.rows.splits import PARTS, rows_of

logger = logging.getLogger(__name__)

TOGETHER_BYTES = 1 << 30  # of the features of folds that train together
SEEDS_APART = 1000  # distance between the seeds of one fold and the next


def cross_validate(
    clean_rows: pd.DataFrame,
    data: DataOptions,
    split: SplitOptions,
    recipe: Recipe,
    evaluation: EvaluationOptions,
    checkpoints: CheckpointStore,
) -> pd.DataFrame:
    """Train and score a model for each fold of each repeat.

    Each line has `repeat`, `fold`, the number of rows of each part, and the metrics of test. Each fold fits its
    own encoder and stops early on its own valid part, as the pipeline does.

    Raises:
        ValueError: there are fewer distinct rows than folds, or fewer of some class.
    """
    lines: list[dict[str, Any]] = []
    folds = deal_folds(clean_rows, data, split, evaluation)
    for together in _in_portions(folds, clean_rows, data, recipe):
        lessons = [lesson for _, lesson, _ in together]
        with naming(f"folds {len(lines) + 1} to {len(lines) + len(together)} of {len(folds)}"):
            trained = train_models(lessons, data, recipe.model, checkpoints, clean_rows.attrs["source"])
        for (splits, _, tensors), (of_fold, _) in zip(together, trained, strict=True):
            named = evaluation.metrics
            metrics, _ = evaluate(of_fold, tensors, clean_rows, splits, evaluation.coverage, named=named, quiet=True)
            repeat, fold = divmod(len(lines), evaluation.folds)
            lines.append({"repeat": repeat, "fold": fold, **metrics["rows"], **metrics["test"]})
    return pd.DataFrame(lines, columns=None if lines else ["repeat", "fold", *PARTS])


def summarise_folds(fold_scores: pd.DataFrame, trials: int = 0, order_by: str | None = None) -> dict[str, Any]:
    """Compute and log the mean, standard deviation and 95 % interval of each metric over folds; empty without folds.

    Folds share training rows, so the interval is that of Nadeau and Bengio (2003,
    doi 10.1023/A:1024068626366), with a variance of s² (1 / n + test / train). A fold where a metric is not
    defined does not count for that metric. If a search chose the recipe, its `trials` have seen rows that the
    folds test; the log and `recipe` say so. Folds in an order are expanding windows, which `order_by` names: there
    the interval is rough, since windows differ in how many rows they learn from.
    """
    if fold_scores.empty:
        return {}
    summary: dict[str, Any] = {
        "folds": int(fold_scores["fold"].max()) + 1,
        "repeats": int(fold_scores["repeat"].max()) + 1,
        "recipe": "as given",
    }
    if order_by is not None:
        summary["order_by"] = order_by
    if trials:
        summary["recipe"] = f"chosen by a search of {trials} trials on rows that the folds test: scores are optimistic"
        logger.warning("folds: the recipe was %s", summary["recipe"])
    overlap = fold_scores["test"] / (fold_scores["train"] + fold_scores["valid"])
    for name in fold_scores.columns.drop(["repeat", "fold", *PARTS]):
        values = fold_scores[name].dropna()
        if len(values) < 2:
            continue
        variance = (1 / len(values) + overlap[values.index].mean()) * values.var()
        half = _t_quantile(len(values) - 1) * math.sqrt(variance)
        mean = float(values.mean())
        summary[name] = {
            "mean": mean,
            "standard_deviation": float(values.std()),
            "low": mean - half,
            "high": mean + half,
        }
    _log_scores(summary, len(fold_scores))
    return summary


def _log_scores(summary: Mapping[str, Any], n_models: int) -> None:
    """Log the mean of each metric over the models of all folds, with its interval."""
    scores = {name: value for name, value in summary.items() if isinstance(value, Mapping)}
    said = [
        f"{name} {shown_number(each['mean'])} ({shown_number(each['low'])} to {shown_number(each['high'])})"
        for name, each in scores.items()
    ]
    if said:
        logger.info("folds: mean of %d models, with its 95%% interval: %s", n_models, ", ".join(said))


def _in_portions(
    folds: list[pd.DataFrame],
    clean_rows: pd.DataFrame,
    data: DataOptions,
    recipe: Recipe,
) -> Iterator[list[tuple[pd.DataFrame, Lesson, Mapping[str, Any]]]]:
    """Encode the folds in portions of at most `TOGETHER_BYTES`."""
    portion: list[tuple[pd.DataFrame, Lesson, Mapping[str, Any]]] = []
    n_bytes = 0
    for number, splits in enumerate(folds):
        parts = {part: rows_of(part, clean_rows, splits) for part in PARTS}
        encoder = fit_encoder(parts["train"], data, recipe.encoding)
        tensors = {part: build_tensors(rows, encoder) for part, rows in parts.items()}
        n_new = tensors["train"].tensors[0].nbytes
        if portion and n_bytes + n_new > TOGETHER_BYTES:
            yield portion
            portion, n_bytes = [], 0
        own = recipe.training.model_copy(update={"seed": recipe.training.seed + SEEDS_APART * (number + 1)})
        portion.append((splits, Lesson(tensors["train"], tensors["valid"], encoder, own), tensors))
        n_bytes += n_new
    if portion:
        yield portion


def _t_quantile(degrees: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, degrees))
