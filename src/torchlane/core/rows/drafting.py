"""A draft of the parameters of a use case, inferred from its rows."""

import logging
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import yaml

from torchlane.core.options import ColumnOptions, DataOptions
from torchlane.core.rows.checking import ROW, apply_rules, place_of
from torchlane.core.rows.levels import natural_order, restore_labels
from torchlane.core.rows.raw_rows import columns_of, find_torn

logger = logging.getLogger(__name__)

MOST_LEVELS = 20  # levels that are listed; a column with more is a category without a list, or a number
MOST_CODES = 2  # distinct whole numbers up to which a feature is a category rather than a number
MISSING = ("",)
PLAIN = r"[A-Za-z]\w*( \w+)*"  # text that needs no quotes in YAML, except for these words:
WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def draft_parameters(raw_rows: pd.DataFrame, use_case: str, target: str) -> str:
    """Draft the parameters file of a use case from its raw rows: types, levels, ranges and task.

    A column is a number if all its values are numbers, except for two distinct whole numbers such as 0 and 1.
    Otherwise it is a category, and its levels are listed if there are at most 20. A column that identifies
    every row or never changes is written as a comment, with the reason.

    Raises:
        ValueError: there are too few rows, the target is not a column, or it cannot be predicted.
    """
    if target not in raw_rows:
        columns = ", ".join(columns_of(raw_rows))
        raise ValueError(f"target '{target}' is not a column of {place_of(raw_rows)}; its columns are {columns}")
    raw_rows = _without_torn(raw_rows)
    if len(raw_rows) < 2:
        raise ValueError(f"{place_of(raw_rows)} has {len(raw_rows)} rows; a draft needs at least 2")
    described = {name: _describe(raw_rows, name) for name in raw_rows.columns.astype("str") if name != target}
    task, target_column = _describe_target(raw_rows, target)
    kept = {name: column for name, (column, reason) in described.items() if not reason}
    DataOptions.model_validate({"task": task, "target": target, "columns": {**kept, target: target_column}})
    place = _in_one_line(place_of(raw_rows))
    lines = [
        f"# drafted from {place}, {len(raw_rows)} rows; levels and ranges are those of the file:",
        "# rows outside them are rejected, so widen them if other values are possible",
        f"{_yaml(use_case)}:",
        "  data:",
        f"    task: {task}",
        f"    target: {_yaml(target)}",
        "    columns:",
        *(f"      {'# ' * bool(reason)}{_entry(name, column, reason)}" for name, (column, reason) in described.items()),
        f"      {_entry(target, target_column, '')}",
    ]
    return "\n".join(lines) + "\n"


def _without_torn(raw_rows: pd.DataFrame) -> pd.DataFrame:
    """Remove torn rows and the column that marks them, and log how many there are."""
    torn = find_torn(raw_rows)
    if len(torn):
        logger.warning(
            "%s: %d of %d rows are torn and left out; the first is row %d: '%s' should have %s",
            place_of(raw_rows),
            len(torn),
            len(raw_rows),
            torn.index[0] + 1,
            torn["value"].iloc[0],
            torn["rule"].iloc[0],
        )
    return raw_rows.iloc[np.setdiff1d(np.arange(len(raw_rows)), torn.index)][columns_of(raw_rows)]


def _describe(raw_rows: pd.DataFrame, name: str) -> tuple[dict[str, Any], str]:
    """Draft the options of a feature, and give the reason to leave it out, if any."""
    values = _read(raw_rows, name, "category").dropna()
    distinct = values.nunique()
    numbers = _numbers(raw_rows, name)
    if name == ROW:
        return {"kind": "number" if numbers is not None else "category"}, "this name is taken; rename the column"
    if distinct < 2:
        return {"kind": "category"}, "it never changes" if distinct else "it is empty"
    if numbers is not None and not (distinct <= MOST_CODES and _are_whole(numbers)):
        counted = distinct == len(raw_rows) and _are_whole(numbers) and bool((numbers.diff().dropna() == 1).all())
        return _range(numbers), "it numbers the rows" if counted else ""
    if distinct == len(raw_rows) and distinct > MOST_LEVELS:
        return {"kind": "category"}, "every row has another value"
    return _levels(values), ""


def _describe_target(raw_rows: pd.DataFrame, name: str) -> tuple[str, dict[str, Any]]:
    """Infer the task, and draft the options of the target."""
    values = _read(raw_rows, name, "category").dropna()
    distinct = values.nunique()
    if distinct < 2:
        raise ValueError(f"target '{name}' has {distinct} different values; there is nothing to predict")
    numbers = _numbers(raw_rows, name)
    if numbers is not None and (distinct > MOST_LEVELS or not _are_whole(numbers)):
        return "regression", _range(numbers)
    if numbers is None and distinct > max(MOST_LEVELS, len(values) / 2):
        raise ValueError(
            f"target '{name}' has {distinct} labels in {len(values)} rows, which is too few rows per label"
        )
    return ("binary" if distinct == 2 else "multiclass"), _levels(values)


def _read(raw_rows: pd.DataFrame, name: str, kind: Any) -> pd.Series:
    clean, _ = apply_rules(
        raw_rows[[name]].rename(columns={name: "value"}), {"value": ColumnOptions(kind=kind)}, MISSING
    )
    return clean["value"]


def _numbers(raw_rows: pd.DataFrame, name: str) -> pd.Series | None:
    """Read a column as numbers without missing ones; None if some value is not a number."""
    numbers = _read(raw_rows, name, "number")
    return numbers.dropna() if len(numbers) == len(raw_rows) and numbers.notna().any() else None


def _are_whole(numbers: pd.Series) -> bool:
    return bool((numbers == numbers.round()).all())


def _range(numbers: pd.Series) -> dict[str, Any]:
    low, high = (int(each) if each == round(each) else float(each) for each in (numbers.min(), numbers.max()))
    return {"kind": "number", "minimum": low, "maximum": high}


def _levels(values: pd.Series) -> dict[str, Any]:
    levels = natural_order(values.unique())
    if len(levels) > MOST_LEVELS:
        return {"kind": "category"}
    return {"kind": "category", "levels": restore_labels(levels, among=levels).tolist()}


def _entry(name: str, column: Mapping[str, Any], reason: str) -> str:
    return f"{_yaml(name, escape=False)}: {_yaml(dict(column))}" + (f" # {reason}" if reason else "")


class _Dumper(yaml.SafeDumper):
    """Quotes all text except plain words, so that no loader reads it as a number, a date or a boolean."""

    def represent_text(self, text: str) -> yaml.Node:
        plain = re.fullmatch(PLAIN, text, re.ASCII) and text.lower() not in WORDS
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _Dumper.represent_text)


def _yaml(value: Any, escape: bool = True) -> str:
    """Write a value in one line, such that Kedro's configuration loader reads the same value; keys are not escaped."""
    value = _escaped(value) if escape else value
    written = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=np.inf
    )
    return written.strip().removesuffix("...").strip()


def _escaped(value: Any) -> Any:
    """Escape `${…}` in values, which OmegaConf would resolve as a reference; it does not resolve keys."""
    if isinstance(value, dict):
        return {key: _escaped(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", value) if isinstance(value, str) else value


def _in_one_line(text: str) -> str:
    """Escape unprintable characters such as line breaks, for use in a comment."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
