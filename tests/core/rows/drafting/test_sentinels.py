import pandas as pd
import pytest

from torchlane.core.rows.drafting import draft_parameters
from torchlane.core.rows.drafting.features import draft_features

NUMBERS = [str((37 * i) % 101 / 10) for i in range(40)]
LETTERS = ["a", "b", "c", "d"] * 10
DATES = [f"{2020 + i % 4}-0{1 + i % 9}-1{i % 7}" for i in range(40)]


def remarks(values: list[str]) -> tuple[str, ...]:
    table = pd.DataFrame({"x": values, "y": [*NUMBERS, "1.5"][: len(values)][::-1]}, dtype="str")
    return draft_features(table, "y").columns["x"].remarks


@pytest.mark.parametrize(
    ("others", "value", "kind"),
    [
        (NUMBERS, "-999", "number"),
        (NUMBERS, "-9", None),  # one nine may be any number
        (NUMBERS, "-99", "number"),
        (NUMBERS, "999.0", "number"),
        (NUMBERS, "888", "number"),
        (NUMBERS, "-2147483648", "number"),
        ([str(50 * i) for i in range(40)], "999", None),  # among numbers that reach as far
        (["-400", *NUMBERS[1:]], "-99", None),
        ([f"{each} €" for each in NUMBERS], "-999 €", None),  # no amount that a program writes for a missing one
        (DATES, "9999-12-31", "date"),
        (DATES, "1900-01-01", "date"),
        (DATES, "2025-01-01", None),
        (DATES, "1900-03-05", None),
    ],
)
def test_value_that_stands_for_a_missing_one_and_lies_apart_is_said(others, value, kind):
    found = [each for each in remarks([*others[:-2], value, value]) if "lies apart" in each]
    plain = value.removesuffix(".0")
    said = (
        f"'{plain}' (row 39), in 2 rows, lies apart from all other values; it is kept as a {kind}, so add it to "
        f"data.missing_values if it means missing"
    )
    assert found == ([said] if kind else [])


def test_target_that_stands_for_a_missing_one_is_said():
    table = pd.DataFrame({"x": NUMBERS, "y": ["-999", *NUMBERS[:0:-1]]}, dtype="str")
    assert any(
        each.startswith("'y': '-999' (row 1), in 1 row, lies apart")
        for each in draft_parameters(table, "t", "y").remarks
    )


@pytest.mark.parametrize("word", ["Total", "TOTAL:", "Grand total", "Summe", "average"])
def test_last_row_that_may_be_a_total_is_said(word):
    said = [each for each in remarks([*LETTERS, word]) if "last row" in each]
    assert said == [
        f"'{word}' (row 41) stands in the last row only, which may be the total of the others; it is kept as a row like "
        f"them, so delete it from the file if it is none"
    ]


@pytest.mark.parametrize("values", [["total", *LETTERS], ["total", *LETTERS[1:], "total"], [*LETTERS, "totality"]])
def test_word_for_a_total_elsewhere_is_a_level(values):
    assert not [each for each in remarks(values) if "last row" in each]
