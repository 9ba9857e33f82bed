"""Layers with weights of each branch, of perceptrons that share the other weights."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from torchlane.core.layers.coded import CodedLinear

Sharing = Literal["tabm", "tabm_mini", "columns"]
FEW_ROWS = 3  # times n_in * n_out / (n_in + n_out): fewer rows are scaled, for more the matrix is scaled by branch
FINEST = 1 << 16  # a dropout rate is a multiple of 1 / FINEST


class OfBranches(nn.Module, ABC):
    """A layer with weights of each branch."""

    @abstractmethod
    def unfolded(self, branch: int) -> dict[str, Tensor]:
        """Make the `state_dict` of the layer that an ordinary perceptron has in its place."""


class SharedLinear(OfBranches):
    """A linear layer with one matrix for all branches, whose inputs and outputs each branch scales.

    Inputs are (n_rows, n_in), or (branches, n_rows, n_in) after the first layer; outputs (branches, n_rows, n_out).
    """

    def __init__(self, layer: nn.Linear, n_branches: int, scales: Tensor | None, kind: Sharing):
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach().clone())  # (n_out, n_in)
        n_out, n_in = self.weight.shape
        own = kind != "tabm_mini"
        if scales is None and own:
            scales = torch.ones(n_branches, n_in)
        self.r = None if scales is None else nn.Parameter(scales.to(self.weight))  # (branches, n_in)
        self.s = nn.Parameter(self.weight.new_ones(n_branches, n_out)) if own else None  # (branches, n_out)
        self.bias = nn.Parameter(layer.bias.detach().expand(n_branches if own else 1, n_out).clone())

    def forward(self, rows: Tensor) -> Tensor:
        if self.r is None:
            return functional.linear(rows, self.weight, self.bias[0])
        n_out, n_in = self.weight.shape
        few = rows.ndim == 3 and rows.shape[1] * (n_in + n_out) < FEW_ROWS * n_in * n_out
        if few or torch.is_autocast_enabled(rows.device.type):
            return self._finished(functional.linear(rows * self.r[:, None], self.weight))
        n_branches = len(self.r)
        s = self.weight.new_ones(()).expand(n_branches, n_out) if self.s is None else self.s
        of_branches = rows.expand(n_branches, *rows.shape[-2:])
        result: Tensor = _ScaledMatrix.apply(of_branches, self.weight, self.r, s, self.bias.expand(n_branches, n_out))
        return result

    def _finished(self, products: Tensor) -> Tensor:
        """Scale products (branches, n_rows, n_out), and add the bias."""
        return products + self.bias if self.s is None else torch.addcmul(self.bias[:, None], products, self.s[:, None])

    def unfolded(self, branch: int) -> dict[str, Tensor]:
        weight = self.weight if self.r is None else self.weight * self.r[branch]
        if self.s is not None:
            weight = weight * self.s[branch, :, None]
        return {"weight": weight, "bias": self.bias[branch % len(self.bias)]}


class _ScaledMatrix(torch.autograd.Function):
    """`((rows * r) @ weight.T) * s + bias` by one matrix for each branch, in fewer passes over rows than autograd.

    Shapes are those of `SharedLinear`, with rows (branches, n_rows, n_in) and a bias of each branch.
    """

    @staticmethod
    def forward(context: Any, rows: Tensor, weight: Tensor, r: Tensor, s: Tensor, bias: Tensor) -> Tensor:
        scaled = (weight * s[:, :, None]).mul_(r[:, None])  # (branches, n_out, n_in)
        context.save_for_backward(rows, weight, r, s, scaled)
        return torch.baddbmm(bias[:, None], rows, scaled.transpose(1, 2))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, r, s, scaled = context.saved_tensors
        of_rows = torch.bmm(gradient, scaled) if context.needs_input_grad[0] else None
        of_scaled = torch.bmm(gradient.transpose(1, 2), rows)
        of_r = torch.bmm(s[:, None], of_scaled * weight)[:, 0]
        of_scaled.mul_(r[:, None])
        of_s = (of_scaled * weight).sum(2) if context.needs_input_grad[3] else None
        of_weight = of_scaled.mul_(s[:, :, None]).sum(0)
        return of_rows, of_weight, of_r, of_s, gradient.sum(1)


class SharedCodedLinear(SharedLinear):
    """A first layer of this kind that takes the encoded rows (n_rows, n_columns), as `CodedLinear` does.

    The weights and the scales of a code are looked up once for all branches.
    """

    def __init__(self, layer: nn.Linear, n_branches: int, scales: Tensor | None, kind: Sharing):
        super().__init__(layer, n_branches, scales, kind)
        assert isinstance(layer, CodedLinear)
        self.codes = layer.without_weights()

    def forward(self, rows: Tensor) -> Tensor:
        assert self.r is not None
        nowhere = (0, 0, 0, 1)  # a row of zeros, for codes without a feature
        weight, scales = (functional.pad(each.t(), nowhere) for each in (self.weight, self.r))
        numbers, places, of_numbers = self.codes.numbers_of(rows), self.codes.places_of(rows), self.codes.numbers[1]
        codes = functional.embedding(places, scales).transpose(1, 2)  # (n_rows, branches, n_coded)
        products = torch.bmm(codes, functional.embedding(places, weight)).transpose(0, 1)
        if not len(of_numbers):
            return self._finished(products.contiguous())
        of_branches = self.weight[:, of_numbers] * self.r[:, None, of_numbers]
        of_all = numbers.expand(len(of_branches), *numbers.shape)
        return self._finished(torch.baddbmm(products, of_all, of_branches.transpose(1, 2)))


class Heads(OfBranches):
    """A linear layer of each branch, from (branches, n_rows, n_in) to (branches, n_rows, n_out)."""

    def __init__(self, layers: Sequence[nn.Linear]):
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))  # (branches, n_out, n_in)
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))  # (branches, n_out)

    def forward(self, rows: Tensor) -> Tensor:
        return torch.baddbmm(self.bias[:, None], rows, self.weight.transpose(1, 2))

    def unfolded(self, branch: int) -> dict[str, Tensor]:
        return {"weight": self.weight[branch], "bias": self.bias[branch]}


class BranchNorm(OfBranches):
    """A batch norm of each branch, with its own statistics, over (branches, n_rows, n_columns)."""

    def __init__(self, layers: Sequence[nn.BatchNorm1d]):
        super().__init__()
        first = layers[0]
        columns = len(layers) * first.num_features
        self.norm = nn.BatchNorm1d(columns, first.eps, first.momentum, device=first.weight.device)
        self._n_columns = first.num_features

    def forward(self, rows: Tensor) -> Tensor:
        normalised: Tensor = self.norm(rows.transpose(0, 1).flatten(1))  # side by side: (n_rows, branches * n_columns)
        return normalised.unflatten(1, (len(rows), -1)).transpose(0, 1).contiguous()

    def unfolded(self, branch: int) -> dict[str, Tensor]:
        own = slice(branch * self._n_columns, (branch + 1) * self._n_columns)
        return {name: tensor[own] if tensor.ndim else tensor for name, tensor in self.norm.state_dict().items()}


class BranchDropout(nn.Module):
    """Dropout whose masks take a quarter of the random numbers that `nn.Dropout` does: 16 bits for each unit."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, rows: Tensor) -> Tensor:
        dropped = round(self.p * FINEST)
        if not self.training or not dropped:
            return rows
        words = torch.empty(-(-rows.numel() // 4), dtype=torch.int64, device=rows.device).random_(-(1 << 63), None)
        bits = words.view(torch.int16)[: rows.numel()].view(rows.shape)
        kept = bits >= dropped - FINEST // 2
        return rows * kept.to(rows.dtype).mul_(FINEST / (FINEST - dropped))
