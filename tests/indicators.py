"""The features that a network makes of an encoded column."""

import numpy as np
import torch

from torchlane.core.encoding.encoder import ColumnEncoder, Encoder
from torchlane.core.layers.coded import Indicators


def indicators(column: ColumnEncoder, encoded: np.ndarray) -> np.ndarray:
    """Turn encoded rows (n_rows, width) of one column into features (n_rows, n_features)."""
    layout = Encoder.model_construct(columns=(column,)).layout()
    return Indicators(layout)(torch.from_numpy(encoded)).numpy()
