"""How good predictions were, once the truth about their rows has arrived."""

import hashlib
import logging
from collections.abc import Iterable
from typing import Any

import pandas as pd
import pyarrow as pa
import torch

from torchlane.core import evaluation
from torchlane.core.inference import TrainedModel
from torchlane.core.rows import ROW, read_column
from torchlane.core.scoring import Inbox, InboxFile, PredictionStore

logger = logging.getLogger(__name__)

FILE = "file"


def identify(files: Iterable[InboxFile], done: Iterable[dict[str, Any]]) -> str:
    """Name all that live metrics are made of, so that they are made again only where something is new."""
    named = [f"{file.name} {file.stamp}" for file in files] + sorted(str(entry["checksum"]) for entry in done)
    return hashlib.sha256("\n".join(named).encode()).hexdigest()


def measure(
    outcomes: Inbox,
    predictions: PredictionStore,
    done: list[dict[str, Any]],
    model: TrainedModel,
    keys: tuple[str, ...],
) -> dict[str, Any]:
    """Compare predictions with the truth, by week and by model.

    A file of outcomes has the target's column and, to say which rows it is about, the columns
    `keys`, or `file` (the name in the inbox) and `row`. Where a row has several truths, the last one
    counts, in the order of file names. `done` are the entries of the ledger whose predictions there
    are. The result has `all`, `weeks` (ISO 8601, of the time of scoring) and `models` (the start of
    their fingerprint), each with the task's metrics and the number of `rows`.
    """
    by = keys or (FILE, ROW)
    truth = _read_truth(outcomes, by, model)
    matched = []
    for entry in done:
        try:
            for part in predictions.read(entry["output"]):
                frame = part.to_pandas().assign(**{FILE: entry["name"]})
                if missing := [name for name in by if name not in frame]:
                    raise ValueError(f"it has no column '{missing[0]}', since that was no key yet")
                frame[list(by)] = frame[list(by)].astype("str")
                matched.append(frame.merge(truth, on=list(by)).drop(columns=list({*by} - {ROW})))
        except (OSError, ValueError, pa.ArrowException) as error:
            logger.warning("the predictions %s cannot be compared with their outcomes: %s", entry["output"], error)
    if not matched or not sum(map(len, matched)):
        return {"all": {"rows": 0}, "weeks": {}, "models": {}}
    rows = pd.concat(matched, ignore_index=True)
    week = pd.to_datetime(rows["scored_at"], utc=True).dt.strftime("%G-W%V")
    return {
        "all": _score(rows, model),
        "weeks": {str(name): _score(group, model) for name, group in rows.groupby(week)},
        "models": {str(name): _score(group, model) for name, group in rows.groupby("model")},
    }


def _read_truth(outcomes: Inbox, by: tuple[str, ...], model: TrainedModel) -> pd.DataFrame:
    """Read the columns `by`, as text, and `truth`, as the target is read; what breaks its rules is left out."""
    target, column = model.data.target, model.data.target_column
    parts = [pd.DataFrame({name: pd.Series(dtype="str") for name in (*by, "truth")})]
    for file in outcomes.files():
        try:
            if file.refusal:
                raise ValueError(file.refusal)
            with outcomes.open(file) as table:
                missing = [name for name in (*by, target) if name not in table.names]
                if missing:
                    raise ValueError(f"column '{missing[0]}' is missing; its columns are {', '.join(table.names)}")
                for chunk in table.chunks((), (*by, target)):
                    part = chunk.table.select([*by, target]).to_pandas()
                    truth, rules = read_column(part.pop(target), column, model.data.missing_values)
                    parts.append(part.astype("str").assign(truth=truth)[rules == ""])
        except (ValueError, OSError, pa.ArrowException) as error:
            logger.warning("the outcomes %s are left out: %s", file.name, " ".join(str(error).split()))
    return pd.concat(parts, ignore_index=True).drop_duplicates(list(by), keep="last")


def _score(rows: pd.DataFrame, model: TrainedModel) -> dict[str, Any]:
    target = model.encoder.target
    if target.task == "regression":
        prediction, truth = (torch.tensor(rows[name].astype("float64").to_numpy()) for name in ("prediction", "truth"))
        return {**evaluation.score(model.task, prediction, truth), "rows": len(rows)}
    known = rows[rows["truth"].isin(target.labels)]
    columns = [f"probability_{label}" for label in target.labels]
    probabilities = (
        known.reindex(columns=columns).astype("float64").fillna(0).to_numpy()
    )  # older models know other labels
    truth = torch.from_numpy(target.label_index(known["truth"]))
    return {**evaluation.score(model.task, torch.tensor(probabilities), truth), "rows": len(known)}
