"""What the draft of a target says and chooses, case by case."""

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from torchlane.core.options import DataOptions
from torchlane.core.rows.checking import check_rejections, check_rows
from torchlane.core.rows.drafting import draft_parameters


def draft(target: list[str], **others: list[str]) -> tuple[dict, str]:
    """Draft for a target `y`: the section `data`, and the remarks on the target."""
    features = others or {"x": [f"{number * number % 97}.5" for number in range(len(target))]}
    drafted = draft_parameters(pd.DataFrame({**features, "y": target}, dtype="str"), "toy", "y")
    data = yaml.safe_load(drafted.parameters)["toy"]["data"]
    DataOptions.model_validate(data)
    return data, "\n".join(remark for remark in drafted.remarks if remark.startswith("'y'"))


def repeated(**counts: int) -> list[str]:
    """Text by how often it stands there; `_` in a name stands for nothing."""
    return [text.strip("_") for text, n_rows in counts.items() for _ in range(n_rows)]


def spread(values: range, n_rows: int = 300) -> list[str]:
    return [str(values[number * 7 % len(values)]) for number in range(n_rows)]


WHOLE = {
    "0 and 1": (spread(range(2)), "binary", "^$"),
    "1 and 2": (spread(range(1, 3)), "binary", "^$"),
    "two others": (repeated(_5=30, _10=70), "binary", r"two numbers, such as '5' \(row 1\), and is predicted as classes"),
    "three": (spread(range(3)), "multiclass", "3 different whole numbers.*set task: regression and write {kind: number}"),
    "three with gaps": (repeated(_200=50, _404=30, _500=20), "multiclass", "3 different whole numbers"),
    "digits": (spread(range(10)), "multiclass", "10 different whole numbers"),
    "stars": (repeated(_1=10, _2=20, _3=60, _4=80, _5=90), "multiclass", "counts or ratings, set task: regression"),
    "counts": (repeated(_0=150, _1=80, _2=40, _3=20, _4=8, _5=2), "regression", "6 different whole numbers.*set task: multi"),
    "quality": (repeated(_3=10, _4=53, _5=681, _6=638, _7=199, _8=18), "regression", "predicted as a number; if they are cl"),
    "ages": (spread(range(18, 36)), "regression", r"18 different whole numbers in 300 rows, such as '18' \(row 1\)"),
    "years": (spread(range(2010, 2020)), "regression", "10 different whole numbers"),
    "letters": (spread(range(1, 17)), "multiclass", "16 different whole numbers"),
    "many letters": (spread(range(26)), "regression", "26 different whole numbers.*set task: multiclass"),
    "miles per gallon": (spread(range(12, 45)), "regression", "^$"),
    "many": (spread(range(-500, 500, 3), 600), "regression", "^$"),
    "half steps": (repeated(**{"1.0": 20, "1.5": 20, "2.0": 20, "2.5": 30}), "regression", "4 different numbers"),
    "few rows": ([str(number) for number in range(1, 9)], "regression", "numbers the rows, .* name another --target"),
}  # fmt: skip


@pytest.mark.parametrize(("values", "task", "remark"), WHOLE.values(), ids=WHOLE)
def test_whole_numbers_are_amounts_or_classes_with_a_remark_how_to_change_it(values, task, remark):
    data, remarks = draft(values)
    assert data["task"] == task
    assert pd.Series([remarks]).str.contains(remark).all(), remarks


@pytest.mark.parametrize("name", ["wine_class", "species code", "Label"])
def test_name_of_classes_makes_whole_numbers_classes(name):
    table = pd.DataFrame({"x": spread(range(97)), name: spread(range(40, 52))}, dtype="str")
    assert "task: multiclass" in draft_parameters(table, "toy", name).parameters


WRITTEN = {
    "money": ([f"${number},{number % 900 + 100}.50" for number in range(1, 60)], {"format": "money"}),
    "per cent": ([f"{number / 4}%" for number in range(60)], {"format": "percent", "minimum": 0, "maximum": 100}),
    "decimal comma": ([f"{number},25" for number in range(-30, 30)], {"decimal": "comma"}),
    "euro": ([f"{number}.200,{number} €" for number in range(10, 60)], {"format": "money", "decimal": "comma"}),
    "unit": ([f"{number / 8} kg" for number in range(1, 60)], {"unit": "kg"}),
}


@pytest.mark.parametrize(("values", "options"), WRITTEN.values(), ids=WRITTEN)
def test_amounts_as_people_write_them_are_a_regression_that_prepare_reads(values, options):
    data, remarks = draft(values)
    assert data["task"] == "regression"
    assert data["columns"]["y"] == {"kind": "number", **options}
    assert "(row 1) and others look like" in remarks
    table = pd.DataFrame({"x": spread(range(97), len(values)), "y": values}, dtype="str")
    clean, _ = check_rows(table, DataOptions.model_validate(data))
    assert clean["y"].notna().all() and len(clean) == len(values)


LABELS = {
    "case": (repeated(yes=40, Yes=30, NO=30, no=20), r"the levels 'yes' \(row 1\) and 'Yes' \(row 41\) differ in case"),
    "white space": (["a b"] * 40 + ["a  b"] * 30 + ["c"] * 30, "differ in case or white space only"),
    "rare": (repeated(ok=990, fraud=10), r"'fraud' \(row 991\) is rare, with 10 of 1000 rows; .*class_weights"),
    "one row": (repeated(a=50, b=49, c=1), r"'c' \(row 100\) is the label of fewer than 3 rows, so train, valid and test"),
    "many": ([f"label {number % 30}" for number in range(300)], "30 labels in 300 rows, such as 'label 0', and each is a cl"),
    "sign": (repeated(**{"a": 50, "b": 30, "--": 20}), r"'--' \(row 81\) is kept as a level"),
    "zeros": (repeated(**{"007": 50, "042": 50}), "leading zeros are predicted as classes"),
    "beyond 2^53": (repeated(**{"90071992547409931": 50, "90071992547409932": 50}), r"beyond 2\^53, which float64"),
    "missing": (repeated(a=50, b=40, _=10), r"10 of 100 rows have no target \(row 91 the first\); .* rejected rows"),
    "stand-in": (["NA", *repeated(**{"1.5": 50, "2.5": 45}), "NA"], r"2 of 97 rows have no target \('NA' \(row 1\)\)"),
}  # fmt: skip


@pytest.mark.parametrize(("values", "remark"), LABELS.values(), ids=LABELS)
def test_remark_on_labels_and_rows_without_one(values, remark):
    _, remarks = draft(values)
    assert pd.Series([remarks]).str.contains(remark).any(), remarks


NUMBERS = {
    "bad": (["1.2.3", *map(str, np.arange(60) / 7)], r"'1.2.3' \(row 1\) is no number; 1 row will be rejected"),
    "nearly constant": (["0"] * 290 + [f"{number}.25" for number in range(10)], r"'0' \(row 1\) is the target of 290 of 300"),
    "identifier": ([str(5000 + 3 * number) for number in range(60)], "counts the rows, with gaps, .* name another --target"),
}  # fmt: skip


@pytest.mark.parametrize(("values", "remark"), NUMBERS.values(), ids=NUMBERS)
def test_remark_on_numbers(values, remark):
    data, remarks = draft(values)
    assert data["task"] == "regression"
    assert pd.Series([remarks]).str.contains(remark).any(), remarks


REFUSED = {
    "time": ([f"2020-01-{day:02} 10:00:00" for day in range(1, 29)], r"point in time, such as '2020-01-01 10:00:00' \(row 1\)"),
    "date": ([f"{day}.3.2020" for day in range(1, 29)], "point in time, .* days from a fixed date"),
    "American": ([f"03/{day}/2020" for day in range(1, 29)], "point in time"),
    "month": (["Jan 2020", "Feb 2020", "Mar 2021"] * 9, "point in time"),
    "compact": ([f"202003{day:02}" for day in range(1, 29)], "point in time"),
    "clock": ([f"10:{minute:02}" for minute in range(40)], "time of day or a length of time, .* hours or minutes"),
    "constant": (["7"] * 20, "never changes, it is '7' in all of the 20 rows"),
    "empty": ([""] * 20, "is empty in all rows"),
    "free text": ([f"the {number}th of many long remarks" for number in range(40)], "free text, .* too few rows per label"),
    "UUIDs": ([f"{number:08x}-0000-4000-8000-000000000000" for number in range(40)], "identifiers such as UUIDs"),
    "names": ([f"owner{number}" for number in range(40)], "no value repeats, .* name another --target"),
    "nearly unique": ([f"owner{number % 28}" for number in range(40)], "28 labels in 40 rows, .* too few rows per label"),
    "codes": ([f"00{number}" for number in range(100, 140)], "cannot be predicted"),
}  # fmt: skip


@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=REFUSED)
def test_target_that_cannot_be_predicted_is_refused_in_one_line(values, message):
    with pytest.raises(ValueError, match=message) as caught:
        draft(values)
    assert "\n" not in str(caught.value)


def test_row_as_target_and_an_identifier_as_the_only_feature_are_refused_in_our_words():
    table = pd.DataFrame({"id": [str(number) for number in range(50)], "row": spread(range(97), 50)}, dtype="str")
    with pytest.raises(ValueError, match="^target 'row': this name is taken by the row number; rename the column"):
        draft_parameters(table, "toy", "row")
    with pytest.raises(ValueError, match=r"^the table has no column to predict 'y' from \('id': it numbers the rows\)"):
        draft_parameters(table.rename(columns={"row": "y"}), "toy", "y")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 60), st.integers(0, 2), st.sampled_from([("a", "b"), ("0.5", "7.25", "9"), ("$5.50", "$7")]))
def test_drafted_limit_allows_for_all_rows_that_have_no_target(n_missing, n_bad, values):
    target = (
        [values[number % len(values)] for number in range(60)]
        + [""] * n_missing
        + ["1.2.3"] * (n_bad * (values[0] != "a"))
    )
    data, remarks = draft(target)
    table = pd.DataFrame({"x": spread(range(97), len(target)), "y": target}, dtype="str")
    options = DataOptions.model_validate(data)
    check_rejections(*check_rows(table, options), options)
    assert (f"{n_missing} of {len(target)} rows have no target" in remarks) is (n_missing > 0)
    assert ("max_rejected_fraction" in data) is ("data.max_rejected_fraction is set to" in remarks)
