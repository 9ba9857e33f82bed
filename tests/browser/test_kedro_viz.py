"""Kedro-Viz as it is seen in a browser: what is drawn at first sight, and what a click shows."""

import base64
import functools
import http.server
import io
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from torchlane.lineage import STAGES

from ..commands import PROJECT
from .conftest import Seen

LEAST_ZOOM = 0.5  # at which names can be read
SLOW = pytest.mark.slow
USE_CASES = ["salaries", "water_potability", "zoo", "digits"]


@pytest.fixture(scope="module")
def viz_page(window: Any, tools: SimpleNamespace) -> Any:
    """A page that keeps what it has loaded for the next test."""
    return tools.page_for_viz(window)


@pytest.fixture
def opened(viz_page: Any, tools: SimpleNamespace, viz: str) -> Callable[[str], Any]:
    """Open a page of the server by what follows its address."""

    def open_page(query: str) -> Any:
        viz_page.goto("about:blank")
        tools.show(viz_page, f"{viz}/{query}")
        return viz_page

    return open_page


def names_in(page: Any) -> list[str]:
    return [text.strip() for text in page.locator("#pipeline-graph .pipeline-node").all_text_contents()]


def zoom_of(page: Any) -> float:
    page.wait_for_function("document.querySelector('#pipeline-graph #zoom-wrapper').getAttribute('transform')")
    found = page.locator("#pipeline-graph #zoom-wrapper").get_attribute("transform")
    return float(re.search(r"scale\(([\d.]+)", found).group(1))


def click(page: Any, name: str) -> None:
    page.locator("#pipeline-graph .pipeline-node", has_text=re.compile(rf"^\s*{re.escape(name)}\s*$")).click()


@pytest.mark.parametrize("use_case", ["salaries", *(pytest.param(name, marks=SLOW) for name in USE_CASES[1:])])
def test_use_case_opens_as_its_stages_at_a_size_that_can_be_read(opened, use_case):
    page = opened(f"?pid={use_case}")
    names = names_in(page)
    assert {*STAGES, *(f"{use_case}.{name}" for name in ("raw_rows", "model", "metrics", "report"))} == set(names)
    assert zoom_of(page) >= LEAST_ZOOM


def test_all_use_cases_open_as_a_box_each_which_opens_with_a_click(opened):
    page = opened("?pid=__default__")
    assert set(USE_CASES) <= set(names_in(page)) and len(names_in(page)) <= 3 * len(USE_CASES)
    assert zoom_of(page) >= LEAST_ZOOM
    click(page, "zoo")
    page.locator("#pipeline-graph .pipeline-node", has_text="evaluate").wait_for()
    assert {*STAGES, "zoo.model", "salaries"} <= set(names_in(page))


def test_click_shows_metrics_by_part_and_a_model_in_words_and_the_stores_of_a_stage(opened):
    page = opened("?pid=salaries")
    table = page.locator(".pipeline-metadata table")
    click(page, "salaries.metrics")
    lines = [re.split(r"\s+", line.strip()) for line in table.inner_text().splitlines() if line.strip()]
    assert lines[0] == ["metric", "test", "valid", "train", "baseline"]
    assert lines[1][0] == "r2_score" and [len(cell) <= 10 for cell in lines[1][1:]] == [True] * 4
    click(page, "salaries.model")
    page.get_by_text("layer head").wait_for()
    assert re.search(r"predicts\s+salary_in_usd", table.inner_text())
    assert not any("checkpoints" in name or "studies" in name for name in names_in(page))
    click(page, "train")
    page.locator("#pipeline-graph .pipeline-node", has_text="train_model").wait_for()
    assert "salaries.checkpoints" in names_in(page) and "salaries.studies" not in names_in(page)


def test_figure_is_drawn_and_can_be_enlarged(opened):
    page = opened("?pid=salaries&sn=salaries.history_figure")
    page.locator(".pipeline-metadata .js-plotly-plot .trace").first.wait_for(state="attached")
    page.get_by_text("Expand preview").click()
    page.locator(".pipeline-metadata-modal .js-plotly-plot .trace").first.wait_for(state="attached")


def test_images_are_a_sheet_of_several_lines(opened):
    page = opened("?pid=digits&sn=digits.raw_rows")
    source = page.locator(".pipeline-metadata img.pipeline-metadata__plot-image").get_attribute("src")
    sheet = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert sheet.width >= 400 and sheet.height >= 300


@SLOW
def test_page_of_a_use_case_has_its_words_as_a_preview(opened):
    page = opened("?pid=salaries&sn=salaries.report")
    assert "salary_in_usd" in page.locator(".pipeline-metadata pre").inner_text()


@SLOW
def test_static_site_shows_the_same_from_any_server_without_a_network(window, tools, results, tmp_path):
    for name in ("conf", ".telemetry", "pyproject.toml", "src", "data/01_raw"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (PROJECT / name).is_dir() else shutil.copy)(PROJECT / name, tmp_path / name)
    for folder in Path(results).iterdir():
        shutil.copytree(folder, tmp_path / "data" / folder.name, dirs_exist_ok=True)
    command = [str(Path(sys.executable).with_name("kedro")), "viz", "build", "--include-previews"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)  # imports in the order of a user's
    assert done.returncode == 0, done.stderr
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "build"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        page = window.new_page()
        seen = Seen(page, address)
        page.goto(f"{address}/?pid=salaries")
        page.wait_for_selector("#pipeline-graph .pipeline-node")
        assert set(STAGES) <= set(names_in(page))
        page.locator("#pipeline-graph .pipeline-node", has_text="salaries.metrics").click()
        assert "r2_score" in page.locator(".pipeline-metadata table").inner_text()
        hosts = {urlsplit(each).hostname for each in seen.elsewhere}
        assert hosts <= {"fonts.googleapis.com"}  # a font, which is replaced by one at hand
        page.close()
        server.shutdown()
