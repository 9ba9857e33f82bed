import pandas as pd
import pytest

from torchlane.core.explaining.failures import find_failures
from torchlane.core.options import DataOptions

COLUMNS = {"place": {"kind": "category"}, "size": {"kind": "number"}, "sold": {"kind": "date"}}
REGRESSION = DataOptions(task="regression", target="price", columns=COLUMNS | {"price": {"kind": "number"}})
BINARY = DataOptions(task="binary", target="answer", columns=COLUMNS | {"answer": {"kind": "category"}})


def rows(n_rows: int = 20) -> pd.DataFrame:
    """Rows of which the first half is at the sea and small, and later ones are larger and sold later."""
    numbers = list(range(n_rows))
    return pd.DataFrame(
        {
            "row": [number + 1 for number in numbers],
            "place": ["sea" if number < n_rows // 2 else "town" for number in numbers],
            "size": [float(number) for number in numbers],
            "sold": pd.to_datetime(["2025-01-01"] * n_rows, utc=True) + pd.to_timedelta(numbers, unit="D"),
        }
    )


def predictions(errors: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {"row": range(1, len(errors) + 1), "truth": "100", "prediction": [f"{100 + e}" for e in errors]}
    )


def test_level_and_ranges_with_larger_errors_come_first_and_say_by_how_much():
    found = find_failures(predictions([30.0] * 10 + [10.0] * 10), rows(), REGRESSION)
    by_group = found.set_index(["feature", "group"])
    assert by_group.loc[("place", "sea")].tolist() == [10, 30.0, 20.0, pytest.approx(10 * 10**0.5 / 10)]
    assert by_group.loc[("size", "0 to 4"), "error"] == 30.0
    assert by_group.loc[("sold", "2025-01-01 to 2025-01-05"), "rows"] == 5
    assert ("place", "town") not in by_group.index
    assert found["standard_errors"].is_monotonic_decreasing
    assert found.iloc[0]["feature"] == "place"


def test_error_of_labels_is_whether_they_are_wrong_and_rows_are_matched_by_number():
    told = pd.DataFrame({"row": range(20, 0, -1), "truth": "1", "prediction": ["1"] * 10 + ["0"] * 5 + ["1"] * 5})
    found = find_failures(told, rows(), BINARY).set_index(["feature", "group"])
    assert found.loc[("size", "5 to 9"), ["rows", "error", "overall"]].tolist() == [5, 1.0, 0.25]


def test_missing_values_are_a_group_and_few_rows_are_none():
    table = rows()
    table.loc[:5, "size"] = None
    table.loc[18:, "place"] = "moor"
    found = find_failures(predictions([40.0] * 6 + [10.0] * 12 + [99.0] * 2), table, REGRESSION)
    groups = set(zip(found["feature"], found["group"], strict=True))
    assert ("size", "missing") in groups
    assert not any(group == "moor" for _, group in groups)


@pytest.mark.parametrize("errors", [[], [7.0] * 20])
def test_no_rows_and_equal_errors_give_an_empty_table(errors):
    assert find_failures(predictions(errors), rows(), REGRESSION).empty


def test_images_have_no_groups():
    data = DataOptions(
        task="binary",
        target="answer",
        columns={"image": {"kind": "image", "size": [1, 2, 2]}, "answer": {"kind": "category"}},
    )
    told = pd.DataFrame({"row": range(1, 21), "truth": "1", "prediction": ["0", "1"] * 10})
    assert find_failures(told, rows(), data).empty
