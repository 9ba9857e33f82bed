"""A transformer over the features of a table."""

from collections.abc import Mapping

import torch
from rtdl_revisiting_models import FTTransformer
from torch import Tensor, nn

from torchlane.core.options import ModelOptions

WIDENING = 4 / 3  # width of the hidden layer in a block; the default of the paper's code


class TableTransformer(nn.Module):
    """FT-Transformer: each feature becomes a token; features that hold codes have an embedding per code.

    Features (n_rows, n_features) become outputs (n_rows, n_outputs). Gorishniy et al., Revisiting Deep
    Learning Models for Tabular Data, 2021, in the authors' code.
    """

    def __init__(self, options: ModelOptions, n_features: int, n_outputs: int, code_counts: Mapping[int, int]):
        super().__init__()
        self._coded = list(code_counts)
        self._plain = [index for index in range(n_features) if index not in code_counts]
        self.transformer = FTTransformer(
            n_cont_features=len(self._plain),
            cat_cardinalities=list(code_counts.values()),
            d_out=n_outputs,
            n_blocks=options.blocks,
            d_block=options.token_width,
            attention_n_heads=options.heads,
            attention_dropout=options.dropout,
            ffn_d_hidden_multiplier=WIDENING,
            ffn_dropout=options.dropout,
            residual_dropout=0.0,
        )

    def forward(self, features: Tensor) -> Tensor:
        numbers = features[:, self._plain] if self._plain else None
        codes = features[:, self._coded].to(torch.int64) if self._coded else None
        outputs: Tensor = self.transformer(numbers, codes)
        return outputs
