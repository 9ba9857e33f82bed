import numpy as np
import torch

from torchlane.core.explaining.part_differences import tell_apart

from .tables import encode

RANDOM = np.random.default_rng(0)


def apart(train, test, encoder, seed=0):
    return tell_apart(train, test, encoder, seed)


def table(n_rows: int = 600) -> tuple[torch.Tensor, object]:
    x = RANDOM.normal(size=(3, n_rows))
    levels = np.array([f"l{number}" for number in RANDOM.integers(0, 30, n_rows)])
    tensors, encoder = encode({"a": x[0], "b": x[1], "level": levels, "y": x[2]})
    return tensors.tensors[0], encoder


def test_a_shifted_column_tells_the_parts_apart_and_chance_does_not():
    features, encoder = table()
    train, test = features[:400], features[400:]
    found = apart(train, test, encoder)
    assert abs(found.auc - 0.5) < 4 * found.error
    moved = test.clone()
    moved[:, 0] += 1
    found = apart(train, moved, encoder)
    assert found.auc > 0.7
    assert found.auc - 0.5 > 4 * found.error


def test_copies_that_stay_in_one_part_do_not_give_it_away():
    features, encoder = table(120)
    train, test = features[:80].repeat(5, 1), features[80:].repeat(5, 1)
    found = apart(train, test, encoder)
    assert abs(found.auc - 0.5) < 0.15  # by its levels, a classifier that knew copies would be right nearly always


def test_levels_of_few_rows_do_not_give_train_away():
    places = np.array([f"l{number}" for number in RANDOM.integers(0, 2_000, 4_000)])  # two rows each
    tensors, encoder = encode(
        {"a": RANDOM.normal(size=4_000), "place": places, "y": RANDOM.normal(size=4_000)}, n_train=2_800
    )
    train, test = tensors.tensors[0][:2_800], tensors.tensors[0][2_800:]
    found = apart(train, test, encoder)
    assert abs(found.auc - 0.5) < 4 * found.error


def test_levels_of_many_rows_that_only_train_has_tell_the_parts_apart():
    places = np.array([f"l{number}" for number in RANDOM.integers(0, 4, 900)])
    tensors, encoder = encode({"a": RANDOM.normal(size=900), "place": places, "y": RANDOM.normal(size=900)})
    unseen = tensors.tensors[0][600:].clone()
    unseen[:, 1] = encoder.columns[1].unseen
    found = apart(tensors.tensors[0][:600], unseen, encoder)
    assert found.auc > 0.9


def test_parts_with_few_distinct_rows_are_not_told_apart():
    features, encoder = table(100)
    assert apart(features[:90], features[90:], encoder) is None
    assert apart(features[:50], features[50:51].repeat(50, 1), encoder) is None
    assert apart(features, features[:0], encoder) is None
