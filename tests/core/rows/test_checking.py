import io
import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchlane.core.options import ColumnOptions, DataOptions
from torchlane.core.rows.checking import apply_rules, check_rejections, check_rows, rows_digest
from torchlane.core.rows.drafting import draft_parameters
from torchlane.core.rows.raw_rows import TORN, columns_of, find_torn, mark_torn, torn_rule


def options(**changes: object) -> DataOptions:
    columns = {
        "age": {"kind": "number", "minimum": 0, "maximum": 120},
        "size": {"kind": "category", "levels": ["S", "M"]},
        "city": {"kind": "category"},
    }
    return DataOptions.model_validate({"task": "regression", "target": "pay", "columns": columns, **changes})


def rows(**columns: list[str]) -> pd.DataFrame:
    good = {"age": ["30"], "size": ["S"], "city": ["Bonn"], "pay": ["10"]}
    n_rows = max(len(values) for values in columns.values())
    return pd.DataFrame({name: columns.get(name, value * n_rows) for name, value in good.items()}, dtype="str")


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("age", "old", "a number"),
        ("age", "1,234", "a number"),
        ("age", "inf", "a finite number"),
        ("age", "-1", "at least 0"),
        ("age", "121", "at most 120"),
        ("size", "XL", "one of S, M"),
        ("pay", "", "not missing"),
        ("pay", "soon", "a number"),
        ("pay", "-inf", "a finite number"),
    ],
)
def test_row_that_breaks_a_rule_is_rejected_with_number_column_value_and_rule(column, value, rule):
    good = {"age": "30", "size": "S", "pay": "10"}[column]
    clean, rejected = check_rows(rows(**{column: [good, value, good]}), options())
    assert rejected.to_dict("records") == [{"row": 2, "column": column, "value": value, "rule": rule}]
    assert clean["row"].tolist() == [1, 3]


def test_row_that_breaks_two_rules_is_listed_twice_and_rejected_once():
    clean, rejected = check_rows(rows(age=["30", "-5"], size=["S", "L"]), options())
    assert rejected["column"].tolist() == ["age", "size"]
    assert len(clean) == 1


def test_stray_spaces_and_words_for_missing_are_understood():
    clean, rejected = check_rows(rows(age=[" 30 ", "NaN", "n/a", "-", ""], size=["S ", "M", " M", "S", ""]), options())
    assert rejected.empty
    np.testing.assert_array_equal(clean["age"], [30, np.nan, np.nan, np.nan, np.nan])
    assert clean["size"].tolist()[:4] == ["S", "M", "M", "S"]
    assert clean["size"].isna().tolist() == [False] * 4 + [True]


def test_the_level_na_is_a_level_and_not_missing():
    clean, _ = check_rows(rows(city=["NA", "nan", ""]), options())
    assert clean["city"].tolist()[:2] == ["NA", "nan"]
    assert clean["city"].isna().tolist() == [False, False, True]


def test_typed_columns_read_as_their_text_does():
    text = rows(age=["30", "40", ""], city=["50", "0", ""])
    typed = text.assign(age=[30.0, 40.0, np.nan], city=[50.0, 0.0, np.nan], pay=[10, 10, 10])
    pd.testing.assert_frame_equal(check_rows(text, options())[0], check_rows(typed, options())[0])


def test_undeclared_columns_are_ignored_and_named(caplog):
    with caplog.at_level(logging.INFO):
        clean, _ = check_rows(rows(age=["1"]).assign(secret="x"), options())
    assert list(clean) == ["row", "age", "size", "city", "pay"]
    assert "secret" in caplog.text


def test_raw_rows_stay_as_they_were():
    raw = rows(age=["30", "x"])
    before = raw.copy(deep=True)
    check_rows(raw, options())
    pd.testing.assert_frame_equal(raw, before)


def test_missing_column_is_named_with_place_columns_and_way_out():
    raw = rows(age=["1"]).drop(columns="city")
    raw.attrs["place"] = "data/01_raw/x.csv"
    with pytest.raises(
        ValueError, match=r"column 'city' is not a column of data/01_raw/x.csv; .*age, size, pay; set data"
    ):
        check_rows(raw, options())
    with pytest.raises(ValueError, match=r"target 'pay' is not a column .* set data.target"):
        check_rows(rows(age=["1"]).drop(columns="pay"), options())


def test_no_row_left_names_the_commonest_rules():
    with pytest.raises(
        ValueError, match=r"'age' must be a number \(2 rows, first row 1\); 'age' must be at least 0 \(1 rows"
    ):
        check_rows(rows(age=["x", "y", "-1"]), options())


def test_header_without_rows_is_an_error():
    with pytest.raises(ValueError, match="header but no rows"):
        check_rows(rows(age=["1"]).iloc[:0], options())


def test_source_is_believed_only_where_the_digest_agrees(caplog):
    raw = rows(age=["30", "31"])
    raw.attrs["place"] = "mine.csv"
    known = options(source="bundled sample", digest=rows_digest(raw))
    assert check_rows(raw, known)[0].attrs["source"] == "bundled sample"
    changed = raw.assign(age=["30", "32"])
    assert check_rows(changed, known)[0].attrs["source"] == "mine.csv, which is not the bundled sample"
    assert check_rows(raw, options())[0].attrs["source"] == "mine.csv"


def test_digest_depends_on_names_and_values():
    raw = rows(age=["30"])
    assert len({rows_digest(each) for each in (raw, raw.rename(columns={"age": "old"}), raw.assign(age="31"))}) == 3


def test_levels_written_with_decimals_are_the_whole_numbers():
    columns = {"grade": {"kind": "category", "levels": ["1.0", 2.0]}}
    data = DataOptions.model_validate({"task": "regression", "target": "pay", "columns": columns})
    clean, rejected = check_rows(pd.DataFrame({"grade": ["1.0", "2"], "pay": ["1", "2"]}), data)
    assert rejected.empty
    assert clean["grade"].tolist() == ["1", "2"]


def test_numbers_that_no_feature_can_hold_and_values_over_several_lines_are_rejected():
    _, rejected = check_rows(rows(age=["1e39", "30", "31"], city=["a", "b\nc", "d"]), options(max_rejected_fraction=1))
    assert rejected["rule"].tolist() == ["a finite number", "in one line"]


def test_rejected_text_nan_is_shown_as_it_stood():
    _, rejected = check_rows(rows(size=["nan", "S"]), options())
    assert rejected["value"].tolist() == ["nan"]


def test_column_named_row_is_refused():
    with pytest.raises(ValueError, match="'row' is the name of the row number"):
        DataOptions.model_validate({"task": "regression", "target": "y", "columns": {"row": {"kind": "number"}}})


def test_values_at_the_limits_are_kept():
    clean, rejected = check_rows(rows(age=["0", "120", "-0.1", "120.1"]), options(max_rejected_fraction=1))
    assert clean["age"].tolist() == [0, 120]
    assert rejected["rule"].tolist() == ["at least 0", "at most 120"]


def test_as_many_rejected_rows_as_are_allowed_do_not_stop_the_run():
    clean, rejected = check_rows(rows(age=["1", "2", "3", "old"]), options())
    check_rejections(clean, rejected, options(max_rejected_fraction=0.25))
    with pytest.raises(ValueError, match="1 of 4 rows are rejected, more than data.max_rejected_fraction 0.24 allows"):
        check_rejections(clean, rejected, options(max_rejected_fraction=0.24))


def test_torn_rows_read_back_from_a_file_still_have_a_reason(tmp_path):
    clean, rejected = check_rows(TORN_ROWS, options())
    rejected.to_csv(tmp_path / "rejected.csv", index=False)
    with pytest.raises(
        ValueError, match=r"allows: a line must have 4 fields, as the header has \(2 rows, first row 2\);"
    ):
        check_rejections(clean, pd.read_csv(tmp_path / "rejected.csv"), options())


@pytest.mark.parametrize(
    ("text", "found", "separator", "cause"),
    [
        ("1,2,3,", 4, ",", ", without a separator at the end of the line"),
        ("1;2;3; ", 4, ";", ", without a separator at the end of the line"),
        ("Doe, Jane,2,3", 4, ",", ", and not 4: a text that holds the separator needs quotes"),
        ("1,2,3,,", 5, ",", ", and not 5: a text that holds the separator needs quotes"),
        ("1", 1, ",", ", and not 1"),
    ],
)
def test_the_cause_of_a_torn_row_is_named(text, found, separator, cause):
    assert torn_rule(3, text, found, separator) == f"3 fields, as the header has{cause}"


@pytest.mark.parametrize("names", [["1.5", "town"], ["0,32", "-1", "x"]])
def test_a_missing_header_is_suspected_where_a_column_is_missing(names):
    with pytest.raises(ValueError, match="the first line looks like a row: put a header above it; set data.target"):
        check_rows(pd.DataFrame({name: ["1"] for name in names}), options())


TORN_ROWS = mark_torn(rows(age=["30", "-1", "40"], size=["S", "M", "XL"]).set_axis([1, 3, 5]), {2: "7", 4: "1,2,3,4,5"})


def test_torn_row_is_rejected_with_its_text_and_has_no_other_rule_to_keep():
    assert list(TORN_ROWS) == ["age", "size", "city", "pay", TORN]
    clean, rejected = check_rows(TORN_ROWS, options())
    assert clean["row"].tolist() == [1]
    rule = "4 fields, as the header has"
    assert rejected.to_numpy().tolist() == [
        [2, "", "7", rule],
        [3, "age", "-1", "at least 0"],
        [4, "", "1,2,3,4,5", rule],
        [5, "size", "XL", "one of S, M"],
    ]


def test_mark_of_torn_rows_is_no_column(caplog):
    assert columns_of(TORN_ROWS) == ["age", "size", "city", "pay"]
    assert rows_digest(TORN_ROWS) == rows_digest(TORN_ROWS.drop(columns=TORN))
    with caplog.at_level(logging.INFO):
        check_rows(TORN_ROWS, options())
    assert "ignored" not in caplog.text
    with pytest.raises(ValueError, match="its columns are age, size, city, pay; set data.target"):
        check_rows(TORN_ROWS, options(target="rent"))


def unmarked(row: pd.DataFrame) -> pd.DataFrame:
    """Give a sound row as a table without torn rows has it."""
    return row.drop(columns=TORN, errors="ignore") if find_torn(row).empty else row


@st.composite
def rearranged(draw: st.DrawFn) -> tuple[pd.DataFrame, list[int], pd.DataFrame]:
    """A table with sound and torn rows; the places of some of them, in any order; these rows, by what pandas has."""
    n_rows = draw(st.integers(1, 12))
    torn = draw(st.dictionaries(st.integers(1, n_rows), st.sampled_from(["7", "", "1,2,3,4,5"])))
    places = [number for number in range(1, n_rows + 1) if number not in torn]
    ages = draw(st.lists(st.sampled_from(["30", "-1", "x", ""]), min_size=len(places), max_size=len(places)))
    sizes = draw(st.lists(st.sampled_from(["S", "XL", ""]), min_size=len(places), max_size=len(places)))
    sound = rows(age=ages, size=sizes) if places else rows(age=["1"]).iloc[:0]
    whole = mark_torn(sound.set_axis(places), torn)
    chosen = draw(st.lists(st.integers(0, n_rows - 1), min_size=1, max_size=12))
    cut = draw(st.integers(0, len(chosen)))
    ways = {
        "take": lambda part: part,
        "copy": lambda part: part.copy(deep=True).reset_index(drop=True),
        "halves": lambda part: pd.concat([part[:cut], part[cut:].reset_index(drop=True)]),
        "sound rows unmarked": lambda part: pd.concat([unmarked(part.iloc[[row]]) for row in range(len(part))]),
        "parquet": lambda part: pd.read_parquet(io.BytesIO(part.to_parquet())),
        "sort": lambda part: part.sort_index(kind="stable"),
    }
    way = draw(st.sampled_from(list(ways)))
    return whole, sorted(chosen) if way == "sort" else chosen, ways[way](whole.iloc[chosen])


@settings(max_examples=60, deadline=None)
@given(rearranged())
def test_each_row_is_judged_as_in_the_whole_table_wherever_it_is_put(drawn):
    whole, chosen, part = drawn
    columns = {name: options().columns[name] for name in ("age", "size")}
    clean, rejected = apply_rules(whole, columns, ("",))
    part_clean, part_rejected = apply_rules(part, columns, ("",))
    for number, place in enumerate(chosen, start=1):
        for of_whole, of_part in ((clean, part_clean), (rejected, part_rejected)):
            expected = of_whole[of_whole["row"] == place + 1].drop(columns="row").reset_index(drop=True)
            found = of_part[of_part["row"] == number].drop(columns="row").reset_index(drop=True)
            pd.testing.assert_frame_equal(found, expected)
    assert len(part_clean) + part_rejected["row"].nunique() == len(chosen)
    assert len(find_torn(part)) == sum(place in find_torn(whole).index for place in chosen)


def test_doubled_column_that_nobody_declares_is_ignored_and_a_declared_one_refused(toy_rows, toy_data):
    extra = toy_rows.assign(note="x")
    doubled = pd.concat([extra, extra[["note"]]], axis=1)
    clean, _ = check_rows(doubled, toy_data.model_copy(update={"digest": "0" * 64}))
    assert len(clean) == len(toy_rows)
    assert rows_digest(doubled) != rows_digest(extra)
    with pytest.raises(ValueError, match="'size' stands 2 times"):
        check_rows(pd.concat([extra, extra[["size"]]], axis=1), toy_data)
    with pytest.raises(ValueError, match="'note' stands more than once"):
        draft_parameters(doubled, "toys", "price")


def test_limits_are_said_as_they_are_set():
    rows = pd.DataFrame({"x": ["1"]})
    for limit, said in ((1234567, "1234567"), (20350000.5, "20350000.5"), (2035, "2035")):
        _, rejected = apply_rules(rows, {"x": ColumnOptions(kind="number", minimum=limit)}, ("",))
        assert rejected["rule"].tolist() == [f"at least {said}"]


@pytest.mark.parametrize(
    ("value", "rule"),
    [("-1", "at least 0"), ("", "not missing"), ("inf", "a finite number"), ("much", "a number")],
)
@pytest.mark.parametrize("columns", [{}, {"w": {"kind": "number"}}], ids=["named alone", "declared too"])
def test_weight_that_is_no_number_of_rows_is_rejected(value, rule, columns):
    declared = {**options().model_dump(exclude_unset=True)["columns"], **columns}
    raw = rows(age=["30", "31", "32"]).assign(w=["0", value, "2.5"])
    clean, rejected = check_rows(raw, options(weight="w", columns=declared))
    assert rejected.to_dict("records") == [{"row": 2, "column": "w", "value": value, "rule": rule}]
    assert clean["w"].tolist() == [0.0, 2.5]


def test_missing_weight_column_is_named_with_its_option():
    with pytest.raises(
        ValueError, match="weight 'w' is not a column of the table; its columns are .*; set data.weight"
    ):
        check_rows(rows(age=["30"]), options(weight="w"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": "pay"}, "the target 'pay' cannot be the weight of rows too"),
        ({"weight": "city"}, "weight 'city' is declared as a category.*set its kind to number"),
        ({"weight": "row"}, "'row' is the name of the row number"),
    ],
)
def test_column_that_cannot_weigh_rows_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        options(**changes)


def test_weight_is_no_feature_unless_it_is_named():
    assert list(options(weight="age").feature_columns) == ["size", "city"]
    assert list(options(weight="age", features=["age", "city"]).feature_columns) == ["age", "city"]
    assert options(weight="age").weight_column.maximum == 120
