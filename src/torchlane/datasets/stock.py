"""Kedro's own datasets, saved atomically. Kedro writes in place, so a kill would leave half a file."""

import copy
from pathlib import Path, PurePosixPath
from typing import Any

from kedro_datasets import json, pandas, plotly

from torchlane.core.machine.files import replacing


class AtomicSave:
    """Mixin for a Kedro dataset class: a local save, versioned or not, appears complete or not at all."""

    def save(self: Any, data: Any) -> None:
        if self._protocol != "file":  # object stores write complete objects anyway
            super().save(data)  # type: ignore[misc]
            return
        with replacing(Path(self._get_save_path())) as partial:
            beside = copy.copy(self)
            beside._filepath, beside._version = PurePosixPath(partial), None
            super(AtomicSave, beside).save(data)  # type: ignore[misc]
        self.release()


class CSVDataset(AtomicSave, pandas.CSVDataset):
    """pandas.CSVDataset, saved atomically."""


class ParquetDataset(AtomicSave, pandas.ParquetDataset):
    """pandas.ParquetDataset, saved atomically."""


class JSONDataset(AtomicSave, json.JSONDataset):
    """json.JSONDataset, saved atomically."""


class PlotlyDataset(AtomicSave, plotly.JSONDataset):
    """plotly.JSONDataset, saved atomically."""
