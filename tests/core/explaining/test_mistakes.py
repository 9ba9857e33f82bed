import pandas as pd
import pytest

from torchlane.core.explaining.mistakes import list_mistakes
from torchlane.core.options import DataOptions


def options(task: str, **columns: str) -> DataOptions:
    kinds = {name: {"kind": kind} for name, kind in columns.items()}
    return DataOptions.model_validate({"task": task, "target": "y", "columns": kinds})


def test_largest_errors_come_first_and_equal_ones_in_the_order_of_rows():
    predictions = pd.DataFrame({"row": [9, 4, 2, 7], "truth": [1.0, 5.0, 0.0, 2.0], "prediction": [3.0, 4.0, 2.0, 2.0]})
    clean = pd.DataFrame({"row": range(1, 10), "size": [f"s{row}" for row in range(1, 10)], "y": 0.0})
    found = list_mistakes(predictions, clean, options("regression", size="category"))
    assert found.to_dict("list") == {
        "row": [2, 9, 4, 7],
        "truth": [0, 1, 5, 2],
        "prediction": [2, 3, 4, 2],
        "error": [2, 2, 1, 0],
        "size": ["s2", "s9", "s4", "s7"],
    }
    as_read = predictions.astype({"truth": str, "prediction": str})
    assert list_mistakes(as_read, clean, options("regression", size="category"))["error"].tolist() == [2, 2, 1, 0]


@pytest.mark.parametrize("labels", [["007", "NA", "x"], [1, 2, 3], [True, False, None]])
def test_confident_mistake_is_larger_than_a_narrow_one(labels):
    one, other, _ = labels
    predictions = pd.DataFrame({"row": [1, 2, 3], "truth": [one, one, other], "prediction": [one, other, one]})
    predictions[f"probability_{one}"] = [0.75, 0.25, 0.625]
    predictions[f"probability_{other}"] = [0.25, 0.75, 0.375]
    clean = pd.DataFrame({"row": [1, 2, 3], "size": [1.5, 2.5, 3.5]})
    found = list_mistakes(predictions, clean, options("binary", size="number"))
    assert found["row"].tolist() == [2, 3, 1] and found["error"].tolist() == [0.75, 0.625, 0.25]
    assert found["size"].tolist() == [2.5, 3.5, 1.5]


def test_at_most_20_mistakes_are_listed_and_none_without_test_rows():
    predictions = pd.DataFrame({"row": range(1, 31), "truth": 0.0, "prediction": range(30)})
    clean = pd.DataFrame({"row": range(1, 31), "size": 1.0})
    found = list_mistakes(predictions, clean, options("regression", size="number"))
    assert found["row"].tolist() == list(range(30, 10, -1))
    none = list_mistakes(predictions[:0], clean, options("regression", size="number"))
    assert none.empty and none.columns.tolist() == ["row", "truth", "prediction", "error", "size"]


def test_features_with_the_name_of_another_column_say_so_and_images_are_left_out():
    predictions = pd.DataFrame({"row": [1], "truth": [1.0], "prediction": [3.0]})
    clean = pd.DataFrame({"row": [1], "truth": [7.0], "error": [8.0]})
    found = list_mistakes(predictions, clean, options("regression", truth="number", error="number"))
    assert found.iloc[0].to_dict() == {
        "row": 1,
        "truth": 1,
        "prediction": 3,
        "error": 2,
        "truth (feature)": 7,
        "error (feature)": 8,
    }
    columns = {"image": {"kind": "image", "size": [1, 1, 1]}}
    data = DataOptions.model_validate({"task": "binary", "target": "y", "columns": columns})
    predictions = pd.DataFrame({"row": [1], "truth": ["a"], "prediction": ["a"], "probability_a": 1.0})
    assert "image" not in list_mistakes(predictions, clean.assign(image=b"x"), data)
