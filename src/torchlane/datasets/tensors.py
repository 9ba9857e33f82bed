"""`TensorDataset`s as safetensors files."""

from pathlib import Path

import pandas as pd
from kedro_datasets._typing import TablePreview
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import TensorDataset

from torchlane.datasets.files import FileDataset

NAMES = ("features", "targets", "weights")  # the last one only if rows have weights


class TensorsDataset(FileDataset[TensorDataset]):
    """Features, targets and, if rows have them, weights.

    Loading maps the file into memory, and only what is used is read from the disk.
    """

    def read(self, path: Path) -> TensorDataset:
        try:
            tensors = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"it is not a whole safetensors file ({error}); run the stage prepare again") from error
        return TensorDataset(*(tensors[name] for name in NAMES if name in tensors))

    def write(self, content: TensorDataset, path: Path) -> None:
        save_file({name: tensor.contiguous() for name, tensor in zip(NAMES, content.tensors, strict=False)}, path)

    def preview(self, nrows: int = 5) -> TablePreview:
        """Show the first rows, with one column per feature."""
        tables = [
            pd.DataFrame(_flat(tensor[:nrows]).numpy()).add_prefix(f"{name.removesuffix('s')}_")
            for name, tensor in zip(NAMES, self.load().tensors, strict=False)
        ]
        return TablePreview(pd.concat(tables, axis=1).to_dict(orient="split"))


def _flat(tensor: Tensor) -> Tensor:
    """Give a tensor one row for each of its rows: (n_rows, n_numbers)."""
    return tensor.flatten(1) if tensor.ndim > 1 else tensor[:, None]
