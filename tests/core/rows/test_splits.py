import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchlane.core.options import DataOptions, FineTuningOptions, SplitOptions
from torchlane.core.rows.checking import ROW, check_rows
from torchlane.core.rows.splits import fold_rows, rows_of, split_rows
from torchlane.core.transfer.new_rows import split_new_rows


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


def passengers(seed: int, n_rows: int = 1400) -> tuple[pd.DataFrame, DataOptions]:
    """Draw rows of 2 x 3 x 39 combinations, whose label goes with all three columns, with noise."""
    random = np.random.default_rng(seed)
    levels = {"sex": 2, "class": 3, "age": 39}
    rows = pd.DataFrame({name: random.integers(0, n, n_rows) for name, n in levels.items()})
    effect = sum(random.normal(size=n)[rows[name]] for name, n in levels.items())
    rows["y"] = np.where(random.random(n_rows) < 1 / (1 + np.exp(-effect)), "yes", "no")
    rows.insert(0, ROW, np.arange(1, n_rows + 1))
    columns = {name: {"kind": "number"} for name in levels}
    return rows, DataOptions.model_validate({"task": "binary", "target": "y", "columns": columns})


def how_well_train_tells_test(rows: pd.DataFrame, held_out: np.ndarray, in_train: np.ndarray) -> float:
    """Give the AUC of the share of the label among the rows of train with the same features."""
    from sklearn.metrics import roc_auc_score

    names = ["sex", "class", "age"]
    share = rows[in_train].assign(y=rows["y"] == "yes").groupby(names)["y"].mean().rename("share").reset_index()
    found = rows[held_out].merge(share, on=names)
    return roc_auc_score(found["y"] == "yes", found["share"])


@pytest.mark.parametrize("how", ["test", "valid", "valid of the official train", "fold", "fine-tuning"])
def test_held_out_rows_of_few_combinations_are_told_by_train_as_well_as_those_of_a_plain_split(how):
    ours, plain = [], []
    for seed in range(8):
        rows, data = passengers(seed)
        options = SplitOptions(seed=seed)
        if how == "fold":
            splits = fold_rows(rows, data, options, 6, seed)[0].set_index(ROW).loc[rows[ROW]]
        elif how == "fine-tuning":
            splits = split_new_rows(rows, data, options, FineTuningOptions(seed=seed))
        elif how == "valid of the official train":
            given_parts = rows.assign(part=["train"] * 1200 + ["test"] * 200)
            splits = split_rows(given_parts, data, options.model_copy(update={"part_column": "part"}))
        else:
            splits = split_rows(rows, data, options)
        held_out = (splits["part"] == ("valid" if "valid" in how else "test")).to_numpy()
        ours.append(how_well_train_tells_test(rows, held_out, (splits["part"] == "train").to_numpy()))
        at_random = np.random.default_rng(seed).permutation(held_out)
        plain.append(how_well_train_tells_test(rows, at_random, ~at_random))
    assert np.mean(ours) > np.mean(plain) - 0.05  # 0.3 and more below it where repeats stay together


def test_copies_and_coincidences_may_be_set_by_hand(caplog):
    x = [value for value in range(50) for _ in range(4)]
    rows = table(x, x)
    with caplog.at_level(logging.INFO):
        for repeats, n_parts in (("together", 1), ("auto", 1), ("apart", 3)):
            splits = split_rows(rows, data(), SplitOptions(repeats=repeats))
            assert splits.groupby(np.array(x))["part"].nunique().max() == n_parts
    said = [each.message for each in caplog.records if "repeat others" in each.message]
    assert said == [
        "split: 150 of 200 rows repeat others: 150 as copies, kept together; 0 by chance, dealt one by one (split.repeats: together)",
        "split: 150 of 200 rows repeat others: 150 as copies, kept together; 0 by chance, dealt one by one",
        "split: 150 of 200 rows repeat others: 0 as copies, kept together; 150 by chance, dealt one by one (split.repeats: apart)",
    ]


drawn = settings(max_examples=50, deadline=None)
seeds = st.integers(0, 2**32 - 1)


@drawn
@given(seeds, st.integers(20, 400), st.sampled_from([0.1, 0.5, 1]), st.sampled_from(["regression", "binary"]))
def test_no_copy_of_a_row_sits_in_two_parts_or_folds(seed, n_rows, share, task):
    random = np.random.default_rng(seed)
    label = random.normal(size=n_rows) if task == "regression" else random.choice(["a", "b"], n_rows)
    rows = pd.DataFrame({"x": random.normal(size=n_rows), "z": random.normal(size=n_rows), "y": label})
    planted = rows.sample(max(1, int(share * n_rows)), random_state=seed)
    rows = pd.concat([rows, planted]).sample(frac=1, random_state=seed).reset_index(drop=True)
    rows[ROW] = np.arange(1, len(rows) + 1)
    splits = [split_rows(rows, data(task, x="number", z="number"), SplitOptions(seed=seed % 100))]
    splits += fold_rows(rows, data(task, x="number", z="number"), SplitOptions(), 3, seed % 100)
    for each in splits:
        part = each.set_index(ROW)["part"].loc[rows[ROW]].to_numpy()
        assert pd.Series(part).groupby(rows["x"].to_numpy()).nunique().max() == 1


@drawn
@given(seeds, st.integers(200, 600), st.sampled_from(["auto", "together", "apart"]), st.integers(10, 40))
def test_parts_hold_their_shares_of_rows_and_of_each_class(seed, n_rows, repeats, n_levels):
    random = np.random.default_rng(seed)
    x = random.integers(0, n_levels, n_rows).astype(float)
    y = np.where(random.random(n_rows) < 0.1 + 0.8 * (x % 2), "a", "b")
    options = SplitOptions(repeats=repeats, valid_fraction=0.2, test_fraction=0.25, seed=seed % 1000)
    rows = table(x, y)
    splits = split_rows(rows, data("binary"), options)
    assert splits[ROW].tolist() == rows[ROW].tolist()
    largest = rows.groupby(["x", "y"]).size().max() if repeats != "apart" else 1
    for label in ("a", "b"):
        parts = splits["part"][y == label]
        for part, share in (("valid", 0.2), ("test", 0.25)):
            assert abs((parts == part).sum() - share * len(parts)) <= largest


def test_given_parts_that_share_rows_are_announced(caplog):
    rows, data = official(["train"] * 40 + ["test"] * 10)
    rows.loc[40, ["x", "y"]] = rows.loc[0, ["x", "y"]]
    with caplog.at_level(logging.WARNING):
        split_rows(rows, data, SplitOptions(part_column="part"))
    assert "split: 2 rows repeat rows that split.part_column 'part' puts into another part" in caplog.text


def test_part_column_of_numbers_is_refused():
    rows, data = official(["train", "test"])
    with pytest.raises(ValueError, match="split.part_column 'x' is declared as a number, which cannot say"):
        split_rows(rows, data, SplitOptions(part_column="x"))


def test_official_test_rows_stay_out_of_the_folds():
    rows, data = official(["train"] * 40 + ["valid"] * 10 + ["test"] * 10)
    for splits in fold_rows(rows, data, SplitOptions(part_column="part"), 5, 0):
        assert sorted(splits[ROW]) == list(range(1, 51))


def test_columns_that_are_no_features_because_the_split_goes_by_them_are_said(caplog):
    rows, data = official(["train"] * 40 + ["test"] * 10)
    with caplog.at_level(logging.INFO):
        split_rows(rows, data, SplitOptions(part_column="part"))
    assert "features: without part, which the split uses" in caplog.text


def test_date_groups_rows_and_is_no_name_of_a_part():
    columns = {"day": {"kind": "date", "zone": "Europe/Rome"}, "x": {"kind": "number"}}
    data = DataOptions.model_validate({"task": "regression", "target": "y", "columns": columns, "features": ["x"]})
    days = [f"2024-01-{1 + number % 20:02}" for number in range(100)]
    raw = pd.DataFrame({"day": days, "x": range(100), "y": range(100)}).astype("str")
    clean, _ = check_rows(raw, data)
    splits = split_rows(clean, data, SplitOptions(group_by=("day",)))
    assert splits.set_index("row")["part"].groupby(clean.set_index("row")["day"]).nunique().eq(1).all()
    assert splits["part"].nunique() == 3
    with pytest.raises(ValueError, match="'day' is declared as a date, which cannot say train, valid, test"):
        split_rows(clean, data, SplitOptions(part_column="day"))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=30, max_size=80), st.permutations(["a", "b", "10", "9"]))
def test_split_does_not_depend_on_what_the_labels_of_a_binary_task_are_called(positive, names):
    if len(set(positive)) < 2 or 2 * sum(positive) == len(positive):
        return
    options = SplitOptions(seed=1)
    parts = [
        split_rows(
            table(list(range(len(positive))), [one if each else other for each in positive]), data("binary"), options
        )
        for one, other in (names[:2], names[2:], ("1", "0"))
    ]
    assert parts[0].equals(parts[1]) and parts[0].equals(parts[2])


def test_part_in_which_nothing_counts_is_refused():
    weighted = data().model_copy(update={"weight": "w"})
    rows = table(list(range(100)), [0.0] * 100).assign(w=1.0)
    splits = split_rows(rows, weighted, SplitOptions())
    rows.loc[rows["row"].isin(splits.loc[splits["part"] == "valid", "row"]), "w"] = 0.0
    with pytest.raises(ValueError, match="all 15 rows of valid have weight 0 in column 'w'.*leave out data.weight"):
        split_rows(rows, weighted, SplitOptions())
    fold = fold_rows(rows.assign(w=1.0), weighted, SplitOptions(), 4, 0)[1]
    rows["w"] = (~rows["row"].isin(fold.loc[fold["part"] == "test", "row"])).astype("float64")
    with pytest.raises(ValueError, match="all 25 rows of test have weight 0"):
        fold_rows(rows, weighted, SplitOptions(), 4, 0)
