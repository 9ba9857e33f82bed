"""What tests in a browser share: one run, one server of Kedro-Viz and one browser for all of them."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ..commands import PROJECT, run_command

TOOLS = SimpleNamespace(**runpy.run_path(str(PROJECT / "docs/pictures.py")))


@pytest.fixture(scope="session")
def tools() -> SimpleNamespace:
    """The functions of docs/pictures.py; its tests skip where there is no browser."""
    if TOOLS.chromium() is None:
        pytest.skip("Chromium is not installed (in Debian: apt-get install chromium)")
    return TOOLS


@pytest.fixture(scope="package")  # while it is open, no other test of the process can start an event loop
def window(tools: SimpleNamespace) -> Iterator[Any]:
    """The browser."""
    with tools.browser() as started:
        yield started


def run(folder: Path, use_case: str) -> Path:
    """Run a use case with few epochs into a folder."""
    done = run_command("kedro", "run", f"--pipeline={use_case}", "--env=test", f"--params=output_root={folder}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def results(tools: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of a short run of salaries."""
    return run(tmp_path_factory.mktemp("results"), "salaries")


@pytest.fixture(scope="session")
def images(tools: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of a short run of digits."""
    return run(tmp_path_factory.mktemp("images"), "digits")


@pytest.fixture(scope="session")
def viz(tools: SimpleNamespace, results: Path) -> Iterator[str]:
    """The address of Kedro-Viz, which shows the results."""
    with tools.kedro_viz("--env=test", f"--params=output_root={results}") as address:
        yield address


class Seen:
    """A page that keeps the errors on its console, and the addresses elsewhere that it asks for, which get nothing."""

    def __init__(self, page: Any, own: str):
        self.page, self.errors, self.elsewhere = page, [], []
        self._own = own
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.route("**/*", self._answer)

    def _answer(self, route: Any) -> None:
        address = route.request.url
        if address.startswith((self._own, "data:", "blob:")):
            route.continue_()
            return
        self.elsewhere.append(address)
        route.abort()
