"""Each distinct row passes through the networks once, and every row has the bits that it has alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.model.test_trained import train_on
from torchlane.core.model import seen
from torchlane.core.model.blocks import by_blocks
from torchlane.core.model.seen import SeenRows


@pytest.fixture(scope="module")
def model():
    import pandas as pd

    from torchlane.core.options import DataOptions

    sizes = [str(size) for size in range(1, 61)]
    rows = pd.DataFrame({"size": sizes, "price": sizes})
    rows["height"] = rows["width"] = sizes  # numbers, so that the tests may draw any features
    columns = {name: {"kind": "number"} for name in ("size", "height", "width")}
    data = DataOptions.model_validate({"task": "regression", "target": "price", "columns": columns})
    return train_on(rows, data, epochs=2)


class Counting:
    """A model that counts the rows that pass through its networks."""

    def __init__(self, model):
        self._model, self.n_rows = model, 0

    def outputs(self, features):
        self.n_rows += len(features)
        return self._model.outputs(features)


PARTS = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 300), st.integers(0, 9)), min_size=1, max_size=4)


@settings(max_examples=30, deadline=None)
@given(parts=PARTS, n_hashes=st.sampled_from([None, 1, 3]), slab_rows=st.sampled_from([3, 100, 10_000]))
def test_rows_have_the_bits_of_all_rows_computed_whatever_repeats(model, parts, n_hashes, slab_rows):
    with pytest.MonkeyPatch.context() as patch:
        if n_hashes:  # then only a comparison of the rows themselves tells them apart
            patch.setattr(seen._Memory, "hash", lambda self, words: (words >> 23).sum(axis=1) % n_hashes)
        n_features = model.encoder.feature_shape[0]
        patch.setattr(seen, "SLAB_BYTES", slab_rows * n_features * 4)
        rows = SeenRows(model)
        for n_rows, n_distinct, seed in parts:
            draw = np.random.default_rng(seed)
            few = 2.0 ** draw.integers(-3, 3, (n_distinct, n_features)).astype(np.float32)
            features = torch.from_numpy(few[draw.integers(0, n_distinct, n_rows)])
            outputs, places = rows.outputs(features)
            assert torch.equal(outputs[:, places], model.outputs(features))


def test_each_distinct_row_passes_once_over_several_parts(model):
    n_features = model.encoder.feature_shape[0]
    distinct = torch.eye(64, n_features).cumsum(0) + torch.arange(64)[:, None]
    counting = Counting(model)
    rows = SeenRows(counting)
    for part in (distinct.repeat(5, 1), distinct.flip(0)[:7], distinct):
        outputs, places = rows.outputs(part)
        assert torch.equal(outputs[:, places], model.outputs(part))
    assert counting.n_rows == 64


def test_no_more_is_remembered_than_there_is_space_for(model):
    n_features = model.encoder.feature_shape[0]
    distinct = torch.arange(3000 * n_features, dtype=torch.float32).view(3000, n_features)
    bytes_of_row = 4 * n_features + 16 + 4 * model.n_members
    counting = Counting(model)
    rows = SeenRows(counting, most_bytes=1000 * bytes_of_row)
    for _ in range(2):
        outputs, places = rows.outputs(distinct)
        assert torch.equal(outputs[:, places], model.outputs(distinct))
    assert counting.n_rows == 3000 + 2000
    assert rows._memory is not None and len(rows._memory._words) == 1000


def test_only_the_last_block_is_padded_and_each_lies_in_memory_as_a_new_tensor():
    blocks = []
    values = torch.arange(600 * 3 + 1, dtype=torch.float32)[1:].view(600, 3)  # at an odd address, as a mapped file may
    done = by_blocks(lambda block: blocks.append(block) or block * 2, values, rows_in=0, rows_out=0)
    assert torch.equal(done, values * 2)
    assert [len(block) for block in blocks] == [256, 256, 256]
    assert all(block.data_ptr() % 64 == 0 and block.is_contiguous() for block in blocks)
    aligned = torch.zeros(512, 16)
    blocks.clear()
    by_blocks(lambda block: blocks.append(block) or block, aligned, rows_in=0, rows_out=0)
    assert [block.data_ptr() for block in blocks] == [aligned.data_ptr(), aligned[256:].data_ptr()]  # no copy
