import numpy as np
import pandas as pd
import pytest

from torchlane.core.options import DataOptions, SplitOptions
from torchlane.core.splits import rows_of, split_rows


def data(task: str = "regression", **columns: str) -> DataOptions:
    declared = {name: {"kind": kind} for name, kind in (columns or {"x": "number"}).items()}
    return DataOptions.model_validate({"task": task, "target": "y", "columns": declared})


def table(x: list, y: list) -> pd.DataFrame:
    return pd.DataFrame({"row": np.arange(1, len(x) + 1), "x": x, "y": y})


def parts_of(splits: pd.DataFrame) -> dict[str, int]:
    return splits["part"].value_counts().to_dict()


def test_parts_have_the_shares_asked_for_and_hold_each_row_once():
    splits = split_rows(
        table(list(range(1000)), [0.0] * 1000), data(), SplitOptions(valid_fraction=0.2, test_fraction=0.1)
    )
    assert parts_of(splits) == {"train": 700, "valid": 200, "test": 100}
    assert sorted(splits["row"]) == list(range(1, 1001))


def test_rows_that_repeat_each_other_share_a_part():
    x = [value for value in range(50) for _ in range(4)]
    splits = split_rows(table(x, x), data(), SplitOptions(seed=3))
    assert (splits.groupby(np.array(x))["part"].nunique() == 1).all()


def test_rows_with_equal_features_and_another_target_may_part():
    x = [0.0] * 100
    assert len(parts_of(split_rows(table(x, list(range(100))), data(), SplitOptions()))) == 3


def test_missing_values_count_as_equal_when_rows_are_compared():
    rows = pd.concat([table([np.nan] * 10, [1.0] * 10), table(list(range(90)), [0.0] * 90)], ignore_index=True)
    rows["row"] = np.arange(1, 101)
    splits = split_rows(rows, data(), SplitOptions())
    assert splits["part"][:10].nunique() == 1


def test_rows_of_a_named_group_share_a_part_together_with_their_repeats():
    rows = table(list(range(60)), [0.0] * 60).assign(owner=[str(n // 3) for n in range(60)])
    rows.loc[59, "x"] = 0  # repeats row 1 of another owner, which ties both owners together
    options = SplitOptions(group_by=("owner",))
    splits = split_rows(
        rows,
        data(x="number").model_copy(update={"columns": data(x="number", owner="category").columns, "features": ("x",)}),
        options,
    )
    assert (splits.groupby(rows["owner"])["part"].nunique() == 1).all()
    assert splits["part"][59] == splits["part"][0]


def test_unknown_group_column_is_refused():
    with pytest.raises(ValueError, match="split.group_by names 'owner'"):
        split_rows(table([1, 2], [1, 2]), data(), SplitOptions(group_by=("owner",)))


def test_classes_keep_their_shares_in_every_part():
    y = ["a"] * 800 + ["b"] * 200
    splits = split_rows(table(list(range(1000)), y), data("multiclass"), SplitOptions())
    shares = (pd.Series(y) == "b").groupby(splits["part"]).mean()
    np.testing.assert_allclose(shares, 0.2, atol=0.005)


def test_same_seed_same_split_and_another_seed_another():
    rows = table(list(range(200)), [0.0] * 200)
    first, again, other = (split_rows(rows, data(), SplitOptions(seed=seed)) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert (first["part"] != other["part"]).any()


def test_part_without_rows_is_an_error():
    with pytest.raises(ValueError, match="the split leaves no row for (valid|test): 2 rows"):
        split_rows(table([1, 2], [1, 2]), data(), SplitOptions())


def test_identical_rows_cannot_be_split():
    with pytest.raises(ValueError, match="give more rows that differ"):
        split_rows(table([1] * 20, [1] * 20), data(), SplitOptions())


def test_no_test_part_where_none_is_asked_for():
    splits = split_rows(table(list(range(100)), [0.0] * 100), data(), SplitOptions(test_fraction=0))
    assert parts_of(splits) == {"train": 85, "valid": 15}


def test_all_rows_may_stand_in_several_parts():
    rows = table([1, 2], [1, 2])
    splits = split_rows(rows, data(), SplitOptions(all_rows_in=("train", "test")))
    assert parts_of(splits) == {"train": 2, "test": 2}
    pd.testing.assert_frame_equal(rows_of("test", rows, splits), rows)
    assert rows_of("valid", rows, splits).empty


def official(parts: list[str | None]) -> tuple[pd.DataFrame, DataOptions]:
    n_rows = len(parts)
    rows = pd.DataFrame(
        {"row": range(1, n_rows + 1), "x": [float(n) for n in range(n_rows)], "y": ["a", "b"] * (n_rows // 2)}
    )
    rows["part"] = pd.Series(parts, dtype="str")
    columns = {"x": {"kind": "number"}, "part": {"kind": "category"}}
    return rows, DataOptions.model_validate({"task": "binary", "target": "y", "columns": columns, "features": ["x"]})


def test_official_parts_are_kept_and_valid_is_cut_from_train():
    rows, data = official(["train"] * 40 + ["test"] * 10)
    splits = split_rows(rows, data, SplitOptions(part_column="part", valid_fraction=0.25))
    assert splits["part"].value_counts().to_dict() == {"train": 30, "test": 10, "valid": 10}
    assert (splits["part"][40:] == "test").all()
    assert rows["y"][splits["part"] == "valid"].value_counts().to_dict() == {"a": 5, "b": 5}
    whole = split_rows(rows, data, SplitOptions(part_column="part", valid_fraction=0))
    assert whole["part"].tolist() == rows["part"].tolist()


def test_official_valid_part_is_kept_too():
    rows, data = official(["train"] * 6 + ["valid"] * 2 + ["test"] * 2)
    splits = split_rows(rows, data, SplitOptions(part_column="part", valid_fraction=0.3))
    assert splits["part"].tolist() == rows["part"].tolist()


@pytest.mark.parametrize(
    ("parts", "column", "message"),
    [
        (["train", "dev"], "part", "split.part_column 'part' holds dev; it may say train, valid, test"),
        (["train", None], "part", r"holds \(missing\)"),
        (["test", "test"], "part", "the split leaves no row for train"),
        (["train", "test"], "fold", "split.part_column 'fold' is not among data.columns: x, part"),
    ],
)
def test_parts_that_cannot_be_kept_are_refused(parts, column, message):
    rows, data = official(parts)
    with pytest.raises(ValueError, match=message):
        split_rows(rows, data, SplitOptions(part_column=column))
