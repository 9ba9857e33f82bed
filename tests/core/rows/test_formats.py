"""Numbers as people write them: by hand for each spelling, and for any number by a writer of the format."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchlane.core.options import ColumnOptions, DataOptions
from torchlane.core.rows import formats
from torchlane.core.rows.checking import apply_rules, check_rows
from torchlane.core.rows.formats import read_formatted, rule_of


def column(**options: object) -> ColumnOptions:
    return ColumnOptions.model_validate({"kind": "number", **options})


def read(values: list[object], **options: object) -> list[object]:
    """Read values of any type; "no" stands for what does not fit."""
    numbers, failed = read_formatted(pd.Series(values, dtype=object), column(**options), ("", "none given"))
    return ["no" if wrong else None if np.isnan(each) else each for each, wrong in zip(numbers, failed, strict=True)]


MONEY = {
    "$1,234.50": 1234.5, "1 234.50 EUR": 1234.5, "USD 12": 12, "US$ 5": 5, "$5 USD": 5, "1'234.50": 1234.5,
    "\u20b91,00,000.50": 100_000.5, "1\u202f234.5\u00a0\u20ac": 1234.5, "1234.5": 1234.5, "5.": 5, ".5": 0.5,
    "(1,234.50)": -1234.5, "($1,234)": -1234, "$(5)": -5, "-$5": -5, "$-5": -5, "5-": -5, "\u2212$5": -5, "+5": 5,
    "CHF 50.-": 50, "100.\u2013": 100, "1e3": 1000, "0": 0, "-0": 0,
    "": None, " NA ": None, "-": None, "none given": None,
}  # fmt: skip
NO_MONEY = [
    *("1,23", "1,234,5", "0,123", "1.234.567", "1,234 567", "12,34,567,8", "(-5)", "--5", "-5-", "-$-5", "$1.2M", "5k"),
    *("5 MIO", "$", "True", "five", "5 5", "inf", "2024-01-05", "1_000", "0x1F", "\u0661"),
]


@pytest.mark.parametrize(("text", "number"), MONEY.items())
def test_amounts_of_money_are_read_as_people_write_them(text, number):
    assert read([text], format="money") == [number]


@pytest.mark.parametrize("text", NO_MONEY)
def test_what_is_no_amount_of_money_is_never_read_as_one(text):
    assert read([text], format="money") == ["no"]


@pytest.mark.parametrize(
    ("options", "values", "numbers"),
    [
        ({"format": "percent"}, ["45.3%", "45.3 %", "%45", "-4%", "(4%)", "45.3", "\uff15%"], [45.3] * 2 + [45, -4, -4, 45.3, "no"]),
        ({"format": "percent"}, ["1,234%", "4,5%", "5%%", "5 percent"], ["no"] * 4),
        ({"format": "percent", "decimal": "comma"}, ["45,3 %", "45.3%", "1.234,5%"], [45.3, "no", 1234.5]),
        ({"decimal": "comma"}, ["1.234,5", "-0,85", "1234,5", "1,5e3", "7"], [1234.5, -0.85, 1234.5, 1500, 7]),
        ({"decimal": "comma"}, ["1.5", "1234.5", "1,5,5", "1.23,5", "5 \u20ac"], ["no"] * 5),
        ({"decimal": "point"}, ["1,234.5", "1 234", "1234", "1,5"], [1234.5, 1234, 1234, "no"]),
        ({"format": "money", "decimal": "comma"}, ["1.234,50 \u20ac", "5,-", "1 234,- kr", "1.5"], [1234.5, 5, 1234, "no"]),
        ({"format": "money", "unit": "\u20ac"}, ["5 \u20ac", "\u20ac5", "5", "$5", "5 USD"], [5, 5, 5, "no", "no"]),
        ({"unit": "kg"}, ["12 kg", "12kg", "12", "-1.5 kg"], [12, 12, 12, -1.5]),
        ({"unit": "kg"}, ["12 KG", "12 g", "1,234 kg", "kg", "12 kg 5"], ["no"] * 5),
        ({"unit": "km/h", "decimal": "comma"}, ["1.234,5 km/h"], [1234.5]),
        ({"unit": "m\u00b2"}, ["5 m\u00b2", "5 m2"], [5, "no"]),
    ],
)  # fmt: skip
def test_numbers_are_read_in_the_format_of_their_column(options, values, numbers):
    assert read(values, **options) == numbers


@pytest.mark.parametrize("options", [{"format": "money"}, {"format": "percent", "decimal": "comma"}, {"unit": "kg"}])
def test_typed_numbers_are_plain_numbers_whatever_the_format(options):
    values = [1234.5, 7, Decimal("1.50"), np.float32(0.1), None, True]
    assert read(values, **options) == [1234.5, 7, 1.5, 0.1, None, "no"]
    for typed in (pd.Series([1.234, np.nan]), pd.Series([1.234, None], dtype="double[pyarrow]")):
        np.testing.assert_array_equal(read_formatted(typed, column(**options), ())[0], [1.234, np.nan])
    booleans = pd.Series([True, False])
    assert read_formatted(booleans, column(**options), ())[1].all()


def written(number: Decimal, comma: bool, around: str) -> str:
    text = f"{number:,f}"
    return around.format(text.translate(str.maketrans(",.", ".,")) if comma else text)


AMOUNTS = st.decimals(-(10**12), 10**12, places=2)


@settings(deadline=None)
@given(
    number=AMOUNTS,
    comma=st.booleans(),
    around=st.sampled_from([("money", "{} \u20ac"), ("money", "EUR {}"), ("percent", "{}%"), ("percent", "{} %"), (None, "{}")]),
)  # fmt: skip
def test_any_number_written_in_a_format_is_read_as_that_number(number, comma, around):
    form, text = around
    options = {"format": form, "decimal": "comma" if comma else "point"}
    assert read([written(number, comma, text)], **options) == [float(number) + 0.0]


@settings(deadline=None)
@given(number=AMOUNTS)
def test_brackets_and_signs_mean_the_same_negative_amount(number):
    text = f"{abs(number):,f}"
    spelt = [f"-${text}", f"$-{text}", f"({text})", f"(${text})", f"{text}-", f"\u2212{text} EUR"]
    assert read(spelt, format="money") == [-float(abs(number)) + 0.0] * len(spelt)


@settings(deadline=None)
@given(values=st.lists(st.one_of(st.sampled_from([*MONEY, *NO_MONEY]), st.floats(-1e9, 1e9), st.none()), max_size=8))
def test_a_value_is_read_alike_whatever_stands_beside_it(values):
    assert read(values, format="money") == [each for value in values for each in read([value], format="money")]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"format": "money"}, "an amount of money such as $1,234.50"),
        ({"format": "money", "decimal": "comma"}, "an amount of money such as 1.234,50 \u20ac"),
        ({"format": "money", "unit": "$"}, "an amount of money in $, such as 1,234.50 $"),
        ({"format": "percent"}, "a percentage such as 45.3%"),
        ({"decimal": "comma"}, "a number such as 1.234,5"),
        ({"unit": "kg"}, "a number in kg, such as 1.5 kg"),
    ],
)
def test_row_that_does_not_fit_the_format_is_rejected_with_it(options, rule):
    raw = pd.DataFrame({"price": ["1.234.5,6", ""]}, dtype="str")
    clean, rejected = apply_rules(raw, {"price": column(**options)}, ("",))
    assert rejected.to_dict("records") == [{"row": 1, "column": "price", "value": "1.234.5,6", "rule": rule}]
    assert clean["price"].isna().tolist() == [True]
    example = rule.rpartition("such as ")[2]
    assert read([example], **options) not in (["no"], [None]), f"the rule's own example {example} does not fit"
    assert rule == rule_of(column(**options))


def test_limits_hold_for_the_number_that_is_read():
    raw = pd.DataFrame({"price": ["$1,234.50", "(5)"]}, dtype="str")
    _, rejected = apply_rules(raw, {"price": column(format="money", minimum=0)}, ("",))
    assert rejected[["row", "rule"]].to_numpy().tolist() == [[2, "at least 0"]]


def test_amounts_in_several_currencies_are_said_with_the_way_out(caplog):
    raw = pd.DataFrame({"cost": ["$5", "USD 6", "7 \u20ac", "EUR 8", "9"], "y": ["1", "2", "3", "4", "5"]}, dtype="str")
    for cost, n_said in [({"format": "money"}, 1), ({"format": "money", "unit": "$"}, 0), ({"unit": "kg"}, 0)]:
        caplog.clear()
        columns = {"cost": {"kind": "number", **cost}}
        check_rows(raw, DataOptions.model_validate({"task": "regression", "target": "y", "columns": columns}))
        said = [each.getMessage() for each in caplog.records if "read as plain numbers" in each.getMessage()]
        assert len(said) == n_said
        assert all("'cost' has amounts in USD (2 rows) and EUR (2 rows)" in each for each in said)
    caplog.clear()
    one = raw.assign(cost=["$5", "$6", "7", "", "$1,000"])
    columns = {"cost": {"kind": "number", "format": "money"}}
    check_rows(one, DataOptions.model_validate({"task": "regression", "target": "y", "columns": columns}))
    assert "read as plain numbers" not in caplog.text


@pytest.mark.parametrize(
    ("options", "declared", "values"),
    [
        ({"decimal": "comma"}, "-999", ["-999", "-999,0", "\u2212999", -999.0, -999]),
        ({"decimal": "comma"}, "-999,00", ["-999", "-999,0", -999.0]),
        ({"format": "money"}, "$-1.00", ["-$1", "($1.00)", -1]),
        ({"unit": "kg"}, "0 kg", ["0", "0.0 kg", 0.0]),
    ],
)
def test_a_number_declared_as_missing_is_missing_however_it_is_written(options, declared, values):
    for value in values:
        found, failed = read_formatted(pd.Series([value, "7"], dtype=object), column(**options), (declared,))
        np.testing.assert_array_equal(found, [np.nan, 7])
        assert not failed.any()


@given(
    st.from_regex(r"[+-]?([0-9]{1,12}\.?[0-9]{0,12}|\.[0-9]{1,12})([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.sampled_from([{"unit": "kg"}, {"format": "money"}, {"format": "percent"}, {"unit": "kg", "decimal": "point"}]),
)
def test_plain_numbers_are_the_same_in_each_format_that_has_a_point(text, options):
    assert read([text, "x", f" {text} ", "", 2.5], **options) == [float(text), "no", float(text), None, 2.5]


def test_plain_numbers_of_a_column_with_a_unit_are_read_at_once(monkeypatch):
    def never(*_: object) -> None:
        raise AssertionError("each text is matched with patterns, which takes fifty times as long")

    monkeypatch.setattr(formats, "_read_text", never)
    assert read(["1.5", "-2", "1e3"], unit="kg") == [1.5, -2, 1000]
    assert read([1.5, -2], unit="kg") == [1.5, -2]
