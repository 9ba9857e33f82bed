"""The first layer of perceptrons that share weights by column: each branch scales whole columns."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from torchlane.core.layers.coded import CodedLinear, product_bytes
from torchlane.core.layers.numbers import BinnedNumbers, Numbers, in_blocks
from torchlane.core.stacks.branches import OfBranches


def chunks_of(first: nn.Linear, numbers: Numbers | None) -> Tensor:
    """Number the chunk of each feature of a first linear layer: int64 (n_features,), from 0 in the order of columns.

    A chunk is all that a column of the encoded rows becomes: the levels of a category, or what `numbers`, the layer
    before the linear one, makes of a number.
    """
    columns = _features_of(first)[0].clone()
    if numbers is not None:
        blocks = numbers.in_blocks(columns)
        blocks[:] = blocks[:, :1].clone()
    return columns.unique(return_inverse=True)[1]


class ColumnLinear(OfBranches):
    """`((x * r) @ weight.T) * s + bias` for features x, with one number of r for each column and branch.

    Rows (n_rows, n_columns), which may hold codes, become outputs (branches, n_rows, n_out). The features of a column,
    such as its levels or its bins, are multiplied by their weights once for all branches. A branch takes the sum of
    these products over the columns, weighed by its r, so that a column costs it the same however many features it has.

    The bins of a number have a scale beside that of the number itself. It starts at 0 in the first half of the
    branches: they begin as smooth functions of the numbers, and the others as functions that may bend at each edge.

    `scales` (branches, n_features) are the first r, equal for the features of a column. `numbers` is the layer before
    this one that makes several features of a number, if there is one; they are the last of the features.
    """

    groups: Tensor  # of each feature, int64 (n_features,): features of one group are scaled by the same r
    together: Tensor  # groups of several features, in the order of `_products`
    singles: Tensor  # features that are columns of numbers
    columns: Tensor  # the columns that they are

    def __init__(self, layer: nn.Linear, scales: Tensor, numbers: Numbers | None):
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach().clone())  # (n_out, n_features)
        self.codes = layer.without_weights() if isinstance(layer, CodedLinear) else None
        self._n_numbers, self._width = (0, 0) if numbers is None else (len(numbers.measured), numbers.width)
        self._alone = int(isinstance(numbers, BinnedNumbers))  # features of a number that are a group of their own
        columns, is_code = _features_of(layer)
        groups, is_block = chunks_of(layer, numbers), torch.zeros_like(is_code)
        self._blocks(is_block)[:] = True
        if self._alone:
            self._blocks(groups)[:] = groups.max() + 1 + torch.arange(self._n_numbers)[:, None]
        of_blocks = self._blocks(groups)[:, :1].flatten()
        starts = scales.new_empty(len(scales), int(groups.max()) + 1)
        starts[:, groups] = scales
        if self._alone:
            starts[: len(scales) // 2, of_blocks] = 0
        singles = torch.nonzero(~is_code & ~is_block)[:, 0]
        for name, indices in {
            "groups": groups,
            "together": torch.cat([groups[is_code].unique(), of_blocks]),
            "singles": singles,
            "columns": columns[singles],
        }.items():
            self.register_buffer(name, indices.to(self.weight.device), persistent=False)
        self.row_bytes = product_bytes(len(self.together), len(self.weight))
        self.r = nn.Parameter(starts.to(self.weight))  # (branches, n_groups)
        self.s = nn.Parameter(self.weight.new_ones(len(scales), len(self.weight)))  # (branches, n_out)
        self.bias = nn.Parameter(layer.bias.detach().expand_as(self.s).clone())

    def forward(self, rows: Tensor) -> Tensor:
        shape = len(self.s), len(rows), self.s.shape[1]
        outputs = rows.new_zeros(()).expand(shape)
        if len(self.together):
            outputs = (self.r[:, self.together] @ self._products(rows).flatten(1)).view(shape)
        if len(self.singles):
            of_branches = self.weight[:, self.singles].t() * self.r[:, self.groups[self.singles], None]
            outputs = torch.baddbmm(outputs, rows[:, self.columns].expand(len(self.s), -1, -1), of_branches)
        return torch.addcmul(self.bias[:, None], outputs, self.s[:, None])

    def _products(self, rows: Tensor) -> Tensor:
        """Multiply each group of several features by its weights: (n_together, n_rows, n_out)."""
        products = []
        if self.codes is not None:
            table = functional.pad(self.weight.t(), (0, 0, 0, 1))  # 0 for codes without a feature
            products.append(functional.embedding(self.codes.places_of(rows).t(), table))
        if self._n_numbers:
            products.append(torch.bmm(self._blocks(rows).transpose(0, 1), self._blocks(self.weight).permute(1, 2, 0)))
        return torch.cat(products)

    def unfolded(self, branch: int) -> dict[str, Tensor]:
        return {
            "weight": self.weight * self.r[branch, self.groups] * self.s[branch, :, None],
            "bias": self.bias[branch],
        }

    def _blocks(self, features: Tensor) -> Tensor:
        """View those of some features (…, n_features) that make a group for each number: (…, n_numbers, n_in_group)."""
        return in_blocks(features, self._n_numbers, self._width)[..., self._alone :]


def _features_of(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """Give the column of each feature of a first layer, and whether it is a code: int64 and bool (n_features,)."""
    if isinstance(layer, CodedLinear):
        return torch.from_numpy(layer.layout.columns), torch.from_numpy(layer.layout.indicating)
    return torch.arange(layer.in_features), torch.zeros(layer.in_features, dtype=torch.bool)
