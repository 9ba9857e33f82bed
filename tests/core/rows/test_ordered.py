"""Splits and folds in the order of a column."""

import logging
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from torchlane.core.options import DataOptions, EvaluationOptions, SplitOptions
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.folds import deal_folds, require_folds
from torchlane.core.rows.ordered import cut_by_order, expanding_windows
from torchlane.core.rows.splits import PARTS, fold_rows, rows_of, split_rows

drawn, few = settings(max_examples=50, deadline=None), settings(max_examples=8, deadline=None)
times = st.lists(st.integers(0, 12), min_size=8, max_size=60)
fractions = st.sampled_from([0.0, 0.1, 0.15, 0.3])


def options_of(
    kind: str = "number", task: str = "regression", features: Sequence[str] = (), **column: object
) -> DataOptions:
    columns = {"time": {"kind": kind, **column}, "x": {"kind": "number"}}
    return DataOptions.model_validate({"task": task, "target": "y", "columns": columns, "features": tuple(features)})


def clean(time: list, data: DataOptions, **others: list) -> pd.DataFrame:
    n_rows = len(time)
    raw = pd.DataFrame({"time": time, "x": range(n_rows), "y": range(n_rows)} | others)
    return check_rows(raw.astype("str"), data)[0]


def by_time(each: Sequence[int]) -> pd.DataFrame:
    return pd.DataFrame({"row": np.arange(1, len(each) + 1), "time": np.array(each, float), "x": 0.0, "y": 0.0})


def all_splits(rows: pd.DataFrame, options: SplitOptions) -> list[pd.DataFrame]:
    return [split_rows(rows, options_of(), options), *fold_rows(rows, options_of(), options, 3, 0)]


def require_order(time: np.ndarray, parts: np.ndarray) -> None:
    """Check that no row is later than one of a later part, and that rows of equal time share a part."""
    ends = [(time[parts == part].min(), time[parts == part].max()) for part in PARTS if (parts == part).any()]
    assert all(last < first for (_, last), (first, _) in pairwise(ends))


@drawn
@given(times, fractions, fractions)
def test_each_cut_is_the_nearest_that_keeps_equal_times_together_and_leaves_rows_for_every_part(each, valid, test):
    order = np.unique(each, return_inverse=True)[1]
    asked = [part for part, share in (("valid", valid), ("test", test)) if share]
    assume(order.max() >= len(asked))
    parts = cut_by_order(order, SplitOptions(order_by="time", valid_fraction=valid, test_fraction=test))
    require_order(np.array(each), parts)
    ends, n_before = np.cumsum(np.bincount(order)).tolist(), 0
    begins = {"valid": 1 - valid - test, "test": 1 - test}
    for number, part in enumerate(asked):
        possible = [end for end in ends[: len(ends) - len(asked) + number] if end > n_before]
        n_before = min(possible, key=lambda end: (round(abs(end - begins[part] * len(each)), 6), end))
        assert n_before == (order < order[parts == part].min()).sum()
    assert set(parts) == {"train", *asked}


@drawn
@given(times, st.integers(2, 6), fractions)
def test_each_fold_learns_from_all_that_lies_before_its_test_block(each, folds, valid):
    order = np.unique(each, return_inverse=True)[1]
    assume(order.max() >= folds + 1)
    end = 0
    for before, test in expanding_windows(order, SplitOptions(order_by="time", valid_fraction=valid), folds):
        assert len(before) and len(test) and len(np.unique(order[before])) > bool(valid)
        assert order[before].max() < order[test].min()
        assert sorted(before) == np.flatnonzero(order < order[test].min()).tolist()
        assert not end or len(before) == end  # the block begins where the last one ended
        end = len(before) + len(test)
    assert end == len(each)


@few
@given(times, fractions, fractions, st.integers(0, 2**32 - 1))
def test_parts_and_folds_follow_from_the_times_wherever_rows_stand_in_the_file(each, valid, test, seed):
    assume(len(set(each)) >= 5)
    rows = pd.DataFrame({"row": np.arange(1, len(each) + 1), "time": np.array(each, float), "x": 0.0, "y": 0.0})
    shuffled = rows.sample(frac=1, random_state=seed)
    options = SplitOptions(order_by="time", valid_fraction=valid, test_fraction=test, repeats="apart", seed=seed % 9)
    for first, again in zip(all_splits(rows, options), all_splits(shuffled, options), strict=True):
        require_order(rows.set_index("row")["time"].loc[first["row"]].to_numpy(), first["part"].to_numpy())
        assert dict(zip(first["row"], first["part"], strict=True)) == dict(
            zip(again["row"], again["part"], strict=True)
        )
        assert again["row"].is_unique


def test_windows_have_about_as_many_rows_each_as_lie_before_the_first():
    rows = by_time(range(120))
    folds = fold_rows(rows, options_of(), SplitOptions(order_by="time"), 5, 0)
    assert [each["part"].value_counts().to_dict() for each in folds] == [
        {"train": n_rows - round(0.15 * n_rows), "valid": round(0.15 * n_rows), "test": 20} for n_rows in range(20, 101, 20)
    ]  # fmt: skip


def test_few_rows_of_a_time_are_never_parted_and_a_large_one_is_taken_whole():
    years = [2019] * 30 + [2020] * 30 + [2021] * 30 + [2022] * 10
    counts = split_rows(by_time(years), options_of(), SplitOptions(order_by="time"))["part"].value_counts()
    assert counts.to_dict() == {"train": 60, "valid": 30, "test": 10}


@pytest.mark.parametrize("features", [("x",), ("time", "x"), ()])
@pytest.mark.parametrize(("kind", "column"), [("date", {}), ("date", {"format": "%d.%m.%Y"}), ("number", {})])
def test_column_gives_the_order_whether_it_is_a_feature_or_not(features, kind, column):
    data = options_of(kind, features=features, **column)
    moments = pd.date_range("2023-12-20", periods=20)
    time = moments.strftime(column.get("format", "%Y-%m-%d")) if kind == "date" else np.arange(20) - 5.5
    rows = clean(list(time)[::-1], data)
    splits = split_rows(rows, data, SplitOptions(order_by="time"))
    assert splits["part"].tolist() == ["test"] * 3 + ["valid"] * 3 + ["train"] * 14
    assert rows_of("test", rows, splits)["row"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("early", "middle", "late"),
    [
        (  # the hour from 2 to 3 is left out that night
            ["2024-03-31 01:59:00", "2024-03-31T01:30:00+02:00"],
            ["2024-03-31T01:00:00Z", "2024-03-31 03:00:00"],
            ["2024-03-31 03:01:00", "2024-03-31T01:02:00Z"],
        ),
        (  # and in this one it comes twice
            ["2024-10-27T02:40:00+02:00", "2024-10-27T00:39:00Z"],
            ["2024-10-27T02:10:00+01:00", "2024-10-27T01:10:00Z"],
            ["2024-10-27T01:31:00Z", "2024-10-27 03:00:00"],
        ),
    ],
)
def test_times_of_several_zones_are_ordered_as_points_in_time(early, middle, late):
    data = options_of("date", zone="Europe/Rome")
    options = SplitOptions(order_by="time", valid_fraction=0.33, test_fraction=0.33)
    splits = split_rows(clean(late + early + middle, data), data, options)
    assert splits["part"].tolist() == ["test"] * 2 + ["train"] * 2 + ["valid"] * 2


def test_copies_stay_where_their_time_puts_them_and_are_said(caplog):
    x = [float(number % 10) for number in range(40)]
    rows = by_time(range(40)).assign(x=x, y=x)
    with caplog.at_level(logging.INFO):
        splits = split_rows(rows, options_of(features=["x"]), SplitOptions(order_by="time"))
    assert splits["part"].tolist() == ["train"] * 28 + ["valid"] * 6 + ["test"] * 6
    assert splits.attrs["repeats"] == {"copies": 30, "by_chance": 0}
    assert "40 rows are copies of rows in another part; they stay where split.order_by 'time' puts them" in caplog.text
    assert "split: train 28, valid 6, test 6; in the order of 'time': train 0 to 27, valid 28 to 33" in caplog.text
    caplog.clear()
    split_rows(rows, options_of(), SplitOptions(order_by="time"))  # the time is a feature, so no row repeats another
    assert "copies" not in caplog.text


@pytest.mark.parametrize(
    ("time", "of_data", "message"),
    [
        (["1"] * 20, {}, "split.order_by 'time' is 1 in all 20 rows, so none is later than another; name another"),
        (["2024-02-29"] * 20, {"kind": "date"}, "'time' is 2024-02-29 in all 20 rows"),
        (["", *map(str, range(18)), "?"], {}, r"is missing in 2 of 20 rows \(rows 1, 20\), which have no place in the .*set data.columns.time.nullable to false"),
        (["1", "2", *[""] * 18], {}, r"missing in 18 of 20 rows \(rows 3, 4, 5, 6, 7 and 13 more\)"),
        (["", *["2024-01-01", "2024-01-02"] * 9, "NaT"], {"kind": "date"}, r"missing in 2 of 20 rows \(rows 1, 20\)"),
        (list("abcdefghij") * 2, {"kind": "category"}, "'time' is declared as a category, which has no order; set data.columns.time.kind to date or number"),
        (["1", "2"] * 10, {}, "'time' has 2 distinct values in 20 rows, too few for train, valid, test, since rows of equal value stay together"),
    ],
)  # fmt: skip
def test_column_that_gives_no_order_is_refused_with_the_way_out(time, of_data, message):
    data = options_of(**of_data)
    with pytest.raises(ValueError, match=message):
        split_rows(clean(time, data), data, SplitOptions(order_by="time"))
    too_few = (
        "'time', which split.order_by names, has 2 distinct values, and 4 are needed: .*; set evaluation.folds to 0"
    )
    with pytest.raises(ValueError, match=too_few if "too few" in message else message):
        fold_rows(clean(time, data), data, SplitOptions(order_by="time"), 2, 0)


@pytest.mark.parametrize(
    ("by", "message"),
    [("day", "split.order_by 'day' is not among data.columns: time, x; declare it"), ("y", "'y' is the target")],
)
def test_column_that_is_unknown_or_the_target_is_refused(by, message):
    with pytest.raises(ValueError, match=message):
        split_rows(by_time(range(20)), options_of(), SplitOptions(order_by=by))


def test_rows_without_a_time_are_rejected_where_the_column_must_not_be_missing():
    data = options_of(nullable=False)
    raw = pd.DataFrame({"time": ["", *map(str, range(40))], "x": range(41), "y": range(41)}).astype("str")
    rows, rejected = check_rows(raw, data)
    assert rejected["row"].tolist() == [1]
    assert len(split_rows(rows, data, SplitOptions(order_by="time"))) == 40


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"group_by": ("x",)}, "order_by 'time' and group_by x exclude each other, since the rows of a group"),
        ({"all_rows_in": ("train",)}, "order_by and all_rows_in exclude each other"),
        ({"repeats": "together"}, "repeats: together cannot be kept with order_by 'time'"),
    ],
)
def test_options_that_contradict_an_order_are_refused(others, message):
    with pytest.raises(ValueError, match=message):
        SplitOptions(order_by="time", **others)


def test_label_that_comes_later_than_train_is_named_with_its_first_row():
    data = options_of("date", "multiclass")
    days = pd.date_range("2024-01-01", periods=40).strftime("%Y-%m-%d").tolist()
    rows = clean(days[::-1], data, y=["new"] * 3 + ["a", "b"] * 18 + ["a"])
    with pytest.raises(ValueError, match="label new of 'y' occurs .* not in train: the first such row is 3, of 'time' 2024-02-07; set smaller"):  # fmt: skip
        split_rows(rows, data, SplitOptions(order_by="time"))
    whole = split_rows(rows, data, SplitOptions(order_by="time", valid_fraction=0, test_fraction=0))
    assert set(whole["part"]) == {"train"}


def test_given_parts_are_kept_and_the_latest_of_train_are_valid():
    columns = {"time": {"kind": "number"}, "part": {"kind": "category"}}
    data = DataOptions.model_validate({"task": "regression", "target": "y", "columns": columns, "features": ["time"]})
    rows = by_time([*range(20, 0, -1), *range(5)]).assign(part=["train"] * 20 + ["test"] * 5)
    options = SplitOptions(order_by="time", part_column="part")
    assert split_rows(rows, data, options)["part"].tolist() == ["valid"] * 3 + ["train"] * 17 + ["test"] * 5
    for splits in fold_rows(rows, data, options, 3, 0):
        assert set(splits["row"]) <= set(range(1, 21))
        require_order(rows.set_index("row")["time"].loc[splits["row"]].to_numpy(), splits["part"].to_numpy())
    assert options.unlike == {}


def test_folds_that_the_order_cannot_make_are_refused():
    def require(rows: pd.DataFrame, data: DataOptions, folds: int, repeats: int = 1, **split: float) -> None:
        evaluation = EvaluationOptions(folds=folds, repeats=repeats)
        require_folds(rows, data, SplitOptions.model_validate({"order_by": "time", **split}), evaluation)

    rows = by_time([1, 1, 2, 3, 4, 5, 6])
    require(rows, options_of(), 4)
    with pytest.raises(ValueError, match="folds 5: 'time', which split.order_by names, has 6 distinct values, and 7 are needed: .*set at most 4, or give more rows"):  # fmt: skip
        require(rows, options_of(), 5)
    require(rows, options_of(), 5, valid_fraction=0)
    with pytest.raises(ValueError, match="evaluation.repeats 2: split.order_by 'time' makes the folds, so each repeat would be the same"):  # fmt: skip
        require(rows, options_of(), 4, 2)
    late = by_time(range(40)).assign(y=["a", "b"] * 15 + ["c"] * 10)
    with pytest.raises(ValueError, match="train lacks the label c of 'y' in fold 3 of repeat 1; .* set fewer folds"):
        require(late, options_of(task="multiclass"), 4)


def test_log_says_how_many_rows_each_window_tests(caplog):
    caplog.set_level(logging.INFO)
    deal_folds(by_time(range(60)), options_of(), SplitOptions(order_by="time"), EvaluationOptions(folds=2))
    assert "folds: 2 windows in the order of 'time', each learned from all rows before it; test has 20, 20 rows" in (
        caplog.messages
    )


def test_part_of_the_order_in_which_nothing_counts_is_refused():
    weighted = options_of().model_copy(update={"weight": "w"})
    rows = by_time(range(100)).assign(w=[1.0] * 85 + [0.0] * 15)
    with pytest.raises(ValueError, match="all 15 rows of test have weight 0 in column 'w'"):
        split_rows(rows, weighted, SplitOptions(order_by="time"))
    with pytest.raises(ValueError, match="all 10 rows of test have weight 0"):
        fold_rows(rows, weighted, SplitOptions(order_by="time"), 9, 0)
