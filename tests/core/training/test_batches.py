import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from torchlane.core.training import batches
from torchlane.core.training.batches import Batches


@settings(deadline=None, max_examples=200)
@given(
    n_rows=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    seed=st.integers(0, 2**31),
    gather_bytes=st.sampled_from([1, 64, 1 << 22]),
)
def test_batches_and_random_numbers_are_those_of_a_data_loader(n_rows, batch_size, seed, gather_bytes):
    dataset = TensorDataset(torch.arange(2.0 * n_rows).view(n_rows, 2), torch.arange(n_rows))
    walked, states = [], []
    for loader in (Batches(dataset, batch_size), DataLoader(dataset, batch_size, shuffle=True)):
        torch.manual_seed(seed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batches, "GATHER_BYTES", gather_bytes)
            # Draws between batches, as dropout makes them, must not meet other draws.
            walked.append([(x, y, torch.rand(1)) for _ in range(3) for x, y in loader])
        states.append(torch.get_rng_state())
        assert len(loader) == len(walked[-1]) / 3
    assert len(walked[0]) == len(walked[1])
    for ours, theirs in zip(*walked, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one, other)
    assert torch.equal(*states)


def test_base_seed_is_drawn_by_iter_as_a_data_loader_does():
    dataset = TensorDataset(torch.arange(5))
    after = []
    for loader in (Batches(dataset, 2), DataLoader(dataset, 2, shuffle=True)):
        torch.manual_seed(0)
        iter(loader)
        after.append(torch.get_rng_state())
    assert torch.equal(*after)


def test_no_rows_and_no_batch_size_are_refused():
    with pytest.raises(ValueError, match="no rows"):
        Batches(TensorDataset(torch.empty(0, 3)), 4)
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        Batches(TensorDataset(torch.empty(2, 3)), 0)


def test_data_elsewhere_follow_to_the_device():
    dataset = TensorDataset(torch.rand(10, 3), torch.arange(10))
    walked = list(Batches(dataset, 4, device=torch.device("meta")))
    assert [tuple(features.shape) for features, _ in walked] == [(4, 3), (4, 3), (2, 3)]
    assert {tensor.device.type for batch in walked for tensor in batch} == {"meta"}
    assert dataset.tensors[0].device.type == "cpu"
