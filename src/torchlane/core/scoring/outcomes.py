"""How good predictions were, once the truth about their rows has arrived."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import torch

from torchlane.core.judging import evaluation
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import ColumnOptions
from torchlane.core.rows.checking import ROW, read_column
from torchlane.core.rows.values import as_texts, of_arrow
from torchlane.core.scoring.contracts import Inbox, InboxFile, PredictionStore

logger = logging.getLogger(__name__)

FILE = "file"
KEY = ColumnOptions(kind="category")
LONG_POWER = r"-?\d(\.\d+)?[eE]\+(1[5-9]|[2-9]\d|\d{3,})"  # a number so long that spreadsheets cut its digits
OF_PREDICTIONS = ("prediction", "model", "scored_at", "probability_")  # how the columns begin that are needed
LEFT_OUT = ("torn", "without_key", "without_truth", "unreadable_truth", "replaced", "without_prediction")


def identify(
    files: Iterable[InboxFile], done: Iterable[dict[str, Any]], model: TrainedModel, keys: tuple[str, ...]
) -> str:
    """Name all that live metrics are made of, so that they are made again only where something is new."""
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

    A file of outcomes has the target's column and, to say which rows it is about, the columns
    `keys`, or `file` (the name in the inbox) and `row`. Keys are compared as categories are: 7, 7.0 and
    " 7" are one, 007 is another; an empty one matches nothing. Where a row has several truths, the last one
    counts, in the order of file names; a key of several predictions is the truth of each. `done` are the
    entries of the ledger whose predictions there are.

    The result has `all`, `weeks` (ISO 8601, of the time of scoring) and `models` (the start of
    their fingerprint), each with the task's metrics and the number of `rows`; and how many `outcomes` and
    `predictions` were counted, or were not and why. The rules of the target's column are for
    rows of train: a truth beyond its range is the truth. One that is a label which the model does not
    know counts as a row to which the model gave the probability 0.
    """
    by = keys or (FILE, ROW)
    truth, read = _read_truth(outcomes, by, model)
    matched = []
    predicted: Counter[str] = Counter()
    for entry in done:
        try:
            parts = list(_predicted(predictions.read(entry["output"]), entry["name"], by, keys, model))
        except (OSError, ValueError, pa.ArrowException) as error:
            logger.warning("the predictions %s cannot be compared with their outcomes: %s", entry["output"], error)
            continue
        for part in parts:
            known = part.dropna(subset=range(len(by)))
            matched.append(known.merge(truth, on=list(range(len(by)))))
            found = len(matched[-1])
            predicted.update(rows=len(part), counted=found, without_key=len(part) - len(known))
            predicted.update(without_outcome=len(known) - found)
    rows = pd.concat(matched, ignore_index=True) if matched else pd.DataFrame()
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
    week = pd.to_datetime(rows["scored_at"], utc=True).dt.strftime("%G-W%V")
    return {
        "all": _score(rows, model),
        "weeks": {str(name): _score(group, model) for name, group in rows.groupby(week)},
        "models": {str(name): _score(group, model) for name, group in rows.groupby("model")},
        **counts,
    }


def _predicted(
    parts: Iterable[pa.Table], name: str, by: tuple[str, ...], keys: tuple[str, ...], model: TrainedModel
) -> Iterator[pd.DataFrame]:
    """Read predictions chunk by chunk: their keys in the columns 0, 1, … and what the model said."""
    for part in parts:
        table = part if keys else part.append_column(FILE, pa.repeat(name, len(part)))
        if missing := [key for key in by if key not in table.column_names]:
            raise ValueError(f"it has no column '{missing[0]}', since that was no key yet")
        said = part.select([each for each in part.column_names if each.startswith(OF_PREDICTIONS)]).to_pandas()
        if model.encoder.target.task == "regression":
            said["prediction"] = said["prediction"].astype("float64")
        elif not any(each.startswith("probability_") for each in said):
            raise ValueError("it has no probabilities, so another task made it")
        yield pd.concat([_read_keys(table, by, name), said], axis=1)


def _read_truth(outcomes: Inbox, by: tuple[str, ...], model: TrainedModel) -> tuple[pd.DataFrame, Counter[str]]:
    """Read the keys, in the columns 0, 1, …, and `truth`; `outcome` numbers them. Count what is left out."""
    parts = [pd.DataFrame({name: pd.Series(dtype="str") for name in (*range(len(by)), "truth")})]
    counts: Counter[str] = Counter()
    for file in outcomes.files():
        try:
            if file.refusal:
                raise ValueError(file.refusal)
            read, count = _read_outcomes(outcomes, file, by, model)
        except (ValueError, OSError, pa.ArrowException) as error:
            logger.warning("the outcomes %s are left out: %s", file.name, " ".join(str(error).split()))
            counts.update(files_left_out=1)
        else:
            parts += read
            counts.update(count, files=1)
    truth = pd.concat(parts, ignore_index=True)
    last = truth.drop_duplicates(list(range(len(by))), keep="last")
    counts.update(replaced=len(truth) - len(last))
    return last.assign(outcome=range(len(last))), counts


def _read_outcomes(
    outcomes: Inbox, file: InboxFile, by: tuple[str, ...], model: TrainedModel
) -> tuple[list[pd.DataFrame], Counter[str]]:
    target, kind = model.data.target, ColumnOptions(kind=model.data.target_column.kind)
    parts, counts = [], Counter[str]()
    with outcomes.open(file) as table:
        if missing := [name for name in (*by, target) if name not in table.names]:
            raise ValueError(f"column '{missing[0]}' is missing; its columns are {', '.join(table.names)}")
        for chunk in table.chunks((), (*by, target)):
            keys = _read_keys(chunk.table, by, file.name)
            truth, rules = read_column(of_arrow(chunk.table[target], target), kind, model.data.missing_values)
            truth = truth.replace([np.inf, -np.inf], np.nan) if kind.kind == "number" else truth
            keyed, known = keys.notna().all(axis=1), truth.notna()
            unreadable = keyed & ~known & (rules != "")
            counts.update(rows=len(chunk.rows) + len(chunk.broken), torn=len(chunk.broken))
            counts.update(without_key=int((~keyed).sum()), unreadable_truth=int(unreadable.sum()))
            counts.update(without_truth=int((keyed & ~known & ~unreadable).sum()))
            parts.append(keys.assign(truth=truth)[keyed & known])
    return parts, counts


def _read_keys(table: pa.Table, by: tuple[str, ...], place: str) -> pd.DataFrame:
    """Read keys as text in the columns 0, 1, …, NaN where one is empty, or a float that may have lost digits."""
    keys = {}
    for number, name in enumerate(by):
        values = table[name]
        if pa.types.is_floating(values.type):
            exact = pc.less(pc.abs(values), 2.0 ** np.finfo(values.type.to_pandas_dtype()).nmant)
            values = pc.if_else(exact, values, pa.scalar(None, values.type))
        texts = as_texts(of_arrow(values, name)).str.strip()
        texts = texts.mask(texts.str.fullmatch(LONG_POWER).fillna(False).astype(bool))
        keys[number], _ = read_column(texts, KEY, ("",))
        changed = (texts != keys[number]) & keys[number].notna()
        if both := set(keys[number][changed]) & set(texts[~changed].dropna()):
            key = min(both)
            spelt = texts[changed & (keys[number] == key)].iloc[0]
            logger.warning("%s names a '%s' both '%s' and '%s', which are taken for one key", place, name, key, spelt)
    return pd.DataFrame(keys)


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
    columns = [f"probability_{label}" for label in labels]  # models know different labels
    probabilities = rows.reindex(columns=columns).astype("float64").fillna(0).to_numpy()
    index = pd.Index(labels).get_indexer(pd.Index(rows["truth"]))
    unknown = index >= len(target.labels)
    if target.task == "binary":  # whose metrics have no third label: a positive row that counts as missed
        probabilities = np.where(unknown[:, None], [1.0, 0.0], probabilities[:, :2])
        index = np.where(unknown, 1, index)
    scores = evaluation.score(model.task, torch.from_numpy(probabilities), torch.from_numpy(index))
    return {**scores, "rows": len(rows), "unknown_label_rows": int(unknown.sum())}
