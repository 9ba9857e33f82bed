"""How good predictions were, now that the truth about their rows has arrived."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from torchlane.core.judging import evaluation
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options.levels import plain_level
from torchlane.core.rows.checking import ROW
from torchlane.core.scoring.contracts import Inbox, InboxFile, PredictionStore
from torchlane.core.scoring.outcomes import read_keys, read_truth

logger = logging.getLogger(__name__)

FILE = "file"
PROBABILITY = "probability_"
NEEDED = ("prediction", "model", "scored_at", PROBABILITY)  # the columns of predictions begin with one of these
LEFT_OUT = ("torn", "without_key", "without_truth", "unreadable_truth", "replaced", "without_prediction")


def digest_inputs(
    files: Iterable[InboxFile], done: Iterable[dict[str, Any]], model: TrainedModel, keys: tuple[str, ...]
) -> str:
    """Return a SHA-256 of everything that live metrics depend on; they are computed again only if it changes."""
    named = [f"{file.name} {file.stamp}" for file in files] + sorted(str(entry["checksum"]) for entry in done)
    return hashlib.sha256("\n".join([*named, model.fingerprint, *keys]).encode()).hexdigest()


def measure(
    outcomes: Inbox,
    predictions: PredictionStore,
    done: list[dict[str, Any]],
    model: TrainedModel,
    keys: tuple[str, ...],
) -> dict[str, Any]:
    """Compare predictions with the truth, by week and by model.

    A file of outcomes has the target's column and the columns that say which rows it is about: `keys`, or
    `file` (the name in the inbox) and `row` if there are no keys. Keys are compared as categories are: 7, 7.0
    and " 7" are the same, 007 is another; an empty key matches nothing. If several outcomes name a row, the
    last one counts, in the order of file names. If several predictions have a key, its outcome is the truth of
    each. `done` has the ledger's entries of the files whose predictions are compared.

    The result has `all`, `weeks` (ISO 8601, of the time of scoring) and `models` (the start of their
    fingerprints), each with the task's metrics and the number of `rows`. `positive` is the positive label of a
    binary task. `outcomes` and `predictions` say how many of them were counted, and how many were not and why. The
    rules of the target's column apply to rows of train only: a truth outside its range is still the truth. A row
    whose truth is a label that the model does not know counts as one to which the model gave the probability 0.
    """
    by = keys or (FILE, ROW)
    truth, read = read_truth(outcomes, by, model)
    rows, predicted = _match(predictions, done, truth, by, keys, model)
    read["counted"] = rows["outcome"].nunique() if len(rows) else 0
    read["without_prediction"] = len(truth) - read["counted"]
    counts = {
        "outcomes": {name: read[name] for name in ("files", "files_left_out", "rows", "counted", *LEFT_OUT)},
        "predictions": {name: predicted[name] for name in ("rows", "counted", "without_key", "without_outcome")},
    }
    _log(counts)
    if not len(rows):
        return {"all": {"rows": 0}, "weeks": {}, "models": {}, **counts}
    _warn_of_unknown_labels(rows, model)
    positive = model.encoder.target.positive
    week = pd.to_datetime(rows["scored_at"], utc=True).dt.strftime("%G-W%V")
    return {
        "all": _score(rows, model),
        "weeks": {str(name): _score(group, model) for name, group in rows.groupby(week)},
        "models": {str(name): _score(group, model) for name, group in rows.groupby("model")},
        **({} if positive is None else {"positive": positive}),
        **counts,
    }


def _match(
    predictions: PredictionStore,
    done: list[dict[str, Any]],
    truth: pd.DataFrame,
    by: tuple[str, ...],
    keys: tuple[str, ...],
    model: TrainedModel,
) -> tuple[pd.DataFrame, Counter[str]]:
    """Put the truth beside each prediction that has one, and count those that do not."""
    matched = []
    counts: Counter[str] = Counter()
    for entry in done:
        try:
            parts = list(_read_predictions(predictions.read(entry["output"]), entry["name"], by, keys, model))
        except (OSError, ValueError, pa.ArrowException) as error:
            logger.warning("the predictions %s cannot be compared with their outcomes: %s", entry["output"], error)
            continue
        for part in parts:
            known = part.dropna(subset=range(len(by)))
            matched.append(known.merge(truth, on=list(range(len(by)))))
            found = len(matched[-1])
            counts.update(rows=len(part), counted=found, without_key=len(part) - len(known))
            counts.update(without_outcome=len(known) - found)
    return pd.concat(matched, ignore_index=True) if matched else pd.DataFrame(), counts


def _read_predictions(
    parts: Iterable[pa.Table], name: str, by: tuple[str, ...], keys: tuple[str, ...], model: TrainedModel
) -> Iterator[pd.DataFrame]:
    """Read predictions chunk by chunk: their keys in the columns 0, 1, … and what the model predicted."""
    for part in parts:
        table = part if keys else part.append_column(FILE, pa.repeat(name, len(part)))
        if missing := [key for key in by if key not in table.column_names]:
            raise ValueError(f"there is no column '{missing[0]}', because it was not a key yet")
        predicted = part.select([each for each in part.column_names if each.startswith(NEEDED)]).to_pandas()
        if model.encoder.target.task == "regression":
            predicted["prediction"] = predicted["prediction"].astype("float64")
        elif not any(each.startswith(PROBABILITY) for each in predicted):
            raise ValueError("there are no probabilities, so a model for another task made them")
        yield pd.concat([read_keys(table, by, name), predicted.rename(columns=_plain_name)], axis=1)


def _plain_name(column: str) -> str:
    """Spell the label in the name of a column as labels are compared."""
    return PROBABILITY + plain_level(column.removeprefix(PROBABILITY)) if column.startswith(PROBABILITY) else column


def _log(counts: dict[str, dict[str, int]]) -> None:
    read, predicted = counts["outcomes"], counts["predictions"]
    left_out = [f"{read[name]} {name.replace('_', ' ')}" for name in LEFT_OUT if read[name]]
    logger.info(
        "outcomes: %d of %d rows are the truth about %d of %d predictions%s",
        read["counted"],
        read["rows"],
        predicted["counted"],
        predicted["rows"],
        f"; not counted: {', '.join(left_out)}" if left_out else "",
    )


def _warn_of_unknown_labels(rows: pd.DataFrame, model: TrainedModel) -> None:
    target = model.encoder.target
    if target.task == "regression":
        return
    unknown = rows["truth"][~rows["truth"].isin(target.labels)]
    if len(unknown):
        shown = ", ".join(sorted(set(unknown)))
        logger.warning("the truth of %d rows is a label that the model does not know: %s", len(unknown), shown)


def _score(rows: pd.DataFrame, model: TrainedModel) -> dict[str, Any]:
    target = model.encoder.target
    if target.task == "regression":
        prediction, truth = (torch.tensor(rows[name].astype("float64").to_numpy()) for name in ("prediction", "truth"))
        return {**evaluation.score(model.task, prediction, truth), "rows": len(rows)}
    labels = [*target.labels, *sorted(set(rows["truth"]) - set(target.labels))]
    columns = [PROBABILITY + label for label in labels]  # models may know different labels
    probabilities = rows.reindex(columns=columns).astype("float64").fillna(0).to_numpy()
    index = pd.Index(labels).get_indexer(pd.Index(rows["truth"]))
    unknown = index >= len(target.labels)
    if target.task == "binary":  # its metrics have no third label: count the row as a positive one that was missed
        probabilities = np.where(unknown[:, None], [1.0, 0.0], probabilities[:, :2])
        index = np.where(unknown, 1, index)
    scores = evaluation.score(model.task, torch.from_numpy(probabilities), torch.from_numpy(index))
    return {**scores, "rows": len(rows), "unknown_label_rows": int(unknown.sum())}
