"""Encoded rows, and outputs for them, as safetensors files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from kedro_datasets._typing import ImagePreview, TablePreview
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import TensorDataset

from torchlane.core.encoding.columns import CategoryEncoder
from torchlane.core.encoding.encoder import ColumnEncoder, Encoder
from torchlane.core.encoding.storing import read_encoder
from torchlane.datasets.files import FileDataset
from torchlane.datasets.previews import COLUMNS, preview_images, preview_table, seen

IMAGE_AXES = 4  # rows, channels, height, width
OUTPUTS = "outputs"
NAMES = ("features", "targets", "weights")  # the last one only if rows have weights


class TensorsDataset(FileDataset[TensorDataset]):
    """Features, targets and, if rows have them, weights.

    Loading maps the file into memory, and only what is used is read from the disk.

    Args:
        filepath: the file.
        encoder: the `filepath` of the encoder that made the tensors, whose names a preview shows.
        metadata: for other tools, such as Kedro-Viz.
    """

    def __init__(self, *, filepath: str, encoder: dict[str, str] | None = None, metadata: dict[str, Any] | None = None):
        super().__init__(filepath=filepath, metadata=metadata)
        self._encoder = None if encoder is None else Path(encoder["filepath"])

    def read(self, path: Path) -> TensorDataset:
        try:
            tensors = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"it is not a whole safetensors file ({error}); run the stage prepare again") from error
        return TensorDataset(*(tensors[name] for name in NAMES if name in tensors))

    def write(self, content: TensorDataset, path: Path) -> None:
        save_file({name: tensor.contiguous() for name, tensor in zip(NAMES, content.tensors, strict=False)}, path)

    @property
    def preview(self) -> Callable[..., Any]:
        """The function for a preview of this file: Kedro-Viz tells tables from pictures by its annotation."""
        try:
            with safe_open(self.path, framework="pt") as file:
                is_image = len(file.get_slice(NAMES[0]).get_shape()) == IMAGE_AXES
        except Exception:  # whoever reads the file hears of this
            is_image = False
        return self._preview_images if is_image else self._preview_table

    def _preview_table(self, nrows: int = 5) -> TablePreview:
        """Show the first rows, with one column per feature, target and weight."""
        features, *others = (
            pd.DataFrame(tensor[:nrows].unsqueeze(1).flatten(1).numpy()).add_prefix(f"{name.removesuffix('s')}_")
            for name, tensor in zip(NAMES, self.load().tensors, strict=False)
        )
        if (encoder := self._read_encoder()) is not None:
            names = [name for column in encoder.tabular for name in _names_of(column)]
            features.columns = names if len(names) == features.shape[1] else features.columns
            others[0].columns = others[0].columns.str.replace(r"target(_0)?$", f"{encoder.target.name}", regex=True)
        few = features.iloc[:, : COLUMNS - sum(each.shape[1] for each in others)]
        table = pd.concat([few, *others], axis=1).to_dict(orient="split")
        return preview_table({**table, "columns": [*table["columns"], *features.columns[few.shape[1] :]]})

    def _preview_images(self, nrows: int = 20) -> ImagePreview:
        """Show the first images over their targets."""
        features, targets = (tensor[:nrows] for tensor in self.load().tensors[:2])
        encoder = self._read_encoder()
        labels = dict(enumerate(encoder.target.labels)) if encoder is not None else {}
        captions = [
            ", ".join(labels.get(value, f"{value:g}") for value in target.flatten().tolist()) for target in targets
        ]
        return preview_images([seen(image) for image in features.numpy()], captions)

    def _read_encoder(self) -> Encoder | None:
        """Read the encoder, if it is there."""
        if self._encoder is None or not self._encoder.exists():
            return None
        return read_encoder(self._encoder)


class OutputsDataset(FileDataset[Tensor]):
    """Outputs of members for rows, float32 (members, n_rows, width), in a safetensors file."""

    def read(self, path: Path) -> Tensor:
        try:
            return load_file(path)[OUTPUTS]
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"it does not hold whole outputs ({error}); run the stage train again") from error

    def write(self, content: Tensor, path: Path) -> None:
        save_file({OUTPUTS: content.contiguous()}, path)

    def preview(self, nrows: int = 20) -> TablePreview:
        """Show the outputs of all members for the first rows."""
        rows = self.load()[:, :nrows].permute(1, 0, 2)
        table = pd.DataFrame(rows.flatten(1)[:, :COLUMNS].numpy()).add_prefix("output_")
        return preview_table(table.to_dict(orient="split"))


def _names_of(column: ColumnEncoder) -> tuple[str, ...]:
    """Name the columns of encoded rows; a category is one column of codes."""
    return (f"{column.name} (code)",) if isinstance(column, CategoryEncoder) else column.feature_names
