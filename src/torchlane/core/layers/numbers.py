"""Layers that replace each measured number of a row by an embedding of several numbers.

An embedding is a basis of functions of the number, multiplied by weights of its own. Gorishniy et al., On Embeddings
for Numerical Features in Tabular Deep Learning, 2022; the authors' package is `rtdl_num_embeddings`.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from torchlane.core.layers.aligned import ALIGNED
from torchlane.core.layers.layout import Layout

MOST_ROWS = 1 << 24  # of which torch computes quantiles
LEAST_WIDTH = torch.finfo(torch.float32).tiny  # of a bin; the inverse of a smaller number may be infinite
NUMBER_BYTES = 4
Tensors = Mapping[str, Tensor]
Elementwise = Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]


def _directly(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    return function(values)


class Numbers(nn.Module):
    """Encoded rows (n_rows, n_columns) to rows (n_rows, n_out) in which each measured number is `width` numbers.

    All other columns come first, unchanged, then the embeddings in the order of their columns, as in
    `Layout.widened`. `weight` is (n_numbers, n_basis, width), and its rows belong to functions of the number: the
    first one is the constant 1.
    """

    weight: nn.Parameter | None
    weighted = True  # whether the basis is multiplied by weights; else it is the embedding
    rectified = False  # whether embeddings are cut off below 0

    def __init__(self, layout: Layout, width: int, n_basis: int):
        super().__init__()
        self.n_columns, self.width, self.n_basis = layout.n_columns, width, n_basis
        self.measured = tuple(layout.measured.tolist())
        self.n_out = layout.n_columns + (width - 1) * len(self.measured)
        self.weight = nn.Parameter(torch.empty(len(self.measured), n_basis, width)) if self.weighted else None
        self.row_bytes = numbers_bytes(len(self.measured), n_basis, width)
        self.columns: Tensor
        self.others: Tensor
        for name, indices in (("columns", layout.measured), ("others", layout.others)):
            self.register_buffer(name, torch.from_numpy(indices.copy()), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        values = rows.index_select(1, self.columns).t()
        basis = self.basis(values, {**dict(self.named_parameters()), **self.constants()}, _directly)
        weight = None
        if self.weight is not None:
            weight = functional.pad(self.weight, (0, 0, 0, basis.shape[-1] - self.n_basis))
        return torch.cat([rows.index_select(1, self.others), self.embedded(basis, weight)], dim=1)

    def constants(self) -> dict[str, Tensor]:
        """Give the tensors (n_numbers, …), beside parameters, that the basis follows from."""
        return {}

    def basis(self, values: Tensor, tensors: Tensors, apply: Elementwise) -> Tensor:
        """Compute the functions of `values` (…, n_numbers, n_rows): (…, n_numbers, n_rows, n_basis), with padding.

        `tensors` are parameters and constants (…, n_numbers, n). `apply` is called with elementwise functions that
        are not exact. Rows are padded with zeros to 64 bytes, since kernels choose the order of a sum by the address.
        """
        raise NotImplementedError

    def embedded(self, basis: Tensor, weight: Tensor | None) -> Tensor:
        """Multiply a basis (…, n_numbers, n_rows, n) by weights (…, n_numbers, n, n_out): (…, n_rows, all numbers)."""
        assert weight is not None
        products = torch.bmm(basis.flatten(0, -3), weight.flatten(0, -3)).view(*basis.shape[:-1], -1)
        numbers = products[..., : self.width].transpose(-3, -2).flatten(-2)
        return numbers.relu() if self.rectified else numbers

    def in_blocks(self, features: Tensor) -> Tensor:
        """View what belongs to embeddings among features (…, n_features): (…, n_numbers, width)."""
        return in_blocks(features, len(self.measured), self.width)

    def extra_repr(self) -> str:
        return f"{len(self.measured)} of {self.n_columns} columns, {self.n_basis}, {self.width}"


class PiecewiseLinearNumbers(Numbers):
    """Embeddings that are linear within each bin of a number, and beyond the outer bins.

    It is version B of the authors: a linear embedding and, at first 0, weights of each bin. The basis of a number x
    is 1, x, and for each bin how far x has come through it: 0 before it and 1 after it, but for the outer bins, which
    go on. `edges` (n_numbers, bins + 1) are ascending, and the last one is repeated where a number has fewer bins.
    They are no parameters: `learn` sets them before training. Until then, all numbers have no bins.
    """

    def __init__(self, layout: Layout, width: int, bins: int):
        super().__init__(layout, width, 2 + bins)
        self.bins = bins
        self.edges: Tensor
        self.register_buffer("edges", torch.zeros(len(self.measured), bins + 1))
        if self.weight is None:
            return
        bound = width**-0.5
        with torch.no_grad():
            for row in (1, 0):
                self.weight[:, row] = torch.empty_like(self.weight[:, row]).uniform_(-bound, bound)
            self.weight[:, 2:] = 0

    def edges_for(self, rows: Tensor) -> Tensor:
        """Compute the edges of the bins from encoded rows of train (n_rows, n_columns)."""
        found = [bin_edges(rows[:, column], self.bins) for column in self.measured]
        return torch.stack(found).to(self.edges) if found else self.edges

    @property
    def n_bins(self) -> list[int]:
        """The number of bins of each measured number."""
        return (self.edges.diff() > 0).sum(1).tolist()

    def constants(self) -> dict[str, Tensor]:
        return piecewise_constants(self.edges)

    def basis(self, values: Tensor, tensors: Tensors, apply: Elementwise) -> Tensor:
        scale, shift, low, high = (tensors[name].unsqueeze(-2) for name in ("scale", "shift", "low", "high"))
        return torch.addcmul(shift, scale, values.unsqueeze(-1)).clamp(low, high)


class PeriodicNumbers(Numbers):
    """Embeddings by cosines and sines of trained multiples of a number, multiplied by weights, then cut off below 0.

    The basis is 1, the cosines and the sines of 2π times `frequencies` (n_numbers, n_frequencies) times the number.
    """

    rectified = True

    def __init__(self, layout: Layout, width: int, n_frequencies: int, sigma: float):
        super().__init__(layout, width, 1 + 2 * n_frequencies)
        self.n_frequencies = n_frequencies
        self.frequencies = nn.Parameter(torch.empty(len(self.measured), n_frequencies))
        nn.init.trunc_normal_(self.frequencies, 0.0, sigma, a=-3 * sigma, b=3 * sigma)
        assert self.weight is not None
        nn.init.uniform_(self.weight, -((2 * n_frequencies) ** -0.5), (2 * n_frequencies) ** -0.5)

    def basis(self, values: Tensor, tensors: Tensors, apply: Elementwise) -> Tensor:
        frequencies = tensors["frequencies"][..., : self.n_frequencies].unsqueeze(-2)
        angles = 2 * math.pi * frequencies * values.unsqueeze(-1)
        one = torch.ones_like(angles[..., :1])
        basis = torch.cat([one, apply(torch.cos, angles), apply(torch.sin, angles)], dim=-1)
        return functional.pad(basis, (0, aligned_length(self.n_basis) - self.n_basis))


def in_blocks(features: Tensor, n_numbers: int, width: int) -> Tensor:
    """View the last of some features (…, n_features) as blocks of one number each: (…, n_numbers, width)."""
    return features[..., features.shape[-1] - n_numbers * width :].unflatten(-1, (n_numbers, width))


def numbers_bytes(n_numbers: int, n_basis: int, width: int) -> int:
    """Estimate the memory of a layer for a row: the basis, and the embeddings as they are computed and joined."""
    return NUMBER_BYTES * n_numbers * (aligned_length(n_basis) + 2 * width)


def aligned_length(length: int) -> int:
    """Round a length up to multiples of 64 bytes.

    >>> aligned_length(16), aligned_length(50)
    (16, 64)
    """
    return -(-length // ALIGNED) * ALIGNED


def bin_edges(values: Tensor, n_bins: int) -> Tensor:
    """Compute the edges (n_bins + 1,) of bins of values (n_rows,), ascending, the last one repeated.

    They are quantiles without repetition, as `compute_bins` of `rtdl_num_embeddings` gives them, or the distinct
    values, if there are fewer of these.
    """
    values = values[:: -(-len(values) // MOST_ROWS)]
    shares = torch.linspace(0, 1, n_bins + 1, dtype=values.dtype, device=values.device)
    edges, distinct = torch.quantile(values, shares).unique(), values.unique()
    edges = distinct if len(distinct) < len(edges) else edges
    apart = torch.cat([edges.new_ones(1, dtype=torch.bool), edges.diff() >= LEAST_WIDTH])
    edges = edges[apart]
    return torch.cat([edges, edges[-1:].expand(n_bins + 1 - len(edges))])


def piecewise_constants(edges: Tensor) -> dict[str, Tensor]:
    """Turn edges (…, n_bins + 1) into what the basis is computed with.

    Function i of a number x is scale[i] * x + shift[i], kept within low[i] and high[i]: (…, 2 + n_bins) with padding.
    """
    starts, widths = edges[..., :-1], edges.diff()
    scale = torch.where(widths > 0, 1 / widths, 0)
    zero, one = torch.zeros_like(edges[..., :1]), torch.ones_like(edges[..., :1])
    padding = aligned_length(2 + starts.shape[-1]) - 2 - starts.shape[-1]
    last = edges[..., 1:] == edges[..., -1:]
    endless = math.inf * one
    low = torch.cat([-endless, -endless, -endless, torch.zeros_like(starts[..., 1:])], dim=-1)
    high = torch.cat([endless, endless, torch.ones_like(starts).masked_fill(last, math.inf)], dim=-1)
    made = {
        "scale": torch.cat([zero, one, scale], dim=-1),
        "shift": torch.cat([one, zero, -starts * scale], dim=-1),
        "low": low,
        "high": high,
    }
    return {name: functional.pad(tensor, (0, padding)) for name, tensor in made.items()}


class BinnedNumbers(PiecewiseLinearNumbers):
    """Each number and, for each of its bins, how far it has come through it, for a linear layer to follow.

    The basis is that of `PiecewiseLinearNumbers` without the constant, and there are no weights: those of the linear
    layer make any function of the number that is linear within each bin.
    """

    weighted = False

    def __init__(self, layout: Layout, bins: int):
        super().__init__(layout, 1 + bins, bins)

    def embedded(self, basis: Tensor, weight: Tensor | None) -> Tensor:
        return basis[..., 1 : 1 + self.width].transpose(-3, -2).flatten(-2)


def start_bins_at_zero(model: nn.Module) -> None:
    """Set the weights that the first linear layer of a perceptron has for bins to 0, if it takes bins."""
    numbers = next((layer for layer in model.children() if isinstance(layer, BinnedNumbers)), None)
    if numbers is not None:
        first = next(layer for layer in model.children() if isinstance(layer, nn.Linear))
        with torch.no_grad():
            numbers.in_blocks(first.weight)[..., 1:] = 0  # the first feature of a block is the number itself


def learn_numbers(networks: Sequence[nn.Module], rows: Tensor) -> None:
    """Let the layers of networks of one structure learn their bins from encoded rows of train (n_rows, n_columns)."""
    for name, layer in networks[0].named_modules():
        if isinstance(layer, PiecewiseLinearNumbers):
            edges = layer.edges_for(rows)
            for network in networks:
                network.get_buffer(f"{name}.edges" if name else "edges").copy_(edges)
