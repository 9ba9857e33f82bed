"""Tables of many columns, from their file to predictions."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

import torchlane
from torchlane.core.options import DataOptions
from torchlane.core.rows import checking
from torchlane.core.rows.drafting import draft_parameters
from torchlane.core.rows.raw_rows import Chunk
from torchlane.core.scoring import columns
from torchlane.core.scoring.chunks import ChunkScorer

from .commands import PROJECT, run_command
from .core.model.test_trained import train_on


def drawn(n_columns: int, n_rows: int) -> pd.DataFrame:
    """Draw text of numbers, some missing, beside categories in every tenth column, and a target that one explains."""
    random = np.random.default_rng(0)
    numbers = pd.DataFrame(random.normal(size=(n_rows, n_columns)).round(3)).mask(
        random.random((n_rows, n_columns)) < 0.01
    )
    rows = numbers.set_axis([f"c{number}" for number in range(n_columns)], axis=1).astype("str").fillna("")
    levels = {f"c{number}": random.choice(["red", "blue"], n_rows) for number in range(9, n_columns, 10)}
    return rows.assign(**levels, y=(3 * numbers[0].fillna(0) + 1).round(3).astype("str"))


def test_columns_are_read_checked_scored_and_profiled_in_few_calls(monkeypatch, tmp_path):
    rows = drawn(200, 80)
    drafted = yaml.safe_load(draft_parameters(rows, "wide", "y").parameters)["wide"]["data"]
    data = DataOptions.model_validate(drafted)
    assert [*data.feature_columns] == [*rows.columns[:-1]]
    train_on(rows, data, epochs=1).save(tmp_path / "model.safetensors")
    calls = []
    for module in (checking, columns):
        read = module.read_column
        monkeypatch.setattr(module, "read_column", lambda *given, read=read: calls.append(given) or read(*given))
    model = torchlane.load(tmp_path / "model.safetensors")
    expected = model.predict(rows)
    chunk = Chunk(np.arange(1, len(rows) + 1), pa.Table.from_pandas(rows, preserve_index=False))
    scored = ChunkScorer(model).score(chunk)
    assert scored.predictions.table()["prediction"].to_pylist() == expected["prediction"].tolist()
    assert set(scored.counts) == {*data.feature_columns, "(prediction)"}
    assert len(calls) == 4  # numbers and categories, in each of the two ways


def test_row_that_breaks_a_rule_of_one_of_many_columns_is_rejected_alone():
    rows = drawn(200, 80)
    data = DataOptions.model_validate(yaml.safe_load(draft_parameters(rows, "wide", "y").parameters)["wide"]["data"])
    model = train_on(rows, data, epochs=1)
    rows.loc[[3, 5], "c7"] = ["x", "1e300"]
    chunk = Chunk(np.arange(1, len(rows) + 1), pa.Table.from_pandas(rows, preserve_index=False))
    scored = ChunkScorer(model).score(chunk)
    assert scored.rejected.to_pylist() == [
        {"row": 4, "column": "c7", "value": "x", "rule": "a number"},
        {"row": 6, "column": "c7", "value": "1e300", "rule": "a finite number"},
    ]
    assert len(scored.predictions.table()) == 78


@pytest.mark.slow
def test_ten_thousand_columns_go_from_their_file_to_predictions(tmp_path):
    for name in ("conf", "pyproject.toml", "src", ".telemetry"):
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        copy(PROJECT / name, tmp_path / name)
    (tmp_path / "data/01_raw").mkdir(parents=True)
    rows = drawn(10_000, 300)
    rows.to_csv(tmp_path / "wide.csv", index=False)
    inbox = tmp_path / "data/01_raw/wide_inbox/new.csv"
    inbox.parent.mkdir()
    rows[::-1].drop(columns="y").to_csv(inbox, index=False)
    settings = "--params=wide.training.epochs=2,wide.prediction.settle_seconds=0"
    for command in (
        ("torchlane", "init", "wide.csv", "--target", "y"),
        ("kedro", "run", "--pipeline=wide", settings),
        ("kedro", "run", "--pipeline=wide.predict", settings),
    ):
        done = run_command(*command, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    (written,) = (tmp_path / "data/07_model_output/wide/predictions").rglob("new*.csv")
    path = tmp_path / "data/06_models/wide/model.safetensors"
    model = torchlane.load(path)
    assert pd.read_csv(written)["prediction"].tolist() == model.predict(rows[::-1])["prediction"].tolist()
    assert size(tmp_path / "data/04_feature/wide/encoder.safetensors") < 12
    assert size(path) - sum(each.nbytes for each in model.weights.values()) / 1e6 < 15


def size(path: Path) -> float:
    """Give the size of a file in MB."""
    return path.stat().st_size / 1e6
