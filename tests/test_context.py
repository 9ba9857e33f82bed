"""What a run makes of the parameters."""

import copy
from pathlib import Path

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from torchlane.core.options import ColumnOptions

PROJECT = Path(__file__).parents[1]


def test_options_of_single_columns_are_no_datasets(tmp_path):
    bootstrap_project(PROJECT)
    with KedroSession.create(PROJECT, env="test", runtime_params={"output_root": str(tmp_path)}) as session:
        catalog = session.load_context().catalog
    names = [name for name in catalog.keys() if name.startswith("params:salaries")]  # noqa: SIM118
    assert "params:salaries.data" in names and "params:salaries.training.epochs" in names
    assert len(catalog.load("params:salaries.data").columns) > 5
    assert [name for name in names if name.startswith("params:salaries.data.columns.")] == []


def test_options_of_a_column_are_not_copied():
    column = ColumnOptions(kind="category", levels=("a", "b"))
    assert copy.deepcopy({"x": column})["x"] is column
