import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchlane.core.explaining.contradictions import find_contradictions

FEATURES = torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [5.0, 6.0], [5.0, 6.0]])


def test_ceiling_of_numbers_is_that_of_the_means_of_equal_rows():
    targets = np.array([0.0, 2.0, 5.0, 7.0, 7.0, 10.0])
    found = find_contradictions(FEATURES, targets, 0)
    within, total = 2 + 6, ((targets - targets.mean()) ** 2).sum()
    assert (found.groups, found.rows, found.of_rows) == (2, 5, 6)
    assert found.at_most == pytest.approx(1 - within / total)


def test_ceiling_of_labels_is_that_of_the_most_frequent_label_of_equal_rows():
    found = find_contradictions(FEATURES, np.array([0, 1, 2, 2, 2, 0]), 3)
    assert (found.groups, found.rows) == (2, 5)
    assert found.at_most == pytest.approx(4 / 6)


def test_equal_rows_that_agree_and_targets_without_difference_are_no_contradiction():
    assert find_contradictions(FEATURES, np.array([1.0, 1, 2, 3, 3, 3]), 0).groups == 0
    assert find_contradictions(FEATURES, np.ones(6), 0) is None
    assert find_contradictions(FEATURES[:0], np.ones(0), 0) is None


def test_images_are_compared_as_a_whole():
    images = torch.zeros(4, 1, 3, 3, dtype=torch.uint8)
    images[2:, 0, 1, 1] = 7
    assert find_contradictions(images, np.array([0, 1, 1, 1]), 2)[:3] == (1, 2, 4)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5)), min_size=2, max_size=30))
def test_no_function_of_the_features_exceeds_the_ceiling(rows):
    keys, targets = np.array(rows).T.astype(np.float64)
    found = find_contradictions(torch.tensor(keys, dtype=torch.float32)[:, None], targets, 0)
    if found is None:
        assert np.ptp(targets) == 0
        return
    best = np.array([targets[keys == key].mean() for key in keys])
    reached = 1 - ((targets - best) ** 2).sum() / ((targets - targets.mean()) ** 2).sum()
    assert reached == pytest.approx(found.at_most)
