"""`TensorDataset`s as safetensors files."""

from pathlib import Path

import pandas as pd
from kedro_datasets._typing import TablePreview
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.utils.data import TensorDataset

from torchlane.datasets.files import FileDataset

NAMES = ("features", "targets")


class TensorsDataset(FileDataset[TensorDataset]):
    """Features and targets; loading maps the file into memory, and only what is used is read from the disk."""

    def read(self, path: Path) -> TensorDataset:
        try:
            tensors = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"it is not a whole safetensors file ({error}); run the stage prepare again") from error
        return TensorDataset(*(tensors[name] for name in NAMES))

    def write(self, content: TensorDataset, path: Path) -> None:
        save_file({name: tensor.contiguous() for name, tensor in zip(NAMES, content.tensors, strict=True)}, path)

    def preview(self, nrows: int = 5) -> TablePreview:
        """Show the first rows, with one column per feature."""
        features, targets = (
            tensor[:nrows].flatten(1) if tensor.ndim > 1 else tensor[:nrows, None] for tensor in self.load().tensors
        )
        table = pd.DataFrame(features.numpy()).add_prefix("feature_")
        return TablePreview(table.join(pd.DataFrame(targets.numpy()).add_prefix("target_")).to_dict(orient="split"))
