"""A transformer over the features of a table."""

import torch
from rtdl_revisiting_models import FTTransformer
from torch import Tensor, nn

from torchlane.core.layers.coded import Indicators
from torchlane.core.layers.layout import Layout
from torchlane.core.options import ModelOptions

WIDENING = 4 / 3  # width of the hidden layer in a block; the default of the paper's code


def attention_bytes(n_tokens: int, heads: int) -> int:
    """Estimate the memory of a block's attention for a row: logits and probabilities of each pair of tokens."""
    return 2 * 4 * heads * n_tokens**2


def token_bytes(n_tokens: int, token_width: int) -> int:
    """Estimate the memory of the tokens of a row in a block: as they come and go, and as queries, keys and values."""
    return 5 * 4 * n_tokens * token_width


class TableTransformer(nn.Module):
    """FT-Transformer: each feature becomes a token; columns that it embeds have an embedding per code.

    Encoded rows (n_rows, n_columns) become outputs (n_rows, n_outputs). Gorishniy et al., Revisiting Deep
    Learning Models for Tabular Data, 2021, in the authors' code.
    """

    def __init__(self, options: ModelOptions, n_columns: int, n_outputs: int, layout: Layout | None = None):
        super().__init__()
        embedded = {} if layout is None else layout.embedded
        self._coded = list(embedded)
        self._plain = None if layout is None else Indicators(layout)
        self._n_plain = n_columns if layout is None else layout.n_features
        n_tokens = 1 + self._n_plain + len(embedded)
        self.row_bytes = attention_bytes(n_tokens, options.heads) + token_bytes(n_tokens, options.token_width)
        self.transformer = FTTransformer(
            n_cont_features=self._n_plain,
            cat_cardinalities=list(embedded.values()),
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
        numbers = features if self._plain is None else self._plain(features)
        codes = features[:, self._coded].to(torch.int64) if self._coded else None
        outputs: Tensor = self.transformer(numbers if self._n_plain else None, codes)
        return outputs
