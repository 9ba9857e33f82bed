"""The first layer of perceptrons that share weights by column: each branch scales whole columns."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from torchlane.core.layers.coded import CodedLinear
from torchlane.core.layers.numbers import BinnedNumbers, Numbers
from torchlane.core.stacks.branches import OfBranches


class ColumnLinear(OfBranches):
    """`((x * r) @ weight.T) * s + bias` for features x, with one number of r for each column and branch.

    Rows (n_rows, n_columns), which may hold codes, become outputs (branches, n_rows, n_out). The features of a column,
    such as its levels or its bins, are multiplied by their weights once for all branches. A branch takes the sum of
    these products over the columns, weighed by its r, so that a column costs it the same however many features it has.

    The bins of a number have a scale beside that of the number itself. It starts at 0 in the first half of the
    branches: they begin as smooth functions of the numbers, and the others as functions that may bend at each edge.

    `scales` (branches, n_features) are the first r. `numbers` is the layer before this one that makes several features
    of a number, if there is one; they are the last of the features.
    """

    def __init__(self, layer: nn.Linear, scales: Tensor, numbers: Numbers | None):
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach().clone())  # (n_out, n_features)
        n_branches, n_out = len(scales), len(self.weight)
        self._n_numbers, self._width = (0, 0) if numbers is None else (len(numbers.measured), numbers.width)
        self._alone = int(isinstance(numbers, BinnedNumbers))  # features of a number with a scale of their own
        self.codes: CodedLinear | None = None
        if isinstance(layer, CodedLinear):
            self.codes = copy.copy(layer)
            self.codes._parameters, self.codes._buffers = {}, dict(layer._buffers)
        columns, is_code = _features_of(layer)
        in_block, groups = torch.zeros_like(is_code), columns.clone()
        if self._n_numbers:
            self._blocks(in_block)[:] = True
            self._blocks(groups)[:] = columns.max() + 1 + torch.arange(self._n_numbers)[:, None]
        _, groups = groups.unique(return_inverse=True)
        first = torch.stack([(groups == group).nonzero()[0, 0] for group in range(int(groups.max()) + 1)])
        starts = scales[:, first]
        of_blocks = self._blocks(groups)[:, 0] if self._n_numbers else groups[:0]
        if self._alone:
            starts[: n_branches // 2, of_blocks] = 0
        coded = [] if self.codes is None else self.codes.layout.coded.tolist()
        of_codes = [groups[is_code & (columns == column)][:1] for column in coded]
        singles = (~is_code & ~in_block).nonzero()[:, 0]
        self.groups: Tensor  # of each feature
        self.together: Tensor  # groups of columns of codes, then of blocks
        self.singles: Tensor  # features that are columns of numbers
        self.columns: Tensor  # the columns that they are
        self.register_buffer("groups", groups, persistent=False)
        self.register_buffer("together", torch.cat([*of_codes, of_blocks]), persistent=False)
        self.register_buffer("singles", singles, persistent=False)
        self.register_buffer("columns", columns[singles], persistent=False)
        self.r = nn.Parameter(starts.to(self.weight))  # (branches, n_groups)
        self.s = nn.Parameter(self.weight.new_ones(n_branches, n_out))
        self.bias = nn.Parameter(layer.bias.detach().expand(n_branches, n_out).clone())

    def forward(self, rows: Tensor) -> Tensor:
        n_branches, n_out = self.s.shape
        products = []  # of columns with several features, (n, n_rows, n_out) each
        if self.codes is not None:
            table = functional.pad(self.weight.t(), (0, 0, 0, 1))  # 0 for codes without a feature
            products.append(functional.embedding(self.codes.places_of(rows).t(), table))
        if self._n_numbers:
            products.append(torch.bmm(self._blocks(rows).transpose(0, 1), self._blocks(self.weight).permute(1, 2, 0)))
        outputs = rows.new_zeros(()).expand(n_branches, len(rows), n_out)
        if products:
            outputs = (self.r[:, self.together] @ torch.cat(products).flatten(1)).view(outputs.shape)
        if len(self.singles):
            of_branches = self.weight[:, self.singles].t() * self.r[:, self.groups[self.singles], None]
            outputs = torch.baddbmm(outputs, rows[:, self.columns].expand(n_branches, -1, -1), of_branches)
        return torch.addcmul(self.bias[:, None], outputs, self.s[:, None])

    def unfolded(self, branch: int) -> dict[str, Tensor]:
        return {
            "weight": self.weight * self.r[branch, self.groups] * self.s[branch, :, None],
            "bias": self.bias[branch],
        }

    def _blocks(self, features: Tensor) -> Tensor:
        """View those of features (…, n) that belong to blocks, which are the last: (…, n_numbers, in block)."""
        start = features.shape[-1] - self._n_numbers * self._width
        return features[..., start:].unflatten(-1, (self._n_numbers, self._width))[..., self._alone :]


def _features_of(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """Give the column of each feature of a first layer, and whether it is a code: int64 and bool (n_features,)."""
    if isinstance(layer, CodedLinear):
        return torch.from_numpy(layer.layout.columns), torch.from_numpy(layer.layout.indicating)
    return torch.arange(layer.in_features), torch.zeros(layer.in_features, dtype=torch.bool)
