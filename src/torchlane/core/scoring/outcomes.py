"""Outcomes: files with the truth about rows that were scored earlier."""

import logging
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import ColumnOptions
from torchlane.core.rows.checking import read_column
from torchlane.core.rows.formats import as_declared
from torchlane.core.rows.values import as_texts, of_arrow
from torchlane.core.scoring.contracts import Inbox, InboxFile

logger = logging.getLogger(__name__)

KEY = ColumnOptions(kind="category")
LONG_POWER = r"-?\d(\.\d+)?[eE]\+(1[5-9]|[2-9]\d|\d{3,})"  # a number so long that spreadsheets cut off its digits


def read_truth(outcomes: Inbox, by: tuple[str, ...], model: TrainedModel) -> tuple[pd.DataFrame, Counter[str]]:
    """Read the truth about each row that the outcomes name, and count what cannot be used.

    The table has the keys `by` in the columns 0, 1, …, the `truth`, and a number `outcome`. If several outcomes
    have the same keys, the last one counts, in the order of file names. The counts are `files`,
    `files_left_out`, `rows`, `torn`, `without_key`, `without_truth`, `unreadable_truth` and `replaced`.
    """
    parts = [pd.DataFrame({name: pd.Series(dtype="str") for name in (*range(len(by)), "truth")})]
    counts: Counter[str] = Counter()
    for file in outcomes.files():
        try:
            if file.refusal:
                raise ValueError(file.refusal)
            read, count = _read_file(outcomes, file, by, model)
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


def read_keys(table: pa.Table, by: tuple[str, ...], place: str) -> pd.DataFrame:
    """Read keys as text into columns that are numbered from 0.

    A key is NaN if it is empty, or if it is a float so large that digits may have been lost.
    """
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
            logger.warning("%s has both '%s' and '%s' in '%s'; they count as the same key", place, key, spelt, name)
    return pd.DataFrame(keys)


def _read_file(
    outcomes: Inbox, file: InboxFile, by: tuple[str, ...], model: TrainedModel
) -> tuple[list[pd.DataFrame], Counter[str]]:
    target = model.data.target
    kind = model.data.target_column.model_copy(
        update={"nullable": True, "levels": None, "minimum": None, "maximum": None}
    )
    parts, counts = [], Counter[str]()
    with outcomes.open(file) as table:
        if missing := [name for name in (*by, target) if name not in table.names]:
            raise ValueError(f"column '{missing[0]}' is missing; its columns are {', '.join(table.names)}")
        for chunk in table.chunks((), (*by, target)):
            keys = read_keys(chunk.table, by, file.name)
            truth, rules = read_column(
                of_arrow(as_declared(chunk, target, kind), target), kind, model.data.missing_values
            )
            truth = truth.replace([np.inf, -np.inf], np.nan) if kind.kind == "number" else truth
            keyed, known = keys.notna().all(axis=1), truth.notna()
            unreadable = keyed & ~known & (rules != "")
            counts.update(rows=len(chunk.rows) + len(chunk.broken), torn=len(chunk.broken))
            counts.update(without_key=int((~keyed).sum()), unreadable_truth=int(unreadable.sum()))
            counts.update(without_truth=int((keyed & ~known & ~unreadable).sum()))
            parts.append(keys.assign(truth=truth)[keyed & known])
    return parts, counts
