import pytest
import torch
from torch import nn

from torchlane.core.layers.aligned import AlignedLinear, align_rows


@pytest.mark.parametrize(("n_in", "n_out"), [(9, 8), (5, 4), (85, 3), (378, 10)])
def test_equal_rows_have_the_same_bits_in_all_places_of_a_block(n_in, n_out):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(n_in, n_out), nn.Linear(n_out, 32), nn.Linear(32, 2))
    rows = torch.randn(1, n_in).repeat(256, 1)
    plain, names = network(rows), list(network.state_dict())
    aligned = align_rows(network)
    assert [type(layer) for layer in aligned] == [AlignedLinear, nn.Linear, nn.Linear]
    assert list(aligned.state_dict()) == names
    torch.testing.assert_close(aligned(rows), plain)
    assert torch.equal(aligned[0](rows), aligned[0](rows)[:1].expand(256, -1))
