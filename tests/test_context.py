"""What a run makes of the parameters."""

import copy
from pathlib import Path, PurePath

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from torchlane.core.options import ColumnOptions
from torchlane.pipeline_registry import KINDS, compose

PROJECT = Path(__file__).parents[1]


def test_options_of_single_columns_are_no_datasets(tmp_path):
    bootstrap_project(PROJECT)
    with KedroSession.create(PROJECT, env="test", runtime_params={"output_root": str(tmp_path)}) as session:
        catalog = session.load_context().catalog
    names = [name for name in catalog.keys() if name.startswith("params:salaries")]  # noqa: SIM118
    assert "params:salaries.data" in names and "params:salaries.training.epochs" in names
    assert len(catalog.load("params:salaries.data").columns) > 5
    assert [name for name in names if name.startswith("params:salaries.data.columns.")] == []


def test_every_path_of_the_catalog_is_in_the_project_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # as a notebook, or kedro run in a folder of the project
    bootstrap_project(PROJECT)
    with KedroSession.create(PROJECT) as session:
        catalog = session.load_context().catalog
    names = {
        name for use_case in ("salaries", "digits") for kind in KINDS for name in compose(use_case, kind).datasets()
    }
    paths = [path for name in names if name in catalog for path in paths_of(catalog[name])]
    assert len(paths) > 30 and all(path.is_relative_to(PROJECT) for path in paths), paths


def paths_of(dataset: object) -> list[Path]:
    values = [
        each for value in vars(dataset).values() for each in (value.values() if isinstance(value, dict) else [value])
    ]
    return [Path(each) for each in values if isinstance(each, PurePath)]


def test_options_of_a_column_are_not_copied():
    column = ColumnOptions(kind="category", levels=("a", "b"))
    assert copy.deepcopy({"x": column})["x"] is column
