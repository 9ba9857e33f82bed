import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as parquet
import pytest
from kedro.io import DatasetError, Version
from plotly.graph_objects import Figure

from torchlane.datasets.plots import PlotlyDataset
from torchlane.datasets.stock import CSVDataset, JSONDataset, ParquetDataset

TABLE = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
DATASETS = {"a.csv": (CSVDataset, TABLE), "a.parquet": (ParquetDataset, TABLE), "a.json": (JSONDataset, {"a": [1]})}


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_saved_is_loaded_and_nothing_else_is_left(tmp_path, name):
    kind, data = DATASETS[name]
    dataset = kind(filepath=str(tmp_path / name))
    dataset.save(data)
    loaded = dataset.load()
    if isinstance(data, pd.DataFrame):
        pd.testing.assert_frame_equal(loaded, data)
    else:
        assert loaded == data
    assert dataset.exists()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_figure_is_saved_as_plotly_json(tmp_path):
    dataset = PlotlyDataset(filepath=str(tmp_path / "a.json"))
    dataset.save(Figure().add_bar(y=[1, 2]))
    assert dataset.preview()["data"][0]["type"] == "bar"


def test_save_that_fails_midway_leaves_the_old_file(tmp_path):
    dataset = JSONDataset(filepath=str(tmp_path / "a.json"))
    dataset.save({"a": 1})
    with pytest.raises(DatasetError):
        dataset.save({"a": 1, "b": object()})
    assert dataset.load() == {"a": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_versioned_save_is_atomic_too(tmp_path, monkeypatch):
    version = Version(None, "2026-01-01T00.00.00.000Z")
    dataset = JSONDataset(filepath=str(tmp_path / "a.json"), version=version)
    with pytest.raises(DatasetError):
        dataset.save(object())
    assert not list(Path(tmp_path).rglob("*.json/*/*"))
    dataset.save({"a": 1})
    assert JSONDataset(filepath=str(tmp_path / "a.json"), version=Version(None, None)).load() == {"a": 1}


def test_source_of_the_rows_is_stored_with_them(tmp_path):
    dataset = ParquetDataset(filepath=str(tmp_path / "a.parquet"))
    table = TABLE.copy()
    table.attrs["source"] = "bundled sample"
    dataset.save(table)
    assert dataset.load().attrs["source"] == "bundled sample"


def test_killed_versioned_save_does_not_become_the_newest_version(tmp_path):
    path = str(tmp_path / "a.json")
    JSONDataset(filepath=path, version=Version(None, "2026-01-01T00.00.00.000Z")).save({"a": 1})
    program = (
        "import os, signal, sys; from kedro.io import Version; from torchlane.core.machine import files\n"
        "from torchlane.datasets.stock import JSONDataset\n"
        "files.os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)\n"
        "JSONDataset(filepath=sys.argv[1], version=Version(None, '2026-01-02T00.00.00.000Z')).save({'a': 2})"
    )
    assert subprocess.run([sys.executable, "-c", program, path]).returncode == -9
    assert len(list(tmp_path.rglob(".partial-*"))) == 1
    assert JSONDataset(filepath=path, version=Version(None, None)).load() == {"a": 1}


def test_parquet_is_read_by_one_thread_unless_the_catalog_says_otherwise(tmp_path, monkeypatch):
    used = []
    read = parquet.read_table
    monkeypatch.setattr(
        parquet, "read_table", lambda *given, **named: used.append(named["use_threads"]) or read(*given, **named)
    )
    for load_args in ({}, {"use_threads": True}):
        dataset = ParquetDataset(filepath=str(tmp_path / "rows.parquet"), load_args=load_args)
        dataset.save(pd.DataFrame({"x": [0.5], "place": ["town"]}))
        assert dataset.load().to_dict("list") == {"x": [0.5], "place": ["town"]}
    assert used == [False, True]
    columns = parquet.ParquetFile(tmp_path / "rows.parquet").metadata.row_group(0)
    assert [columns.column(number).has_dictionary_page for number in range(2)] == [False, True]
