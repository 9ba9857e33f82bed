"""What tests share: small tables, and a way to run commands as a user would."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:  # torch reads it when it is imported; workers of one machine share its cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd
import pytest
import torch
from torch.utils.data import TensorDataset

from torchlane.core.options import DataOptions

from .commands import run_command
from .oracles import agreement
from .reports import pytest_runtest_makereport as pytest_runtest_makereport

WORKERS = 2  # of the whole default run


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Use workers for the whole default run alone: some files are over sooner than workers start, and slow proofs time and kill processes."""
    whole = config.args_source == pytest.Config.ArgsSource.TESTPATHS
    return WORKERS if whole and config.option.markexpr == "not slow" and not config.option.keyword else 0


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a worker tell how far from the oracles its numbers were."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["agreement"] = agreement.as_lists()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take in what a worker told."""
    agreement.take_in(getattr(node, "workeroutput", {}).get("agreement", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show how often oracles were asked, and how far from them the numbers were."""
    for line in agreement.lines():
        terminalreporter.write_line(line)


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_kedro(tmp_path: Path) -> Run:
    """Run the pipeline of salaries into a folder of the test's own; `params` come on top."""

    def run(*arguments: str, params: str = "", env: str = "test") -> subprocess.CompletedProcess[str]:
        settings = ",".join(filter(None, [f"output_root={tmp_path}", params]))
        return run_command("kedro", "run", "--pipeline=salaries", f"--env={env}", f"--params={settings}", *arguments)

    return run


@pytest.fixture
def toy_rows() -> pd.DataFrame:
    """Raw rows, as text, whose target follows from the features: price = 100 * size, doubled in town."""
    sizes = [str(size) for size in range(1, 61)]
    places = ["town", "village", "sea"] * 20
    prices = [str(100 * int(size) * (2 if place == "town" else 1)) for size, place in zip(sizes, places, strict=True)]
    kinds = ["dear" if int(price) > 3000 else "cheap" for price in prices]
    return pd.DataFrame({"size": sizes, "place": places, "price": prices, "kind": kinds}, dtype="str")


@pytest.fixture
def toy_data() -> DataOptions:
    """The options that go with `toy_rows`, for regression."""
    columns = {"size": {"kind": "number"}, "place": {"kind": "category"}}
    return DataOptions.model_validate({"task": "regression", "target": "price", "columns": columns})


@pytest.fixture
def toy_tensors() -> tuple[TensorDataset, TensorDataset]:
    """Train (70 rows) and valid (30 rows): three features and a nearly linear target."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(100, 3, generator=generator)
    noise = 0.1 * torch.randn(100, 1, generator=generator)
    targets = features @ torch.tensor([[1.0], [-2.0], [0.5]]) + noise
    return TensorDataset(features[:70], targets[:70]), TensorDataset(features[70:], targets[70:])
