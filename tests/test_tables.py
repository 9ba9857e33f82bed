"""Small runs of `benchmarks/tables.py` and `benchmarks/ensembles.py`, on the bundled rows."""

import json
import sys

import pandas as pd
import pytest

from .commands import PROJECT, run_command


@pytest.fixture
def compare(tmp_path):
    def run(use_case, *arguments):
        script = str(PROJECT / "benchmarks/tables.py")
        done = run_command(
            sys.executable, script, "--env=test", "--use-cases", use_case, "--repeats=1", "--folds=3",
            f"--results={tmp_path}", *arguments,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def test_methods_meet_on_the_same_folds_without_repeated_rows_and_a_rerun_does_nothing_twice(compare, tmp_path):
    methods = ("--methods", "torchlane", "linear", "random forest")
    printed = compare("zoo", *methods).stdout
    assert "| linear |" in printed and "| random forest |" in printed and "of 3 |" in printed
    folders = sorted(tmp_path.glob("zoo/repeat-*"))
    parts = [[pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "test")] for folder in folders]
    for train, test in parts:
        assert not pd.concat([train, test]).duplicated().any()
    tested = pd.concat([test for _, test in parts])
    assert len(folders) == 3 and len(tested) == len(pd.concat(parts[0])) == 59 and not tested.duplicated().any()
    scores = pd.read_csv(tmp_path / "zoo/scores.csv")
    assert scores.groupby("method").size().to_dict() == {"torchlane": 3, "linear": 3, "random forest": 3}
    assert scores.groupby("method")["accuracy_score"].mean()["linear"] > 0.7

    torn = folders[1] / "linear.json"
    torn.unlink()
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("zoo/*/*.json")}
    again = compare("zoo", *methods)
    assert torn.exists() and "linear" in again.stderr and "zoo repeat-0-fold-0: torchlane" not in again.stderr
    assert times == {path: path.stat().st_mtime_ns for path in times}

    compare("zoo", "--methods", "torchlane", "--set", "{training: {members: 2}}")  # other settings: run anew
    changed = json.loads((folders[0] / "torchlane.json").read_text())
    assert '"members":2' in changed["settings"]


def test_a_perfect_linear_rule_is_found_in_the_units_of_the_file(tmp_path):
    sys.path.insert(0, str(PROJECT / "benchmarks"))
    try:
        from peers.jobs import Job, read_job, run_job, write_job
        from peers.near import NEAR
    finally:
        sys.path.pop(0)
    rows = pd.DataFrame({"size": [float(size) for size in range(60)], "place": ["town", "sea", None] * 20})
    rows["price"] = 1000 * rows["size"] + 500 * (rows["place"] == "sea")
    job = Job(rows[10:], rows[:10], "price", "regression", [], ["place"], ["size"], seed=0, fingerprint="here")
    write_job(tmp_path, job)
    for part in ("train", "test"):
        kept, given = (getattr(each, part).fillna("gap").to_dict("list") for each in (read_job(tmp_path), job))
        assert kept == given
    run_job("linear", NEAR["linear"], "1", tmp_path)
    kept = json.loads((tmp_path / "linear.json").read_text())
    assert max(abs(kept["prediction"] - rows["price"][:10])) < 60 and kept["fingerprint"] == "here"


def test_members_and_calibration_are_measured_on_each_split_once(tmp_path):
    command = (
        sys.executable, str(PROJECT / "benchmarks/ensembles.py"), "--env=test", "--use-cases", "salaries",
        "--seeds=2", f"--results={tmp_path}",
    )  # fmt: skip
    done = run_command(*command)
    assert done.returncode == 0 and "mean of 2 splits" in done.stdout, done.stdout + done.stderr
    lines = json.loads((tmp_path / "salaries-1.json").read_text())["lines"]
    assert [line["members"] for line in lines] == [1, 4, 8, 16, 32]
    assert all(0.5 < line["coverage"] <= 1 for line in lines)
    assert run_command(*command).stdout == done.stdout
