import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchlane.core.options import DataOptions
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.drafting import seen
from torchlane.core.rows.drafting.features import draft_features
from torchlane.core.rows.raw_rows import mark_torn

N = 40
NUMBERS = [f"{(37 * i) % 101 / 10}" for i in range(N)]  # in no order, with a fraction
WHOLE = [str((37 * i) % 31) for i in range(N)]
LETTERS = ["a", "b", "c", "d"] * 10
OUT = "so remove the # before its line to use it"


def table(**columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(columns, dtype="str")


def draft(values: list[str], name: str = "x"):
    """Draft a column among others, whose target says nothing of it."""
    target = [str((17 * i) % 23 / 4) for i in range(len(values))]
    return draft_features(table(**{name: values, "y": target}), "y")


def replaced(values: list[str], *others: str, at: int = 5) -> list[str]:
    return [*values[:at], *others, *values[at + len(others) :]]


@pytest.mark.parametrize(
    ("name", "values", "options", "note"),
    [
        ("x", NUMBERS, {"kind": "number"}, "0 to 10 in the file"),
        ("age", WHOLE, {"kind": "number", "minimum": 0}, "0 to 30 in the file"),
        ("year", [str(1990 + i % 30) for i in range(N)], {"kind": "number", "minimum": 0}, "1990 to 2019 in the file"),
        ("temperature", WHOLE, {"kind": "number"}, "0 to 30 in the file"),
        ("net_change", WHOLE, {"kind": "number"}, "0 to 30 in the file"),
        ("steps", ["-1", *WHOLE[1:]], {"kind": "number"}, "-1 to 30 in the file"),
        ("city_share", [f"0.{i % 7}" for i in range(N)], {"kind": "number", "minimum": 0, "maximum": 1}, "0 to 0.6 in the file"),
        ("humidity_pct", NUMBERS, {"kind": "number", "minimum": 0, "maximum": 100}, "0 to 10 in the file"),
        ("ratio", [f"0.{i % 7}" for i in range(N)], {"kind": "number"}, "0 to 0.6 in the file"),
        ("x", ["0", "1", "1", ""] * 10, {"kind": "category", "levels": [0, 1]}, ""),
        ("x", ["4", "8"] * 20, {"kind": "category"}, "levels: 4, 8"),
        ("year", ["1999", "2008"] * 20, {"kind": "number", "minimum": 0}, "1999 to 2008 in the file"),
        ("x", ["true", "FALSE"] * 20, {"kind": "category", "levels": [False, True]}, ""),
        ("x", ["yes", "no"] * 20, {"kind": "category", "levels": ["no", "yes"]}, ""),
        ("x", LETTERS, {"kind": "category"}, "levels: a, b, c, d"),
        ("x", [f"town {i % 30}" for i in range(400)], {"kind": "category"}, "30 levels in the file"),
    ],
)  # fmt: skip
def test_limits_follow_from_meaning_and_the_range_of_the_file_is_a_note(name, values, options, note):
    (drafted,) = draft(values, name).columns.values()
    assert (drafted.options, drafted.note, drafted.left_out, drafted.remarks) == (options, note, "", ())


@pytest.mark.parametrize(
    ("name", "values", "options", "remarks"),
    [
        ("x", replaced(NUMBERS, "1.2.3"), {"kind": "number"},
         ["'1.2.3' (row 6) cannot be read as a number; 1 row will be rejected, unless you correct the file, add it to data.missing_values or set kind: category"]),
        ("x", replaced(NUMBERS, "-", "n/a"), {"kind": "number"}, ["'-' (row 6) is read as missing; correct the file if it is not"]),
        ("x", replaced([str(i % 9) for i in range(N)], "<0.1", "<0.1", "high", ">9"), {"kind": "category"},
         ["'0' (row 1) and others look like numbers, but '<0.1' (row 6), 'high' (row 8), '>9' (row 9) do not (4 rows in all); all are taken as text, so correct those rows if you want kind: number"]),
        ("x", [f"${i * 111:,}.50" for i in range(N)], {"kind": "number", "format": "money"},
         ["'$0.50' (row 1) and others look like amounts of money; they are read as such, unless you set kind: category"]),
        ("x", [f"{'$€'[i % 2]}{i % 9}.50" for i in range(N)], {"kind": "number", "format": "money"},
         ["'$0.50' (row 1) and others look like amounts of money in several currencies ($, €); they are read as such, unless you set kind: category"]),
        ("x", [f"{each}%" for each in NUMBERS], {"kind": "number", "format": "percent", "minimum": 0, "maximum": 100},
         ["'0.0%' (row 1) and others look like per cents; they are read as such, unless you set kind: category"]),
        ("x", [each.replace(".", ",") for each in NUMBERS], {"kind": "number", "decimal": "comma"},
         ["'0,0' (row 1) and others look like numbers with a decimal comma; they are read as such, unless you set kind: category"]),
        ("x", [f"{each},000" for each in range(1, 1 + N)], {"kind": "number", "decimal": "point", "minimum": 0},
         ["'1,000' (row 1) and others look like numbers with commas between thousands; they are read as such, unless you set kind: category"]),
        ("x", [f"{each} kg" for each in NUMBERS], {"kind": "number", "unit": "kg"},
         ["'0.0 kg' (row 1) and others look like numbers with the unit kg; they are read as such, unless you set kind: category"]),
        ("x", [f"2024-03-{1 + i % 28:02}" for i in range(N)], {"kind": "date"},
         ["'2024-03-01' (row 1) and others look like dates and give month, weekday and elapsed time as features, unless you set another kind"]),
        ("x", [f"{1 + i % 28:02}.03.2024 06:30" for i in range(N)], {"kind": "date", "format": "%d.%m.%Y %H:%M"},
         ["'01.03.2024 06:30' (row 1) and others look like dates and give month, weekday and elapsed time as features, unless you set another kind"]),
        ("x", [f"{1 + i % 28}/3/2024" for i in range(N)], {"kind": "date", "format": "%d/%m/%Y"},
         ["'1/3/2024' (row 1) and others look like dates and give month, weekday and elapsed time as features, unless you set another kind"]),
        ("x", [f"{1 + i % 9}/3/2024" for i in range(N)], {"kind": "date", "format": "%m/%d/%Y"},
         ["'1/3/2024' (row 1) and others look like dates, in which day and month may be either way round (%d/%m/%Y), and give month, weekday and elapsed time as features, unless you set another kind"]),
        ("x", [f"202403{1 + i % 28:02}" for i in range(N)], {"kind": "date", "format": "%Y%m%d"},
         ["'20240301' (row 1) and the others look like dates and give month, weekday and elapsed time as features, unless you set another kind"]),
        ("x", [f"{i % 24:02}:30" for i in range(N * 2)], {"kind": "category"},
         ["'00:30' (row 1) and others look like times of day; they are kept as a category, so write them as hours or minutes in the file if they are numbers"]),
        ("zip", ["00501", "10001", "02139", "94105"] * 10, {"kind": "category"},
         ["'00501' (row 1), '02139' (row 3) and other codes with leading zeros are kept as a category, unless you set kind: number"]),
        ("zip", ["00501", "02139", "03901", "05001"] * 10, {"kind": "category"},
         ["'00501' (row 1), '02139' (row 2), '03901' (row 3) and other codes with leading zeros are kept as a category, unless you set kind: number"]),
        ("x", ["10E2", "1032", "2245", "11E3"] * 10, {"kind": "category"},
         ["'10E2' (row 1), '11E3' (row 4) and other codes with a letter E are kept as a category, unless you set kind: number"]),
        ("x", replaced([str(i % 9) for i in range(N * 2)], "5b", "7c"), {"kind": "category"},
         ["'5b' (row 6), '7c' (row 7) and other codes, some with letters, are kept as a category, unless you set kind: number"]),
        ("x", [f"{1180 + i}-03-01" for i in range(N)], {"kind": "date"},
         ["'1180-03-01' (row 1) and others look like dates and give month, weekday and elapsed time as features, unless you set another kind"]),
        ("x", replaced(WHOLE, "007"), {"kind": "number", "minimum": 0},
         ["'007' (row 6) may be codes; they are read as numbers, unless you set kind: category"]),
        ("x", ["9007199254740993", "9007199254740992", "12"] * 20, {"kind": "category"},
         ["'9007199254740993' (row 1), '9007199254740992' (row 2) and other whole numbers beyond 2^53, which float64 does not keep apart, are kept as a category, unless you set kind: number"]),
        ("store_id", [str(7 * i % 9) for i in range(N)], {"kind": "category"},
         ["its name says that whole numbers such as '0' (row 1) are codes; they are kept as a category, unless you set kind: number"]),
        ("MS.SubClass", [str(20 + 10 * (i % 5)) for i in range(N)], {"kind": "category"},
         ["its name says that whole numbers such as '20' (row 1) are codes; they are kept as a category, unless you set kind: number"]),
        ("roomType", ["1", "2", "3", "2"] * 10, {"kind": "category"},
         ["its name says that whole numbers such as '1' (row 1) are codes; they are kept as a category, unless you set kind: number"]),
        ("x", [f"3{(7919 * i) % 1000003:06}" for i in range(100)], {"kind": "number", "minimum": 0},
         ["no value repeats, beginning with '3000000' (row 1), so they may identify rows; it is kept, so delete its line if they do"]),
        ("x", ["yes", "Yes", "NO", "no"] * 10, {"kind": "category"},
         ["the levels 'yes' (row 1) and 'Yes' (row 2) differ in case or white space only, and so does 1 more; they are kept apart, so write them alike in the file if they mean the same"]),
        ("x", ["New York", "New  York", "Rome", "Oslo"] * 10, {"kind": "category"},
         ["the levels 'New York' (row 1) and 'New  York' (row 2) differ in case or white space only; they are kept apart, so write them alike in the file if they mean the same"]),
        ("x", ["none", "gas", "oil", "gas"] * 10, {"kind": "category"},
         ["'none' (row 1) is kept as a level; add it to data.missing_values if it means missing"]),
        ("is_vip", ["1", "1", *["0"] * 198], {"kind": "category", "levels": [0, 1]}, ["it is '0' in 198 of 200 rows and kept; delete its line if the other rows mean nothing"]),
        ("n_claims", ["1", *["0"] * 199], {"kind": "category"}, ["it is '0' in 199 of 200 rows and kept; delete its line if the other rows mean nothing"]),
        ("x", ["0", *["3"] * 199], {"kind": "category"}, ["it is '3' in 199 of 200 rows and kept; delete its line if the other rows mean nothing"]),
        ("x", ["a", "b", *[""] * 198], {"kind": "category"}, ["it is missing in 198 of 200 rows and kept; delete its line if the other rows mean nothing"]),
        ("x", [f"town {i % 25}" for i in range(N)], {"kind": "category"},
         ["it has 25 values in 40 rows, such as 'town 0', and is kept as a category, in which rare levels share a code; delete its line if they mean nothing"]),
        ("x", replaced(LETTERS, "two\nlines"), {"kind": "category"}, ["'two\nlines' (row 6) has several lines, so its rows will be rejected; correct the file"]),
    ],
)  # fmt: skip
def test_what_was_seen_is_said_with_the_choice_made(name, values, options, remarks):
    (drafted,) = draft(values, name).columns.values()
    assert (drafted.options, drafted.left_out, list(drafted.remarks)) == (options, "", remarks)


@pytest.mark.parametrize(
    ("name", "values", "why", "first"),
    [
        ("x", [str(i) for i in range(N)], "it numbers the rows", "0"),
        ("", [str(1 + i) for i in range(N)], "it numbers the rows", "1"),
        ("x", [str(10 + 3 * i + i % 3) for i in range(N)], "it counts the rows, with gaps", "10"),
        ("x", [str(500 - i) for i in range(N)], "it counts the rows", "500"),
        ("PID", [str((7919 * i) % 1000003) for i in range(N)], "it has the name of an identifier, and 40 values in 40 rows", "0"),
        ("passengerId", replaced([str((7919 * i) % 1000003) for i in range(N)], "0"), "it has the name of an identifier, and 39 values in 40 rows", "0"),
        ("x", [f"k{i:04}" for i in range(N)], "no value repeats", "k0000"),
        ("rownames", ["Mazda", "Ford", "Fiat", "Audi", "Opel"], "no value repeats", "Mazda"),
        ("x", [f"k{i:04}" for i in (*range(N - 1), 0)], "nearly no value repeats, 39 in 40 rows", "k0000"),
        ("x", [f"{i // 2:08x}-0000-4000-8000-000000000000" for i in range(1, N)], "it holds identifiers such as UUIDs", "00000000-0000-4000-8000-000000000000"),
        ("x", [f"this is a sentence of number {i % 30}" for i in range(N)], "it is free text, with 30 values in 40 rows", "this is a sentence of number 0"),
        ("x", [f"90071992547411{i:02}" for i in range(N)], "no value repeats", "9007199254741100"),
        ("x", ["NL"] * N, "it never changes", "NL"),
    ],
)  # fmt: skip
def test_columns_that_say_nothing_of_other_rows_are_left_out(name, values, why, first):
    (drafted,) = draft(values, name).columns.values()
    assert (drafted.left_out, list(drafted.remarks)) == (
        why,
        [
            f"{why}, {'it is always' if why == 'it never changes' else 'beginning with'} '{first}' (row 1); it is left out, {OUT}"
        ],
    )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("size", [str((37 * i) % 101) for i in range(N)]),  # whole numbers that do not repeat, in a small table
        ("speed", [str(i // 2) for i in range(N)]),  # sorted, with repeats
        ("year", [str(1950 + i) for i in range(N)]),
        ("price_index", [str(100 + i % 9) for i in range(N)]),
        ("x", [f"{i}e-05" for i in range(1, N)]),
        ("x", [f"{i}.0E5" for i in range(1, N)]),
        ("grade", ["1st", "2nd", "3rd", "2nd"] * 10),
        ("span", ["18-24", "25-34", "35-44", "45+"] * 10),
        ("term", ["36 months", "60 months"] * 20),
        ("age", [str(10 + i) for i in range(N)]),
        ("season_end", [str(1893 + i) for i in range(N)]),
        ("ages", ["40-", "50-", "60-", "70-"] * 10),
        ("course", ["1A", "2", "M12", "C7"] * 10),
        ("kind", ["1Fam", "2fmCon", "Duplex", "Twnhs"] * 10),
        ("room", ["A12", "B07", "C99", "A13"] * 10),
        ("blood", ["+", "-", "++", "+"] * 10),
        ("element", ["Na", "K", "Ca", "Mg"] * 10),
        ("name", ["Nan", "Ann", "Bob", "Cid"] * 10),
    ],
)
def test_ordinary_columns_give_no_remark(name, values):
    drafted = draft(values, name)
    assert [(each.left_out, each.remarks) for each in drafted.columns.values()] == [("", ())]
    assert (drafted.missing_values, drafted.remarks) == (("",), ())


def test_an_empty_column_and_one_named_row_are_left_out():
    drafted = draft_features(table(empty=[""] * N, row=NUMBERS, y=WHOLE), "y").columns
    assert drafted["empty"].remarks == (f"it is empty; it is left out, {OUT}",)
    assert drafted["row"].remarks == (
        "this name is taken by the row number, so it is left out; rename the column in the file to use it",
    )


def test_columns_that_agree_are_said_and_kept():
    renamed = [each.upper() for each in LETTERS]
    drafted = draft_features(table(a=NUMBERS, b=LETTERS, c=[f"{each}0" for each in NUMBERS], d=renamed, y=WHOLE), "y")
    assert [each.remarks for each in drafted.columns.values()] == [
        (), (), ("it agrees with 'a' in every row; both are kept, so delete the line of one",),
        ("it agrees with 'b' in every row; both are kept, so delete the line of one",),
    ]  # fmt: skip


def test_a_torn_row_changes_no_draft():
    sound = table(x=NUMBERS, z=WHOLE, y=NUMBERS[::-1]).set_axis(range(1, N + 1))
    torn = mark_torn(sound, {N + 1: "# end of file"})
    whole = torn.iloc[:N][["x", "z", "y"]]
    assert draft_features(whole, "y") == draft_features(sound.reset_index(drop=True), "y")


def test_columns_read_together_are_those_read_alone(monkeypatch):
    columns = {"a": NUMBERS, "b": LETTERS, "c": ["50.0", " true", "", "x"] * 10, "y": WHOLE}
    together = draft_features(table(**columns), "y")
    monkeypatch.setattr(seen, "JOINED", 1)
    assert draft_features(table(**columns), "y") == together


def later_rows(seed: int) -> pd.DataFrame:
    """Draw 300 rows of 50 columns, and a target, of one and the same kind for every seed."""
    generator = np.random.default_rng(seed)
    floats = {f"f{i}": generator.normal(size=300).round(3) for i in range(20)}
    counts = {f"n{i}": generator.poisson(3, 300) for i in range(20)}
    levels = {f"c{i}": generator.choice([*"abcdefgh"], 300, p=[*[0.142] * 7, 0.006]) for i in range(8)}
    years = {"year": generator.integers(2000, 2003, 300) + 20 * (seed > 0)}
    price = {"price": [f"${each:,.2f}" for each in generator.lognormal(5, 2, 300)]}
    return pd.DataFrame({**floats, **counts, **levels, **years, **price, "y": generator.normal(size=300)}).astype("str")


def test_a_draft_accepts_ordinary_new_rows():
    drafted = draft_features(later_rows(0), "y")
    columns = {name: draft.options for name, draft in drafted.columns.items()}
    assert (len(columns), columns["price"]["format"]) == (50, "money")
    options = DataOptions.model_validate({"task": "regression", "target": "y", "columns": columns})
    for seed in (1, 2, 3):
        assert check_rows(later_rows(seed), options)[1].empty


cells = st.one_of(
    st.floats(-1e6, 1e6).map(lambda number: f"{number:.2f}"),
    st.integers(-50, 50).map(str),
    st.sampled_from(
        ["NA", "?", "-", "--", ".", "", "none", "inf", "1e39", "x", "007", "1,5", "$3", "5%", "2024-02-30"]
    ),
)
columns = st.one_of(
    st.lists(cells, min_size=24, max_size=24),
    st.tuples(st.integers(0, 3), st.lists(cells, min_size=2, max_size=2)).map(
        lambda drawn: replaced([WHOLE, NUMBERS, LETTERS, [f"{1 + i % 28}.3.2024" for i in range(N)]][drawn[0]][:24], *drawn[1])
    ),
)  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(columns, columns)
def test_a_draft_accepts_all_rows_that_its_remarks_do_not_name(first, second):
    raw = table(a=first, b=second, y=[str(i * i / 7) for i in range(24)])
    drafts, missing_values, _ = draft_features(raw, "y")
    kept = {name: draft.options for name, draft in drafts.items() if not draft.left_out}
    if not kept:
        return
    options = DataOptions.model_validate(
        {"task": "regression", "target": "y", "columns": kept, "missing_values": missing_values}
    )
    rejected = check_rows(raw, options)[1].groupby("column").size()
    said = {
        name: int(found[1])
        for name, draft in drafts.items()
        if (found := re.search(r"(\d+) rows? will be rejected", " ".join(draft.remarks)))
    }
    assert rejected.to_dict() == {name: n_rows for name, n_rows in said.items() if name in kept}


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ([f"{i % 17 + 5} {'kg' if i % 2 else 'g'}" for i in range(N)], "'5 g' (row 1) and others look like numbers with something beside them (…g, …kg); it is kept as a category"),
        ([f"~{i % 17}" for i in range(N)], "'~0' (row 1) and others look like numbers with something beside them (~…); it is kept as a category"),
        ([f"'{each}" for each in WHOLE], "''0' (row 1) and others look like numbers with something beside them ('…); it is kept as a category"),
        ([f"{1 + i % 19}.3.2024" if i % 2 else f"2024-03-{1 + i % 19:02d}" for i in range(N)], "'2024-03-01' (row 1) and others look like dates in several formats; it is left out"),
        ([f"{1 + i % 9}.3.2024" if i % 2 else f"March {1 + i % 9}, 2024" for i in range(N)], "'March 1, 2024' (row 1) and others look like dates in several formats; it is kept as a category"),
    ],
)  # fmt: skip
def test_numbers_and_dates_in_several_forms_are_said(values, seen):
    (drafted,) = draft(values).columns.values()
    assert drafted.options == {"kind": "category"}
    assert drafted.remarks[-1].startswith(f"{seen}, so write ")


@pytest.mark.parametrize(
    "values",
    [
        LETTERS,
        [f"A{i % 17}" for i in range(N)],
        [f"{i % 17} {chr(65 + i % 11)}" for i in range(N)],
        ["1st", "2nd"] * 20,
    ],
)
def test_names_with_numbers_in_them_are_no_amounts(values):
    assert not [each for each in draft(values).columns["x"].remarks if "look like" in each]


def test_yes_and_no_in_several_ways_are_said():
    (drafted,) = draft(["yes", "no", "TRUE", "FALSE", "1"] * 8).columns.values()
    assert drafted.remarks == (
        "the levels 'yes' (row 1), 'no' (row 2), 'True' (row 3) and 2 more say yes or no in several ways; they are kept "
        "apart, so write them alike in the file if they mean the same",
    )


THOUSANDS = [f"{250 + 37 * i:,}" for i in range(N)]  # 250 to more than 1,000
POINTS = [each.replace(",", ".") for each in THOUSANDS]
WHOLE_COMMA = {"decimal": "comma", "minimum": 0}


@pytest.mark.parametrize(
    ("values", "options", "seen"),
    [
        ([f"€ {each}" for each in POINTS], {"format": "money", **WHOLE_COMMA}, "points between thousands"),
        ([f"€ {1000 + i:,}".replace(",", ".") for i in range(N)], {"format": "money", **WHOLE_COMMA}, "points between"),
        ([f"{each} km" for each in POINTS], {"unit": "km", **WHOLE_COMMA}, "points between thousands"),
        ([f"{each} km" for each in THOUSANDS], {"unit": "km", "decimal": "point", "minimum": 0}, "commas between"),
        ([f"{each}.5 km" for each in THOUSANDS], {"unit": "km", "decimal": "point"}, "with the unit km;"),
        ([f"({i / 7:.1f})" for i in range(1, N)], {"format": "money"}, "amounts of money;"),
        ([f"{i / 7:.3f} kg" for i in range(1, N)], {"unit": "kg"}, "with the unit kg;"),
        ([f"{i / 7:.3f} €" for i in range(1, N)], {"format": "money"}, "amounts of money;"),
        (POINTS, {}, "'1.101' (row 24) and 16 more may have points between thousands"),
    ],
)
def test_marks_before_three_digits_separate_thousands_where_whole_numbers_or_money_say_so(values, options, seen):
    (drafted,) = draft(values).columns.values()
    assert drafted.options == {"kind": "number", **options}
    assert seen in " ".join(drafted.remarks)


def test_numbers_with_fractions_of_any_length_have_no_remark_on_thousands():
    (drafted,) = draft([*POINTS[:-1], "1.5"]).columns.values()
    assert drafted.remarks == ()
