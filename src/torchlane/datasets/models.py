"""Recipes and the options that a search chose as JSON; encoders and trained models as safetensors."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from kedro_datasets._typing import JSONPreview, TablePreview

from torchlane.core.options import Recipe
from torchlane.datasets.files import FileDataset
from torchlane.datasets.in_words import preview_encoder, preview_model
from torchlane.datasets.previews import preview_json

if TYPE_CHECKING:  # they import torch, and a run asks for the place of its model before it does anything
    from torchlane.core.encoding.encoder import Encoder
    from torchlane.core.model.trained import TrainedModel
    from torchlane.core.search.chosen import Chosen


class EncoderDataset(FileDataset["Encoder"]):
    """A fitted encoder as one safetensors file: JSON with quantiles as tensors; numbers keep their exact values."""

    def read(self, path: Path) -> "Encoder":
        from torchlane.core.encoding.storing import read_encoder

        return read_encoder(path)

    def write(self, content: "Encoder", path: Path) -> None:
        from torchlane.core.encoding.storing import save_with_header, split_encoder

        header, tensors = split_encoder(content)
        save_with_header(path, tensors, header)

    def preview(self) -> TablePreview:
        """Show what becomes of each column."""
        return preview_encoder(self.load())


class ChosenDataset(FileDataset["Chosen"]):
    """The options that a search changed; see `torchlane.core.search.chosen`."""

    def read(self, path: Path) -> "Chosen":
        from torchlane.core.search.chosen import read_chosen

        try:
            return read_chosen(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{error}; delete it, or search again") from error

    def write(self, content: "Chosen", path: Path) -> None:
        path.write_text(json.dumps(content, indent=2), encoding="utf-8")

    def preview(self) -> JSONPreview:
        """Show the options."""
        return preview_json(self.load())


class RecipeDataset(FileDataset[Recipe]):
    """The options that the stage train takes."""

    def read(self, path: Path) -> Recipe:
        return Recipe.model_validate_json(path.read_text(encoding="utf-8"))

    def write(self, content: Recipe, path: Path) -> None:
        path.write_text(content.model_dump_json(indent=2), encoding="utf-8")

    def preview(self) -> JSONPreview:
        """Show the recipe."""
        return preview_json(self.load().model_dump(mode="json"))


class ModelDataset(FileDataset["TrainedModel"]):
    """A model file; see `torchlane.core.model.trained`."""

    def read(self, path: Path) -> "TrainedModel":
        from torchlane.core.model import trained

        return trained.load(path)

    def write(self, content: "TrainedModel", path: Path) -> None:
        content.save(path)

    def preview(self) -> TablePreview:
        """Show what the model is, in words."""
        return preview_model(self.load())
