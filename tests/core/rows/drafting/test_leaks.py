import numpy as np
import pandas as pd
import pytest

from torchlane.core.rows.drafting.features import draft_features

N = 120
GENERATOR = np.random.default_rng(0)
PRICE = GENERATOR.uniform(10, 99, N).round(2)
NOISE = GENERATOR.normal(size=N).round(3)
LABEL = np.array(["cat", "dog", "cow"])[GENERATOR.integers(0, 3, N)]
GROUP = GENERATOR.integers(0, 12, N)
KEPT = "it is kept, so delete its line if it is not known beforehand"
OUT = "it is left out, so remove the # before its line to use it"


def draft(column, target):
    table = pd.DataFrame({"x": column, "other": NOISE, "y": target}).astype("str")
    return draft_features(table, "y").columns["x"]


@pytest.mark.parametrize(
    ("column", "target", "how", "is_out"),
    [
        (PRICE, PRICE, "it is equal to it", True),
        ([f"${price}" for price in PRICE], PRICE, "it is equal to it", True),
        ((PRICE * 0.92).round(2), PRICE, "both always have nearly the same ratio, as amounts in two units have", True),
        (PRICE * 1.8 + 32, PRICE, "both lie nearly on a straight line", False),
        (-np.log(PRICE), PRICE, "both rise or fall together in nearly every row", False),
        (GROUP % 7, np.sqrt(GROUP % 7) * 3 % 2, "each of its values comes with one value of it", True),
        (np.char.upper(LABEL), LABEL, "each of its values comes with one label", True),
        (np.where(LABEL == "cat", 0, np.where(LABEL == "dog", 5, 3)), LABEL, "each of its values comes with one label", True),
        (np.where(PRICE > 50, "low", "up") + GROUP.astype("str"), np.where(PRICE > 50, "a", "b"), "each of its values comes with one label", True),
        (PRICE, np.where(PRICE > 50, "a", "b"), "bounds between its numbers separate the labels", False),
    ],
)  # fmt: skip
def test_what_gives_away_the_target_is_said_and_a_copy_is_left_out(column, target, how, is_out):
    drafted = draft(column, target)
    assert drafted.left_out == ("it gives away the target" if is_out else "")
    assert drafted.remarks[-1] == f"it gives away the target 'y': {how}; {OUT if is_out else KEPT}"


@pytest.mark.parametrize(
    ("column", "target"),
    [
        (PRICE + 2 * NOISE, PRICE),  # a good feature
        (GROUP, PRICE),
        ((PRICE > 50).astype(int), PRICE),
        (LABEL, np.where(GENERATOR.random(N) < 0.1, "cat", LABEL)),
        (PRICE, np.where(PRICE.max() == PRICE, "rare", "usual")),
        (PRICE, np.where(PRICE > 50, "a", "NA")),  # one label, and missing ones
        (LABEL, np.where(np.arange(N) == 3, "rare", "usual")),  # without the column, nearly all is right as well
        (PRICE, np.where(PRICE + 20 * NOISE > 50, "a", "b")),
        (np.where(np.arange(N) < 2, PRICE, np.nan), PRICE),  # known for two rows only
    ],
)
def test_ordinary_features_do_not_give_away_the_target(column, target):
    assert draft(column, target).left_out == ""
    assert not [remark for remark in draft(column, target).remarks if "gives away" in remark]


@pytest.mark.parametrize(("name", "target"), [("logwage", "wage"), ("log_y", "y"), ("y", "log_y"), ("age", "wage")])
def test_a_function_of_the_target_that_bears_its_name_is_left_out(name, target):
    table = pd.DataFrame({name: np.log(PRICE), "other": NOISE, target: PRICE}).astype("str")
    is_out = draft_features(table, target).columns[name].left_out == "it gives away the target"
    assert is_out == (name.startswith("log"))


def test_few_rows_prove_nothing():
    table = pd.DataFrame({"x": PRICE[:9], "other": NOISE[:9], "y": PRICE[:9] * 2}).astype("str")
    assert draft_features(table, "y").columns["x"].remarks == ()


def test_a_copy_is_kept_if_no_other_column_is_left():
    table = pd.DataFrame({"x": PRICE, "y": PRICE}).astype("str")
    drafted = draft_features(table, "y").columns["x"]
    assert drafted.left_out == ""
    assert drafted.remarks == ("it gives away the target 'y': it is equal to it; it is kept, since all columns do",)


def test_missing_targets_and_values_are_passed_over():
    price = PRICE.astype("str").astype(object)
    price[:5] = "NA"
    column = PRICE.astype("str").astype(object)
    column[7:10] = ""
    assert draft(column, price).left_out == "it gives away the target"
