"""Raw rows of a file, checked against the declared rules."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from torchlane.core.options import ColumnOptions, DataOptions, shown_limit
from torchlane.core.rows import dates, formats, images
from torchlane.core.rows.alike import joined
from torchlane.core.rows.raw_rows import columns_of, find_torn, hint_at_header
from torchlane.core.rows.values import as_levels, as_numbers, as_texts

logger = logging.getLogger(__name__)

LARGEST = float(np.finfo(np.float32).max)  # the largest number that a feature can hold
SPELLINGS = "spellings"  # key in the attrs of clean rows
ROW = "row"  # column with the number of a row in its file; the first row under the header is 1


def place_of(rows: pd.DataFrame) -> str:
    """Name the origin of rows: the path that a dataset left in `rows.attrs`, otherwise "the table"."""
    return str(rows.attrs.get("place", "the table"))


def rows_digest(raw_rows: pd.DataFrame) -> str:
    """Compute the SHA-256 of column names and values as text. It does not depend on the line ends of the file."""
    names = columns_of(raw_rows)
    digest = hashlib.sha256("\x1f".join(names).encode())
    for values in (column for name, column in raw_rows.items() if str(name) in names):  # a name may stand twice
        if images.holds_images(values):
            digest.update(images.digest(values))
        else:
            digest.update("\x1e".join(as_texts(values).fillna("")).encode())
    return digest.hexdigest()


def describe_source(raw_rows: pd.DataFrame, options: DataOptions) -> str:
    """Describe the rows by `data.source`, unless `data.digest` shows that they are different rows."""
    place = place_of(raw_rows)
    if options.digest and rows_digest(raw_rows) != options.digest:
        logger.warning("the rows of %s are not those of '%s'; reports name the file instead", place, options.source)
        return f"{place}, which is not the {options.source}"
    return options.source or place


def check_rows(raw_rows: pd.DataFrame, options: DataOptions) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Separate the rows that keep all declared rules from those that break one, and log their numbers.

    The results are those of `apply_rules` for all declared columns, the target and the weight. `attrs["source"]`
    of the clean rows holds the result of `describe_source`, and `attrs["spellings"]` that of `spellings_of`, if any.
    `attrs["sizes"]` holds the sizes of images by column, if there are any.

    Raises:
        ValueError: a declared column is missing, or no row is left.
    """
    columns = options.checked_columns
    for what, name in {"target": options.target, "weight": options.weight}.items():
        if name is not None and name not in raw_rows:
            raise ValueError(_missing_column(what, name, raw_rows, f"set data.{what}"))
    clean, rejected = apply_rules(raw_rows, columns, options.missing_values)
    for name, column in columns.items():
        if column.format == "money":
            formats.warn_of_currencies(raw_rows[name], column, name)
    ignored = [name for name in columns_of(raw_rows) if name not in columns]
    logger.info(
        "rows: %d kept, %d rejected, from %s%s",
        len(clean),
        len(raw_rows) - len(clean),
        place_of(raw_rows),
        f"; ignored, since not declared: {', '.join(ignored)}" if ignored else "",
    )
    if clean.empty:
        raise ValueError(_nothing_left(raw_rows, rejected))
    clean.attrs["source"] = describe_source(raw_rows, options)
    if options.task != "regression" and (spellings := spellings_of(raw_rows[options.target], options.missing_values)):
        clean.attrs[SPELLINGS] = spellings
    sizes = {name: list(column.size) for name, column in columns.items() if column.size is not None}
    clean.attrs |= {"sizes": sizes} if sizes else {}
    return clean, rejected


def spellings_of(labels: pd.Series, missing_values: tuple[str, ...]) -> dict[str, str]:
    """Map labels to their text in the file, where it differs from the level that they are compared as, such as 1.0.

    There are none if the file spells one label in several ways, or if labels are True and False.
    """
    levels, texts = as_levels(labels, missing_values), as_texts(labels).str.strip()
    pairs = pd.DataFrame({"level": levels.array, "text": texts.array}).dropna().drop_duplicates()
    if pairs["level"].duplicated().any() or set(pairs["level"]) <= {"False", "True"}:
        return {}
    return {level: text for level, text in zip(pairs["level"], pairs["text"], strict=True) if level != text}


def check_rejections(clean_rows: pd.DataFrame, rejected_rows: pd.DataFrame, options: DataOptions) -> None:
    """Check that no more rows were rejected than `data.max_rejected_fraction` allows.

    Raises:
        ValueError: more were rejected; the message has their number and the rules broken most often.
    """
    n_rejected = rejected_rows[ROW].nunique()
    n_rows = n_rejected + len(clean_rows)
    if n_rejected > options.max_rejected_fraction * n_rows:
        raise ValueError(
            f"{n_rejected} of {n_rows} rows are rejected, more than data.max_rejected_fraction "
            f"{options.max_rejected_fraction:g} allows: {_commonest_rules(rejected_rows)}; see rejected_rows.csv, "
            f"and correct the file, data.columns or the limit"
        )


def apply_rules(
    raw_rows: pd.DataFrame, columns: Mapping[str, ColumnOptions], missing_values: tuple[str, ...]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the declared columns of raw rows, as text or typed, and check their rules.

    The first result has the rows that keep all rules: `row` (int64, 1 for the first row), numbers as float64,
    categories as text, both with NaN where missing, dates as datetime64[us] in their zone, and images as bytes, one per
    pixel value in the order of `size`. The second result has a line for each broken rule: `row`, `column`, `value` as
    in the file, `rule`.

    Raises:
        ValueError: a column is missing or stands there twice.
    """
    are_unique = raw_rows.columns.is_unique
    for name in columns:
        if name not in raw_rows.columns:
            way_out = "set data.columns" if "place" in raw_rows.attrs else "add it to the table"
            raise ValueError(_missing_column("column", name, raw_rows, way_out))
        if not are_unique and raw_rows[name].ndim > 1:
            n_times = raw_rows[name].shape[1]
            raise ValueError(f"column '{name}' stands {n_times} times in {place_of(raw_rows)}; rename or drop one")
    typed = dict.fromkeys(columns)
    torn = find_torn(raw_rows)
    whole = np.ones(len(raw_rows), dtype=bool)
    whole[torn.index] = False
    broken = [torn.assign(row=torn.index + 1, column="")]
    for names, values in joined(raw_rows, columns):
        read, rules = read_column(values, columns[names[0]], missing_values)
        for name, own, each in zip(names, _parts(read.array, len(names)), _parts(rules, len(names)), strict=True):
            typed[name] = own
            where = np.flatnonzero(each.astype(bool) & whole)
            if len(where):
                shown = _describe_values(raw_rows[name].iloc[where], columns[name])
                broken.append(pd.DataFrame({ROW: where + 1, "column": name, "value": shown, "rule": each[where]}))
    texts = dict.fromkeys(["column", "value", "rule"], "str")
    rejected = pd.concat(broken)[[ROW, *texts]].astype({ROW: "int64", **texts})
    rejected = rejected.sort_values([ROW, "column"], ignore_index=True)
    clean = pd.DataFrame(typed, index=pd.RangeIndex(1, len(raw_rows) + 1, name=ROW))
    return clean[~clean.index.isin(rejected[ROW])].reset_index(), rejected


def _parts(values: Any, n_parts: int) -> list[Any]:
    """Cut an array of joined columns into theirs."""
    n_rows = len(values) // n_parts
    return [values[number * n_rows : (number + 1) * n_rows] for number in range(n_parts)]


def _describe_values(values: pd.Series, column: ColumnOptions) -> list[str]:
    """Format values for the report of rejected rows; images with the name of their file, if they have one."""
    if column.kind != "image":
        return as_texts(values).fillna("").tolist()
    shown = [images.describe(value) for value in values]
    if pd.api.types.is_integer_dtype(values.index):
        return shown
    return [f"{name}: {value}" for name, value in zip(values.index, shown, strict=True)]


def read_column(
    values: pd.Series, column: ColumnOptions, missing_values: tuple[str, ...]
) -> tuple[pd.Series, np.ndarray]:
    """Read the values of one column, as text or typed, and check the rules of the column.

    Values do not depend on each other, so it suffices to read the distinct values of a column. The first
    result has numbers as float64, categories as text, both with NaN where missing, dates as datetime64[us] in their
    zone, and images as bytes. The second has the first rule that each value breaks, or "".
    """
    broken = _BrokenRules(len(values))
    if column.kind == "category":
        typed = as_levels(values, missing_values).reset_index(drop=True)
    elif column.size is not None:
        pixels, failed = images.read_images(values, column.size)
        typed = pd.Series(pixels)
        broken.mark(images.rule_of(column.size), failed)
    elif column.kind == "date":
        typed, failed = dates.read_dates(values, column, missing_values)
        broken.mark(dates.rule_of(column), failed)
    elif column.is_written:
        numbers, failed = formats.read_formatted(values, column, missing_values)
        typed = pd.Series(numbers)
        broken.mark(formats.rule_of(column), failed)
    else:
        numbers, failed = as_numbers(values, missing_values)
        typed = pd.Series(numbers)
        broken.mark("a number", failed)
    missing = typed.isna().to_numpy()
    if not column.nullable:
        broken.mark("not missing", missing)
    for rule, keeps in _rules(column):
        broken.mark(rule, ~keeps(typed).to_numpy(bool) & ~missing)
    return typed.set_axis(values.index), broken.rules()


class _BrokenRules:
    """The first rule that each of some values breaks; numbers until all are known, since few values break any."""

    def __init__(self, n_values: int):
        self._codes = np.zeros(n_values, dtype=np.uint8)
        self._names = [""]

    def mark(self, rule: str, where: np.ndarray) -> None:
        """Note that the values marked in `where` break a rule, bool (n_values,), unless they broke one before."""
        if where.any():
            self._codes[where & (self._codes == 0)] = len(self._names)
            self._names.append(rule)

    def rules(self) -> np.ndarray:
        """The rule of each value, or "": object (n_values,)."""
        return np.array(self._names, dtype=object)[self._codes]


def _rules(column: ColumnOptions) -> Iterator[tuple[str, Callable[[pd.Series], pd.Series]]]:
    """Give each rule of a column, and the function that finds the values that keep it; NaN keeps no rule of numbers."""
    if column.kind == "number":
        yield "a finite number", lambda values: values.abs() <= LARGEST
    elif column.kind == "category":
        yield "in one line", lambda values: ~values.str.contains("\n", regex=False)
    if column.levels is not None:
        levels = column.levels
        yield f"one of {', '.join(levels)}", lambda values: values.isin(levels)
    low, high = dates.limits_of(column) if column.kind == "date" else column.limits
    if low is not None:
        yield f"at least {shown_limit(column.minimum)}", lambda values: values >= low
    if high is not None:
        yield f"at most {shown_limit(column.maximum)}", lambda values: values <= high


def _missing_column(what: str, name: str, raw_rows: pd.DataFrame, way_out: str) -> str:
    present = ", ".join(columns_of(raw_rows))
    hint = hint_at_header(columns_of(raw_rows))
    return f"{what} '{name}' is not a column of {place_of(raw_rows)}; its columns are {present}{hint}; {way_out}"


def _nothing_left(raw_rows: pd.DataFrame, rejected: pd.DataFrame) -> str:
    if raw_rows.empty:
        return f"{place_of(raw_rows)} has a header but no rows; put at least one row under it"
    rules = _commonest_rules(rejected)
    return f"no row of {place_of(raw_rows)} keeps the rules: {rules}; correct the file or data.columns"


def _commonest_rules(rejected: pd.DataFrame) -> str:
    """Name the three rules broken most often, each with its first row."""
    rejected = rejected.fillna({"column": ""})  # as read back from a file
    found = rejected.groupby(["column", "rule"])[ROW].agg(["size", "min"]).nlargest(3, "size").reset_index()
    return "; ".join(
        f"{repr(column) if column else 'a line'} must {'be' if column else 'have'} {rule} "
        f"({size} rows, first row {first})"
        for column, rule, size, first in found.itertuples(index=False)
    )
