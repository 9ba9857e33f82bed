import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from tests.oracles import agreement


@pytest.fixture(autouse=True)
def nothing_met(monkeypatch):
    monkeypatch.setattr(agreement, "MET", {})


def test_comparisons_are_counted_and_the_largest_difference_is_kept_by_name():
    agreement.compare("a", 1.0, 1.0)
    agreement.compare("a", torch.tensor([2.0, 4.0]), np.array([2.5, 4.0]), relative=0.2)
    agreement.compare("a", [8.0], [7.5], relative=0.1)
    agreement.compare("b", Fraction(1, 4), 0.0, absolute=0.25)
    assert agreement.lines() == [
        "oracle a: 4 comparisons, largest relative difference 0.2, absolute 0.5",
        "oracle b: 1 comparisons, largest relative difference 0, absolute 0.25",
    ]


def test_what_other_processes_met_is_counted_too():
    agreement.compare("a", [8.0], [7.5], relative=0.1)
    agreement.take_in([*agreement.as_lists(), ["a", 2, 0.5, 0.25], ["b", 1, 0.0, 0.0]])
    assert agreement.MET["a"] == agreement.Agreement(comparisons=4, relative=0.5, absolute=0.5)
    assert agreement.MET["b"].comparisons == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, 1e308])
def test_a_number_meets_itself_and_only_itself(value):
    agreement.compare("a", value, value)
    for other in {math.nan, math.inf, -math.inf, 1.0, -1e308} - {value}:
        with pytest.raises(AssertionError, match="a: "):
            agreement.compare("a", other, value, relative=0.5, absolute=0.5)


def test_a_difference_that_is_too_large_is_shown_with_its_place():
    with pytest.raises(
        AssertionError, match=r"^a: .*3.0.*, expected .*2.0.* at \(1,\) of \(2,\): differs by 1, 0.5 of"
    ):
        agreement.compare("a", [1.0, 3.0], [1.0, 2.0], relative=0.4, absolute=0.9)
    with pytest.raises(AssertionError, match=r"a: shape \(1,\), expected \(2,\)"):
        agreement.compare("a", [1.0], [1.0, 1.0])
    assert agreement.MET["a"].relative == 0.5
