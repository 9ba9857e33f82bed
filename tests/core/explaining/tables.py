"""Small tables that are encoded as the pipeline does."""

from typing import Any

import numpy as np
import pandas as pd
from torch.utils.data import TensorDataset

from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.options import DataOptions, EncodingOptions
from torchlane.core.rows.checking import check_rows


def encode(
    columns: dict[str, Any], task: str = "regression", weight: str | None = None, n_train: int | None = None
) -> tuple[TensorDataset, Encoder]:
    """Encode columns, of which `y` is the target; those of text are categories. The first `n_train` rows are train."""
    rows = pd.DataFrame(columns).astype(str)
    kinds = {
        name: {"kind": "category" if np.asarray(values).dtype.kind in "US" else "number"}
        for name, values in columns.items()
        if name != "y"
    }
    data = DataOptions.model_validate({"task": task, "target": "y", "columns": kinds, "weight": weight})
    clean, _ = check_rows(rows, data)
    encoder = fit_encoder(clean.iloc[:n_train], data, EncodingOptions())
    return build_tensors(clean, encoder), encoder
