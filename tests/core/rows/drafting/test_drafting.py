import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from kedro.config import OmegaConfigLoader

from torchlane.core.options import DataOptions
from torchlane.core.options.levels import plain_level
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.drafting import draft_parameters
from torchlane.core.rows.drafting.missing import EVERYWHERE
from torchlane.core.rows.drafting.writing import as_value
from torchlane.core.rows.raw_rows import mark_torn


def rows(**columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(columns, dtype="str")


def draft(table: pd.DataFrame, target: str) -> dict:
    data = yaml.safe_load(draft_parameters(table, "houses", target).parameters)["houses"]["data"]
    DataOptions.model_validate(data)
    return data


HOUSES = rows(
    number=[str(number) for number in range(1, 31)],
    size=[f"{40 + 2.5 * number}" for number in range(30)],
    rooms=["2", "3", ""] * 10,
    garden=["0", "1"] * 15,
    place=["town", " sea ", "no"] * 10,
    street=[f"street {number % 25}" for number in range(30)],
    owner=[f"owner {number}" for number in range(30)],
    country=["NL"] * 30,
    price=[str(1000 * number) for number in range(1, 31)],
)


def test_columns_have_types_and_limits_by_meaning():
    data = draft(HOUSES, "price")
    assert data["columns"] == {
        "size": {"kind": "number"},
        "rooms": {"kind": "category"},
        "garden": {"kind": "category", "levels": [0, 1]},
        "place": {"kind": "category"},
        "street": {"kind": "category"},
        "price": {"kind": "number", "minimum": 0},
    }


def test_columns_that_say_nothing_are_comments_with_the_reason():
    text = draft_parameters(HOUSES, "houses", "price").parameters
    for reason, line in (("it numbers the rows, beginning with '1'", "number: {kind: number}"),
                         ("no value repeats, beginning with 'owner 0'", "owner: {kind: category}"),
                         ("it never changes, it is always 'NL'", "country: {kind: category}")):  # fmt: skip
        assert (
            f"      # {reason} (row 1); it is left out, so remove the # before its line to use it\n      # {line}\n"
            in text
        )


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([str(number / 7) for number in range(40)], "regression"),
        (["0", "1"] * 20, "binary"),
        (["true", "False"] * 20, "binary"),
        (["1", "2", "3", "4"] * 10, "multiclass"),
        (["cat", "dog", "cow", "hen"] * 10, "multiclass"),
        ([str(number) for number in range(40)], "regression"),
    ],
)
def test_task_follows_the_target(values, task):
    table = rows(x=[str(number % 9) for number in range(40)], y=values)
    assert draft(table, "y")["task"] == task


@pytest.mark.parametrize(
    ("table", "target", "message"),
    [
        (HOUSES, "prise", "target 'prise' is not a column of the table; its columns are number, size"),
        (HOUSES, "country", "target 'country' never changes, it is 'NL' in all of the 30 rows that have one"),
        (HOUSES, "owner", "target 'owner' cannot be predicted: no value repeats"),
        (HOUSES[["country", "price"]], "price", "no column to predict 'price' from \\('country': it never changes"),
        (HOUSES[:0], "price", "the table has 0 rows; a draft needs at least 2"),
    ],
)
def test_what_cannot_be_drafted_is_refused(table, target, message):
    with pytest.raises(ValueError, match=message):
        draft_parameters(table, "houses", target)


def test_torn_rows_are_left_out_and_said(caplog):
    sound = HOUSES.set_axis([number + (number > 3) for number in range(1, 31)])
    torn = mark_torn(sound, {4: "4,50", 32: "# the end"})
    assert draft_parameters(torn, "houses", "price") == draft_parameters(HOUSES, "houses", "price")
    assert (
        "2 torn rows of 32 left out; the first is row 4: '4,50' should have 9 fields, as the header has" in caplog.text
    )
    with pytest.raises(ValueError, match=r"its columns are number, size, .*, price$"):
        draft_parameters(torn, "houses", "rent")


ODD = [
    "1E5",
    "1e5",
    "no",
    "On",
    "y",
    "010",
    "0x1F",
    "0o7",
    "0b1",
    "1_000",
    "12:30:45",
    ".5",
    "+1",
    "1.",
    ".inf",
    ".NaN",
]
ODD += [
    "null",
    "~",
    "=",
    "2020-01-01",
    "2020-01-01 10:00:00",
    "???",
    "- a",
    "a: b",
    "a #b",
    "{a}",
    "[a",
    "*a",
    "&a",
    "!a",
]
ODD += [
    "${x}",
    "${oc.env:HOME}",
    "a\\\\${x}",
    "\\${x",
    "$",
    "\\",
    "'",
    '"',
    "%a",
    "@a",
    "|",
    ">",
    "<<",
    "__a",
    "a\u2028a",
    "1.50",
]
odd_texts = st.sampled_from(ODD) | st.text(
    st.sampled_from("$\\{}'\" :#1e.-_a,") | st.characters(codec="utf-8", exclude_characters="\n\r"),
    min_size=1,
    max_size=6,
)
levels = odd_texts.map(plain_level).filter(bool)


def loaded(text: str, name: str = "my") -> dict:
    """Read a draft as a run of Kedro does."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "base/parameters").mkdir(parents=True)
        (Path(folder) / "base/parameters" / f"{name}.yml").write_text(text, encoding="utf-8")
        return OmegaConfigLoader(folder, base_env="base", default_run_env="base")["parameters"]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(levels, min_size=3, max_size=6, unique=True),
    st.lists(
        odd_texts.map(str.strip).filter(lambda name: name not in ("", "row")), min_size=2, max_size=2, unique=True
    ),
    st.sampled_from(["my", "no", "on", "null", "y", "true"]),
    st.sampled_from(["my.csv", "a\nb: c.csv", "${x}.csv"]),
)
@example(ODD, ["${x}", "1E5"], "no", "my.csv")
def test_whatever_a_draft_writes_comes_back_as_the_same_text(values, names, use_case, place):
    known = [value for value in values if value not in EVERYWHERE]
    assume(len(known) > 1)
    assert loaded(f"my: {as_value({'levels': values})}")["my"]["levels"] == values
    table = rows(**{names[0]: values * 2, names[1]: values * 2})
    table.attrs["place"] = place
    drafted = loaded(draft_parameters(table, use_case, names[1]).parameters, use_case)
    assert list(drafted) == [use_case]
    data = DataOptions.model_validate(drafted[use_case]["data"])
    assert (data.target, list(data.columns)) == (names[1], names)
    assert set(data.target_column.levels or known) == set(known)
    clean, rejected = check_rows(table, data)
    assert set(rejected["value"]) <= set(values) - set(known)
    if data.columns[names[0]].kind == "category":
        assert clean[names[0]].tolist() == known * 2


@pytest.mark.parametrize("first_line", ["# made by us", "sep=;", "Report,,"])
def test_lines_above_the_header_are_named_as_the_cause(first_line):
    names = first_line.split(",")
    table = pd.DataFrame(
        [["x", "y", ""][: len(names)]], columns=[each or f"Unnamed: {i}" for i, each in enumerate(names)]
    )
    with pytest.raises(ValueError, match="'y' is not a column .* so remove the lines above the header from the file"):
        draft_parameters(table, "t", "y")


def test_missing_target_among_good_names_is_no_fault_of_the_header():
    with pytest.raises(ValueError, match="its columns are a, b$"):
        draft_parameters(rows(a=["1"], b=["2"]), "t", "y")


@pytest.mark.parametrize("label", ["NA", "null", "?"])
def test_label_that_is_read_as_missing_is_named_if_no_other_is_left(label):
    with pytest.raises(
        ValueError, match=rf"those with '{re.escape(label)}' \(row 1\), which is read as missing; if that"
    ):
        draft_parameters(rows(x=[f"{i % 7 / 2}" for i in range(20)], y=[label, "EU"] * 10), "t", "y")


def test_draft_of_dates_says_how_to_judge_by_the_latest_rows_and_splits_as_before():
    days = [f"2024-03-{1 + day}" if day > 8 else f"2024-03-0{1 + day}" for day in range(30)]
    found = draft_parameters(HOUSES.assign(listed=days, sold=days[::-1]), "houses", "price")
    (remark,) = [each for each in found.remarks if each.startswith("split.order_by: ")]
    assert remark.startswith("split.order_by: rows are split at random; if you will predict rows of later 'listed'")
    assert set(yaml.safe_load(found.parameters)["houses"]) == {"data"}
    uncommented = found.parameters.replace("  # split: ", "  split: ")
    assert yaml.safe_load(uncommented)["houses"]["split"] == {"order_by": "listed"}
    assert "split" not in draft_parameters(HOUSES, "houses", "price").parameters
