"""Linear layers that give a row the same bits wherever it lies in a block of rows."""

from torch import Tensor, nn
from torch.nn import functional

ALIGNED = 16  # float32 numbers in 64 bytes
NARROW = 16  # outputs, from which on kernels do not look at the address of a row


class AlignedLinear(nn.Linear):
    """A linear layer that pads its rows with zeros, so that each begins at a multiple of 64 bytes.

    For few outputs, the kernels of the CPU choose the order of a sum by the address of the row.
    """

    def forward(self, features: Tensor) -> Tensor:
        missing = (0, -self.in_features % ALIGNED)
        return functional.linear(functional.pad(features, missing), functional.pad(self.weight, missing), self.bias)


def align_rows(network: nn.Module) -> nn.Module:
    """Turn the linear layers of a network that need it into `AlignedLinear`, in place."""
    for layer in network.modules():
        if type(layer) is nn.Linear and layer.out_features < NARROW and layer.in_features % ALIGNED:
            layer.__class__ = AlignedLinear
    return network
