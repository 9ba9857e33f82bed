from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.core.model.test_trained import train_on
from torchlane.core.options import PredictionOptions
from torchlane.core.scoring.inbox import score_inbox
from torchlane.datasets.inbox import InboxDataset
from torchlane.datasets.ledger import SQLLedger
from torchlane.datasets.predictions import PredictionFolder


class Place:
    """An inbox, a ledger and a folder of predictions; each run is another job."""

    def __init__(self, folder: Path, model: Any, rows: pd.DataFrame):
        self.folder, self.model, self.rows = folder, model, rows
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self.store = PredictionFolder(folder / "predictions")

    def put(self, name: str, rows: pd.DataFrame | None = None, text: str | None = None) -> Path:
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((self.rows if rows is None else rows).to_csv(index=False) if text is None else text)
        return path

    def ledger(self) -> SQLLedger:
        return SQLLedger(f"sqlite:///{self.folder}/ledger.sqlite", "toy")

    def score(self, **options: Any) -> dict[str, Any]:
        settings = PredictionOptions.model_validate({"settle_seconds": 0, **options})
        inbox = InboxDataset(path=str(self.inbox)).load()
        return score_inbox(inbox, self.ledger(), self.store, self.model, settings)

    def states(self) -> dict[str, str]:
        return {entry["name"]: entry["state"] for entry in self.ledger().entries()}

    def entry(self, name: str) -> dict[str, Any]:
        return next(entry for entry in self.ledger().entries() if entry["name"] == name)

    def predictions(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.store.path_of(self.entry(name)["output"]))

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.joinpath("predictions").rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def toy_model():
    """One for all tests here; it is only read."""
    sizes = [str(size) for size in range(1, 61)]
    rows = pd.DataFrame({"size": sizes, "place": ["town", "village", "sea"] * 20, "price": sizes})
    from torchlane.core.options import DataOptions

    columns = {"size": {"kind": "number"}, "place": {"kind": "category"}}
    data = DataOptions.model_validate({"task": "regression", "target": "price", "columns": columns})
    return train_on(rows, data, epochs=5)


@pytest.fixture
def place(tmp_path, toy_model, toy_rows) -> Place:
    return Place(tmp_path, toy_model, toy_rows[["size", "place"]])
