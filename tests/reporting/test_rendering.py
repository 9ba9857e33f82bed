import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pandas as pd
import plotly
import pytest
import yaml
from plotly.graph_objects import Bar, Figure, Heatmap, Scatter

from tests.reporting.made import PLACE, facts_of, of_labels, of_numbers
from tests.reporting.pages import Page
from torchlane.core.options import DataOptions
from torchlane.figures.style import escaped, finish, words
from torchlane.reporting.rendering import render_card, render_page, vendored_plotly

HOSTILE = ["<script>alert(1)</script>", '<img src=x onerror="alert(1)">', "</script><b>&amp;", "a|b `c` *d* _e_\n# f"]


def figures(label: str = "price") -> dict[str, Figure]:
    points = Figure(Scatter(x=[1, 2], y=[3.0, 4.0], text=[label, label], mode="markers"))
    return {
        "predictions": finish(points, f"Truth and prediction of {escaped(label)}", "sales", note="2 test rows"),
        "roc": words("This is drawn for classes only; the target is a number.", "ROC"),
        "runs": finish(Figure(Bar(x=["a"], y=[1])), "Runs", "sales"),
    }


def test_every_link_leads_to_a_section_and_every_section_has_a_link():
    page = Page(render_page(facts_of(of_numbers()), figures()))
    assert {f"#{name}" for name in page.ids} >= set(page.links)
    sections = [name for name in page.ids if not name.startswith(("figure-", "data-")) and name != "more"]
    assert page.links[: len(sections)] == [f"#{name}" for name in sections]
    assert len(page.links) == len(sections) + 5  # of the five questions at the top
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize("artifacts", [of_numbers(), of_labels(), of_labels(("a", "b", "c"))])
def test_page_loads_nothing_and_is_small(artifacts):
    text = render_page(facts_of(artifacts), figures())
    page = Page(text)
    assert page.loads == []
    assert page.handlers == []
    assert len(text.encode()) < 1_600_000
    assert text == render_page(facts_of(artifacts), figures())


def test_policy_allows_the_two_scripts_of_the_page_alone():
    page = Page(render_page(facts_of(of_numbers()), figures()))
    policy = next(each["content"] for each in page.metas if each.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    packed = [text for own, text in page.scripts if own.get("type") == "application/gzip"]
    run = [text for own, text in page.scripts if own.get("type") not in ("application/json", "application/gzip")]
    run += [gzip.decompress(base64.b64decode(text)).decode() for text in packed]
    digests = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run}
    assert (len(packed), len(digests)) == (1, 2)
    assert set(re.findall(r"'sha256-(.*?)'", policy)) == digests
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


def test_markup_in_names_levels_and_source_is_shown_and_never_executed():
    plain = Page(render_page(facts_of(of_labels(("no", "yes"))), figures()))
    columns = {name: {"kind": "category"} for name in HOSTILE} | {"answer": {"kind": "category", "levels": HOSTILE}}
    data = DataOptions(task="multiclass", target="answer", columns=columns)
    mistakes = pd.DataFrame({"row": [1], "truth": [HOSTILE[0]], "prediction": [HOSTILE[1]], "error": [1.0]})
    artifacts = replace(of_labels(tuple(HOSTILE), {"data": HOSTILE[0]}), data=data, mistakes=mistakes)
    drawn = figures(HOSTILE[2])
    page = Page(render_page(facts_of(artifacts), drawn))
    assert page.handlers == [] and page.loads == []
    assert page.tags.count("script") == plain.tags.count("script")
    assert page.tags.count("b") - page.tags.count("aside") == plain.tags.count("b") - plain.tags.count("aside")
    for text in HOSTILE:
        assert text in page.text
    assert json.loads(page.figure("predictions"))["data"][0]["text"] == [HOSTILE[2]] * 2
    assert f"Truth and prediction of {HOSTILE[2]}" in page.text


def test_figure_that_has_nothing_to_show_says_so_and_is_not_drawn():
    page = Page(render_page(facts_of(of_numbers()), figures()))
    assert "This is drawn for classes only; the target is a number." in page.text
    assert "data-roc" not in page.ids
    assert "data-runs" in page.ids  # a figure that the page does not know stands at the end
    assert page.ids.index("more") < page.ids.index("figure-runs")


def test_page_stays_below_three_megabytes_with_a_hundred_classes_and_many_points():
    labels = tuple(f"class {number}" for number in range(100))
    cells = [[f"{x} of {y}" for x in range(100)] for y in range(100)]
    cell = Heatmap(z=[[x * y / 7 for x in range(100)] for y in range(100)], text=cells, x=labels, y=labels)
    many = [number / 7 for number in range(5_000)]
    points = Scatter(x=many, y=many, text=[f"row {number}" for number in range(5_000)], mode="markers")
    drawn = {f"figure_{number}": Figure([cell, points]) for number in range(8)}
    text = render_page(facts_of(of_labels(labels)), drawn)
    assert len(text.encode()) < 3_000_000
    assert "This figure is too large for a page." in text


def test_commands_name_the_paths_environment_and_folders_of_the_run():
    place = {**PLACE, "environment": "public", "given": {"output_root": "/data/my out", "raw_root": None}}
    text = Page(render_page({**facts_of(of_numbers()), "place": place}, {})).text
    assert "torchlane.load('data/06_models/houses/model.safetensors')" in text
    where = "--env=public '--params=output_root=/data/my out'"
    assert f"uv run kedro run --pipeline=houses.predict {where}" in text
    assert f"uv run kedro run --pipeline=houses {where}" in text
    assert "torchlane export data/06_models/houses/model.safetensors data/06_models/houses/model.onnx" in text


def test_card_begins_with_a_header_that_the_hub_reads():
    card = render_card(facts_of(of_numbers()))
    start, header, rest = card.split("---\n", 2)
    assert start == ""
    read = yaml.safe_load(header)
    assert read["pipeline_tag"] == "tabular-regression"
    (result,) = read["model-index"][0]["results"]
    assert result["dataset"] == {"type": "houses", "name": "sales of 2025", "split": "test"}
    assert {"type": "mae", "value": 30156.6, "name": "mean_absolute_error"} in result["metrics"]
    assert rest.lstrip().startswith("# houses\n\nPredicts price to within 30,157 USD on average;")


def test_card_and_page_tell_the_same_facts():
    facts = facts_of(of_labels())
    card, page = render_card(facts), Page(render_page(facts, {})).text
    for sentence in (facts["answer"]["sentence"], *facts["limits"], *facts["rows"]["said"]):
        assert sentence in card and sentence in page


def test_tables_of_a_card_keep_their_columns_whatever_the_names():
    columns = {name: {"kind": "category"} for name in HOSTILE} | {"price": {"kind": "number"}}
    data = DataOptions(task="regression", target="price", columns=columns)
    card = render_card(facts_of(of_numbers(data=data)))
    prose = re.sub(r"^```\w*\n.*?^```$", "", card, flags=re.DOTALL | re.MULTILINE)
    assert prose.count("```") == 0
    assert "<script" not in prose and "<img" not in prose and "</script" not in prose
    row = next(line for line in card.splitlines() if line.startswith("| a\\|b"))
    assert row.startswith("| a\\|b \\`c\\` \\*d\\* \\_e\\_ \\# f | category |")
    assert len(re.split(r"(?<!\\)\|", row)) == 7


def test_vendored_plotly_is_the_file_recorded_and_of_the_version_that_draws_the_figures():
    about = vendored_plotly()
    folder = files("torchlane.reporting") / "vendored"
    assert hashlib.sha256((folder / about["file"]).read_bytes()).hexdigest() == about["sha256"]
    assert "MIT" in (folder / "LICENSE").read_text()
    own = Path(plotly.__file__).parent / "package_data/plotly.min.js"
    with own.open(encoding="utf-8") as file:
        head = file.read(200)
    assert f"plotly.js v{about['version']}\n" in head
    assert f"v{about['version']}\n" in about["text"][:200]
    assert gzip.decompress(base64.b64decode(about["packed"])).decode() == about["text"]
    assert about["packed"] in render_page(facts_of(of_numbers()), {})


def test_mistakes_of_numbers_are_shown_with_few_digits_and_years_without_a_comma():
    line = {
        "row": 1,
        "truth": "351941.0",
        "prediction": "175034.93320945252",
        "error": 176906.06679054748,
        "year": 2022.0,
    }
    text = Page(render_page(facts_of(of_numbers(mistakes=pd.DataFrame([line]))), {})).text
    assert "351,941" in text and "175,035" in text and "176,906" in text
    assert "2022" in text and "2,022" not in text and "351941.0" not in text
