"""Perceptrons that share most of their weights while they train, as one module."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from torchlane.core.layers.coded import CodedLinear

Sharing = Literal["tabm", "tabm_mini"]
FEW_ROWS = 3  # times n_in * n_out / (n_in + n_out): fewer rows are scaled, for more the matrix is scaled by branch


def draw_scales(model: nn.Module) -> Tensor:
    """Draw how a branch scales its features from the global generator: float32 (n_features,), each 1 or -1.

    The features of one column have the same sign.

    Raises:
        ValueError: the network is not a perceptron with a hidden layer.
    """
    first = _linear_layers(model)[0][1]
    columns = torch.arange(first.in_features)
    if isinstance(first, CodedLinear):
        _, columns = torch.from_numpy(first.layout.columns).unique(return_inverse=True)
    signs = torch.empty(int(columns.max()) + 1).bernoulli_(0.5).mul_(2).sub_(1)
    return signs[columns]


class SharedPerceptrons(nn.Module):
    """Perceptrons of one structure as branches of one module, with one set of matrices for the hidden layers.

    A hidden layer of `tabm` is `((x * r) @ weight.T) * s + bias`, in which each branch has its own r, s and bias.
    In `tabm_mini` all of that is shared, except for r of the first layer. Each branch has a head and batch norms of
    its own. All other layers are shared. Layers before the first linear one see each row once for all branches.
    (Gorishniy et al., TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling, 2024.)

    The hidden layers start with the weights of the first perceptron; each branch starts with the head of its own. The
    first r are `scales` (branches, n_features), all other r and s are 1.
    Rows (n_rows, …) become outputs (branches, n_rows, width).

    Raises:
        ValueError: the networks are not perceptrons with a hidden layer.
    """

    def __init__(self, models: Sequence[nn.Module], scales: Tensor, kind: Sharing):
        super().__init__()
        self.n_branches = len(models)
        linear = [name for name, _ in _linear_layers(models[0])]
        of_models = [dict(_leaves(model)) for model in models]
        self._names: list[str] = []
        self.layers = nn.ModuleList()
        for name, layer in of_models[0].items():
            same = [leaves[name] for leaves in of_models]
            if name == linear[-1]:
                made: nn.Module = Heads([each for each in same if isinstance(each, nn.Linear)])
            elif isinstance(layer, nn.Linear):
                own = scales if name == linear[0] else None
                of_kind: type[SharedLinear] = SharedCodedLinear if isinstance(layer, CodedLinear) else SharedLinear
                made = of_kind(layer, len(models), own, kind)
            elif isinstance(layer, nn.BatchNorm1d):
                made = BranchNorm([each for each in same if isinstance(each, nn.BatchNorm1d)])
            else:
                made = copy.deepcopy(layer)
            self._names.append(name)
            self.layers.append(made)

    def forward(self, rows: Tensor) -> Tensor:
        for layer in self.layers:
            rows = layer(rows)
        return rows

    def unfolded(self, branch: int) -> dict[str, Tensor]:
        """Make the `state_dict` of the ordinary perceptron that gives the outputs of a branch, as copies on the CPU."""
        weights: dict[str, Tensor] = {}
        for name, layer in zip(self._names, self.layers, strict=True):
            own = layer.unfolded(branch) if isinstance(layer, OfBranches) else layer.state_dict()
            weights |= {f"{name}.{key}": tensor.detach().cpu().clone() for key, tensor in own.items()}
        return weights


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
        own = kind == "tabm"
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
        self.codes = copy.copy(layer)
        self.codes._parameters, self.codes._buffers = {}, dict(layer._buffers)

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


def _leaves(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """List the layers of nested sequences with their names, in order."""
    for name, layer in model.named_children():
        if type(layer) is nn.Sequential:
            yield from _leaves(layer, f"{prefix}{name}.")
        else:
            yield prefix + name, layer


def _linear_layers(model: nn.Module) -> list[tuple[str, nn.Linear]]:
    found = [(name, layer) for name, layer in _leaves(model) if isinstance(layer, nn.Linear)]
    if type(model) is not nn.Sequential or len(found) < 2:
        raise ValueError(
            "training.sharing shares the weights of the hidden layers of a perceptron, and this network is not one or "
            "has none; set training.sharing to none, or take model.kind mlp with model.widths"
        )
    return found
