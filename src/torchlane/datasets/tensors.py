"""`TensorDataset`s as safetensors files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from kedro_datasets._typing import ImagePreview, TablePreview
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch.utils.data import TensorDataset

from torchlane.datasets.files import FileDataset
from torchlane.datasets.previews import COLUMNS, preview_images, preview_table, seen

IMAGE_AXES = 4  # rows, channels, height, width
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
        """Show the first rows, with one column per target and feature; targets are last if all are shown."""
        features, targets = (
            tensor[:nrows].flatten(1) if tensor.ndim > 1 else tensor[:nrows, None] for tensor in self.load().tensors
        )
        names = [f"feature_{number}" for number in range(features.shape[1])]
        few, of_target = names[: COLUMNS - targets.shape[1]], [f"target_{number}" for number in range(targets.shape[1])]
        left = len(names) - len(few)
        shown = pd.DataFrame(features[:, : len(few)].numpy(), columns=few)
        table = shown.join(pd.DataFrame(targets.numpy(), columns=of_target)).to_dict(orient="split")
        return preview_table({**table, "columns": [*few, *of_target, *names[-left:]] if left else [*few, *of_target]})

    def _preview_images(self, nrows: int = 20) -> ImagePreview:
        """Show the first images over their targets."""
        features, targets = (tensor[:nrows] for tensor in self.load().tensors)
        captions = [", ".join(f"{value:g}" for value in target.flatten().tolist()) for target in targets]
        return preview_images([seen(image) for image in features.numpy()], captions)
