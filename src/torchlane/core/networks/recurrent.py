"""A recurrent network that reads an image row by row."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from torchlane.core.options import ModelOptions

CELLS = {"LSTM": nn.LSTM, "GRU": nn.GRU}


class Recurrent(nn.Module):
    """Recurrent layers over the rows of an image, then dropout and a linear layer on the final state.

    Images (n_rows, channels, height, width) become outputs (n_rows, n_outputs). A step of the sequence is one
    row of pixels with all channels. A bidirectional layer has two final states, one at the last row and one
    at the first.
    """

    def __init__(self, options: ModelOptions, shape: Sequence[int], n_outputs: int):
        super().__init__()
        channels, _, width = shape
        directions = 2 if options.bidirectional else 1
        sizes = (channels * width, *(directions * each for each in options.widths))
        self.layers = nn.ModuleList(
            CELLS[options.cell](n_in, n_out // directions, batch_first=True, bidirectional=options.bidirectional)
            for n_in, n_out in pairwise(sizes)
        )
        self.dropout = nn.Dropout(options.dropout)
        self.head = nn.Linear(sizes[-1], n_outputs)

    def forward(self, images: Tensor) -> Tensor:
        steps = images.transpose(1, 2).flatten(2)  # (n_rows, height, channels * width)
        for layer in self.layers:
            steps, state = layer(self.dropout(steps))
        hidden = state[0] if isinstance(state, tuple) else state  # (directions, n_rows, width)
        return self.head(self.dropout(hidden.transpose(0, 1).flatten(1)))
