"""Numbers and tables as facts hold them."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from torchlane.core.options import shown_number

SHOWN = {  # metrics
    "r2_score": "R²",
    "mean_absolute_error": "mean absolute error",
    "root_mean_squared_error": "root mean squared error",
    "accuracy_score": "accuracy",
    "balanced_accuracy_score": "balanced accuracy",
    "roc_auc_score": "area under ROC",
    "f1_score": "F1",
    "macro_f1_score": "macro F1",
    "cross_entropy_loss": "cross entropy",
    "loss": "training loss",
}
_METRICS = re.compile(rf"(?<![\w'.])(?:{'|'.join(name for name in SHOWN if '_' in name)})(?![\w'])")
MOST_LINES = 50  # of a table in the page
COUNTED = 100  # rows, below which rows are counted instead of told as so many of 100


def amount(value: float | None, unit: str = "") -> str:
    """Write a measured number with its unit.

    >>> amount(30156.6, "USD"), amount(0.5)
    ('30,157 USD', '0.5')
    """
    return f"{shown_number(value)} {unit}".rstrip()


def of_rows(share: float, n_rows: int, weighted: bool = False) -> str:
    """Write a share of rows: as a count if they are few, otherwise as so many of 100.

    >>> of_rows(1.0, 15), of_rows(0.4, 15), of_rows(0.6721, 491), of_rows(0.9963, 269)
    ('all 15', '6 of 15', '67 of 100', '99.6 of 100')
    """
    if share == 1:
        return f"all {n_rows:,}"
    if n_rows < COUNTED and not weighted:
        return f"{round(share * n_rows)} of {n_rows}"
    percent = 100 * share
    rounded = round(percent) if 1 <= percent <= 99 else float(f"{percent:.3g}")
    return f"{min(rounded, 99.9):g} of 100"


def percent(share: float | None) -> str:
    """Write a share.

    >>> percent(0.9231), percent(0.0004), percent(None)
    ('92 %', '0.04 %', 'undefined')
    """
    if share is None or math.isnan(share):
        return "undefined"
    value = 100 * share
    return f"{round(value) if 1 <= value <= 99 else round(value, 1) if value > 99 else float(f'{value:.1g}'):g} %"


def shown_score(value: float | None, unit: str | None) -> str:
    """Write an error in its unit or, without one (None), a share.

    >>> shown_score(30156.6, "USD"), shown_score(0.9963, None)
    ('30,157 USD', '99.6 %')
    """
    return percent(value) if unit is None else amount(value, unit)


def counted(number: int, one: str, several: str = "") -> str:
    """Write how many there are of something.

    >>> counted(1, "row"), counted(1200, "row"), counted(2, "class", "classes")
    ('1 row', '1,200 rows', '2 classes')
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def sentence(text: str) -> str:
    """Write a clause as a sentence.

    >>> sentence("test has 9 rows")
    'Test has 9 rows.'
    """
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?", ":")) else ".")


def listed(names: Iterable[object], most: int = 8) -> str:
    """Name some things, and count the others.

    >>> listed(["a", "b", "c"]), listed("abcdef", most=2)
    ('a, b and c', 'a, b and 4 more')
    """
    shown = [str(name) for name in names]
    if len(shown) > most:
        return f"{', '.join(shown[:most])} and {len(shown) - most:,} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def in_words(text: str) -> str:
    """Write the names of metrics in a text as people say them; names in quotes are columns and stay.

    >>> in_words("r2_score is 0.6, and 'r2_score' a column")
    "R² is 0.6, and 'r2_score' a column"
    """
    return _METRICS.sub(lambda found: SHOWN[found[0]], text)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], most: int = MOST_LINES) -> dict[str, Any]:
    """Hold a table with at most so many rows, and the number of those left out; NaN and infinity become None."""
    lines = [[plain(cell) for cell in row] for row in rows]
    return {"columns": list(columns), "rows": lines[:most], "more": max(0, len(lines) - most)}


def plain(value: Any) -> Any:
    """Turn a cell into what JSON holds.

    >>> plain(float("nan")), plain(3), plain("x")
    (None, 3, 'x')
    """
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def shown_option(value: Any) -> str:
    """Write the value of an option about as it stands in YAML.

    >>> shown_option([64, 64]), shown_option({"name": "AdamW"}), shown_option(None), shown_option(True)
    ('[64, 64]', '{name: AdamW}', 'null', 'true')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {shown_option(each)}" for name, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(shown_option, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
