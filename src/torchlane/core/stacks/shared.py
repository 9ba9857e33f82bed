"""Perceptrons that share most of their weights while they train, as one module."""

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from torchlane.core.layers.coded import CodedLinear
from torchlane.core.stacks.branches import (
    BranchDropout,
    BranchNorm,
    Heads,
    OfBranches,
    SharedCodedLinear,
    SharedLinear,
    Sharing,
)
from torchlane.core.stacks.by_column import ColumnLinear, chunks_of
from torchlane.core.stacks.numbers import numbers_of


def draw_scales(model: nn.Module) -> Tensor:
    """Draw how a branch scales its features from the global generator: float32 (n_features,), each 1 or -1.

    The features of a chunk have the same sign: the levels of a category, or all that is made of a number.

    Raises:
        ValueError: the network is not a perceptron with a hidden layer.
    """
    chunks = chunks_of(_linear_layers(model)[0][1], numbers_of(model))
    signs = torch.empty(int(chunks.max()) + 1).bernoulli_(0.5).mul_(2).sub_(1)
    return signs[chunks]


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
            elif kind == "columns" and name == linear[0] and isinstance(layer, nn.Linear):
                made = ColumnLinear(layer, scales, numbers_of(models[0]))
            elif isinstance(layer, nn.Linear):
                own = scales if name == linear[0] else None
                of_kind: type[SharedLinear] = SharedCodedLinear if isinstance(layer, CodedLinear) else SharedLinear
                made = of_kind(layer, len(models), own, kind)
            elif isinstance(layer, nn.BatchNorm1d):
                made = BranchNorm([each for each in same if isinstance(each, nn.BatchNorm1d)])
            elif type(layer) is nn.Dropout:
                made = BranchDropout(layer.p)
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
