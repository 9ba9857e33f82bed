"""Finished runs beside each other."""

import json
import re

import pytest

from torchlane.figures.runs import plot_runs
from torchlane.figures.style import is_words
from torchlane.tracking.comparing import best_of, differing, draw, table_of


def run(score: float | None = 0.5, metric: str = "r2_score", splits: str = "a" * 64, **changed) -> dict:
    scores = {"valid": {metric: score}, "test": {metric: 0.25}}
    options = {"training.epochs": 3, "model.widths": [64, 64]} | changed
    return {
        "when": "2026-11-28T06:52:47+00:00",
        "pipeline": "toy",
        "env": "test",
        "seconds": 7.47,
        "options": {name: value for name, value in options.items() if value is not None},
        "fingerprints": {"rows": "b" * 64, "splits": splits, "model": "c" * 64},
        "primary_metric": metric,
        "metrics": scores if score is not None else {"test": scores["test"]},
        "versions": {"torch": "2.15.0"},
        "commit": None,
    }


def test_only_what_differs_is_named_and_an_option_that_a_run_leaves_out_is_default():
    runs = [run(), run(**{"training.epochs": 5}), run(**{"training.epochs": None, "model.dropout": 0.5})]
    assert differing(runs) == [
        {"training.epochs": "3", "model.dropout": "default"},
        {"training.epochs": "5", "model.dropout": "default"},
        {"training.epochs": "default", "model.dropout": "0.5"},
    ]
    assert differing([run(), run()]) == [{}, {}]


@pytest.mark.parametrize(
    ("runs", "best"),
    [
        ([], None),
        ([run()], None),
        ([run(0.4), run(0.6), run(0.5)], 1),
        ([run(0.4, "mean_absolute_error"), run(0.6, "mean_absolute_error")], 0),
        ([run(0.9, splits="other"), run(0.4), run(0.5)], 2),  # on other rows of valid a score says nothing
        ([run(None), run(None)], None),  # a choice by test would make test part of the training
    ],
)
def test_best_run_is_the_one_on_valid_of_those_on_the_split_of_the_last(runs, best):
    assert best_of(runs) == best


def test_table_has_a_line_for_each_run_with_scores_and_the_best_one_marked():
    table = table_of(
        [run(30156.6, "mean_absolute_error"), run(40000.0, "mean_absolute_error", **{"training.epochs": 9})]
    )
    assert table.splitlines() == [
        "   when (UTC)        valid mean_absolute_error  test mean_absolute_error  seconds  what differs",
        "*  2026-11-28 06:52                     30,157                      0.25     7.47  training.epochs 3",
        "   2026-11-28 06:52                     40,000                      0.25     7.47  training.epochs 9",
        "* best on valid, of the runs on the rows and split of the last one",
    ]


def test_figure_shows_each_run_with_what_differs_and_texts_as_they_were_typed(tmp_path):
    runs = [run(0.4), run(0.6, **{"data.columns.<b>.kind": "number"})]
    figure = plot_runs(runs, differing(runs), "toy").to_plotly_json()
    by_name = {trace.get("name"): trace for trace in figure["data"]}
    assert list(by_name["valid"]["y"]) == [0.4, 0.6]
    assert list(by_name["test"]["y"]) == [0.25, 0.25]
    assert "data.columns.&lt;b&gt;.kind: number" in by_name["valid"]["text"][1]
    assert is_words(plot_runs([], [], "toy"))
    draw(runs, "toy", tmp_path / "runs.html")
    assert not re.search(r"<script[^>]* src=|<link", (tmp_path / "runs.html").read_text())  # it needs no network


def test_runs_of_older_versions_that_lack_fields_are_shown(tmp_path):
    old = json.loads('{"when": "2026-01-01T00:00:00+00:00"}')
    assert "2026-01-01 00:00" in table_of([old, run()])
    assert best_of([old]) is None
