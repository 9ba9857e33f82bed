"""Real runs with a search, as a user types them."""

import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pandas as pd
import pytest

import torchlane
from tests.figures.titles import title_of

from .commands import PROJECT, Started, noise, run_command
from .test_runs import digests, read_json

SEARCH = "salaries.tuning.trials=6,salaries.tuning.keep_given=false,salaries.training.epochs=12,salaries.tuning.prune_epochs=4"


def test_search_run_leaves_leaderboard_choice_and_a_model_made_by_it(run_kedro, tmp_path):
    done = run_kedro(params=SEARCH)
    assert done.returncode == 0, done.stderr
    assert noise(done.stderr) == []
    reports, models = tmp_path / "08_reporting/salaries", tmp_path / "06_models/salaries"
    leaderboard = pd.read_csv(reports / "leaderboard.csv")
    assert len(leaderboard) == 6
    complete = leaderboard[leaderboard["state"] == "complete"]
    assert complete["valid_r2_score"].is_monotonic_decreasing
    best = leaderboard.iloc[0]
    chosen, recipe = read_json(models / "chosen_options.json"), read_json(models / "recipe.json")
    model = torchlane.load(models / "model.safetensors")
    assert chosen["trial"] == best["trial"]
    assert model.training.learning_rate == recipe["training"]["learning_rate"]
    assert model.training.learning_rate == pytest.approx(best["training.learning_rate"], rel=1e-5)
    assert model.model.dropout == pytest.approx(best["model.dropout"], rel=1e-5)
    assert {column.encoding for column in model.encoder.columns if column.kind == "number"} == {
        best["encoding.numbers"]
    }
    assert read_json(reports / "option_importances.json")["reason"].startswith("nothing can be told: 6 trials")
    assert "nothing can be told: 6 trials" in title_of(read_json(reports / "search.json"))
    assert "search: how much each option mattered: nothing can be told: 6 trials" in done.stderr
    assert title_of(read_json(reports / "search.json")).startswith("Search: 6 trials")
    assert "bundled sample" in title_of(read_json(reports / "search.json"))
    assert not list(models.glob("search_checkpoints/*"))

    # The same command finds all trials done, and writes the same.
    first = digests(tmp_path)
    again = run_kedro(params=SEARCH)
    assert "6 are done already" in again.stderr
    second = digests(tmp_path)
    timed = {"history.csv", "provenance.json", "facts.json", "report.html", "model_card.md", "runs.jsonl"}
    assert {Path(name).name for name in first if first[name] != second.get(name)} <= timed

    # What is set for a run alone wins over what was chosen; the rest stays.
    rate = run_kedro("--tags=train", params="salaries.training.learning_rate=0.0123,salaries.training.epochs=2")
    assert rate.returncode == 0, rate.stderr
    trained = torchlane.load(models / "model.safetensors")
    assert trained.training.learning_rate == 0.0123
    assert trained.model == model.model


FOUND = (
    "06_models/salaries/chosen_options.json",
    "08_reporting/salaries/leaderboard.csv",
    "08_reporting/salaries/option_importances.json",
)


def test_runs_after_a_search_train_what_it_chose_until_the_rows_change_or_it_is_dropped(run_kedro, tmp_path):
    space = ",".join(
        f"salaries.tuning.space.{each}"
        for each in ("training.learning_rate.low=0.01", "training.learning_rate.high=0.1", "model.width.low=8",
                     "model.width.high=16")
    )  # fmt: skip
    search = f"salaries.tuning.trials=8,salaries.tuning.keep_given=false,salaries.tuning.epochs=1,{space}"
    assert run_kedro(params=search).returncode == 0
    model = tmp_path / "06_models/salaries/model.safetensors"
    bits, found = model.read_bytes(), [(tmp_path / name).read_bytes() for name in FOUND]

    for arguments, params in (((), ""), ((), "salaries.tuning.trials=0"), (("--tags=train",), "")):
        model.unlink()
        done = run_kedro(*arguments, params=params)
        assert done.returncode == 0, done.stderr
        assert "options: as the search chose them: model.width " in done.stderr
        assert model.read_bytes() == bits
        assert [(tmp_path / name).read_bytes() for name in FOUND] == found
    assert "Search: 8 trials" in read_json(tmp_path / "08_reporting/salaries/search.json")["layout"]["title"]["text"]

    # Another space leaves it out for that run alone; a leaderboard that is gone hinders nothing.
    (tmp_path / FOUND[1]).unlink()
    done = run_kedro(params="salaries.tuning.space.model.width.low=8,salaries.tuning.space.model.width.high=9")
    assert done.returncode == 0, done.stderr
    assert "what the search chose is not applied, since tuning.space has changed since; search again" in done.stderr
    assert "leaderboard.csv is missing" in done.stderr
    assert (tmp_path / FOUND[0]).read_bytes() == found[0]
    assert model.read_bytes() != bits

    # Another split drops it, and the same search finds its trials done.
    done = run_kedro(params="salaries.split.seed=5")
    assert done.returncode == 0, done.stderr
    assert "the last choice is dropped, since rows or splits have changed since; search again" in done.stderr
    assert read_json(tmp_path / FOUND[0]) == {"trials": 0, "values": {}}
    assert pd.read_csv(tmp_path / FOUND[1]).empty
    done = run_kedro("--tags=prepare,tune", params=search)
    assert "8 are done already" in done.stderr
    assert [(tmp_path / name).read_bytes() for name in FOUND] == found

    # Who deletes the file has forgotten the search.
    (tmp_path / FOUND[0]).unlink()
    done = run_kedro()
    assert done.returncode == 0, done.stderr
    assert "as the search chose" not in done.stderr
    assert torchlane.load(model).training.learning_rate == 0.002
    assert pd.read_csv(tmp_path / FOUND[1]).empty


def test_params_fix_a_choice_that_they_set_in_part(tmp_path):
    root = f"output_root={tmp_path},zoo.split.valid_fraction=0.2"
    shutil.copytree(PROJECT / "conf", tmp_path / "conf", ignore=shutil.ignore_patterns("local"))
    with (tmp_path / "conf/test/parameters/zoo.yml").open("a") as file:
        file.write(
            "  tuning:\n    sampler: grid\n    keep_given: false\n    epochs: 1\n    space:\n      training.optimizer:\n"
            "        choices: [{name: Adam, arguments: {}}]\n      training.learning_rate: {choices: [0.02]}\n"
        )

    def run(*arguments: str, params: str) -> str:
        source = f"--conf-source={tmp_path}/conf"
        done = run_command("kedro", "run", "--pipeline=zoo", "--env=test", source, f"--params={params}", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stderr

    run(params=f"{root},zoo.tuning.trials=1,zoo.training.optimizer.arguments.weight_decay=0.5")
    model = tmp_path / "06_models/zoo/model.safetensors"
    assert torchlane.load(model).training.optimizer.arguments == {"weight_decay": 0.5}
    run(params=f"{root},zoo.tuning.trials=1")
    assert torchlane.load(model).training.optimizer.model_dump() == {"name": "Adam", "arguments": {}}
    bits = model.read_bytes()
    run(params=root)
    assert model.read_bytes() == bits
    log = run("--tags=train", params=f"{root},zoo.training.optimizer.name=SGD")
    assert "training.optimizer stays " in log
    training = torchlane.load(model).training
    assert (training.optimizer.name, training.learning_rate) == ("SGD", 0.02)


def test_stages_after_a_search_fit_together(run_kedro, tmp_path):
    params = "salaries.tuning.trials=2,salaries.tuning.sampler=grid,salaries.tuning.epochs=1"
    space = ",salaries.tuning.space.model.depth.low=1,salaries.tuning.space.model.depth.high=2"
    done = run_kedro(params=params + space)
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(tmp_path / "08_reporting/salaries/leaderboard.csv")["model.depth"].tolist() in ([1, 2], [2, 1])
    stages = [run_kedro(f"--tags={stage}", params=params + space) for stage in ("evaluate", "report")]
    assert [stage.returncode for stage in stages] == [0, 0]
    model = torchlane.load(tmp_path / "06_models/salaries/model.safetensors")
    raw = pd.read_csv(PROJECT / "data/01_raw/salaries.csv", keep_default_na=False)
    saved = pd.read_csv(tmp_path / "07_model_output/salaries/test_predictions.csv")
    assert model.predict(raw.iloc[saved["row"] - 1])["prediction"].tolist() == saved["prediction"].tolist()


def start(tmp_path: Path, params: str) -> Started:
    settings = f"--params=output_root={tmp_path},{params}"
    return Started("kedro", "run", "--pipeline=salaries", "--env=test", settings)


def finished_trials(storage: Path) -> int:
    if not storage.exists():
        return 0
    with sqlite3.connect(storage) as connection:
        try:
            return connection.execute("SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')").fetchone()[0]
        except sqlite3.OperationalError:  # no table yet, or it is being written
            return 0


def test_killed_search_goes_on_and_ends_with_the_same_result(tmp_path):
    params = "salaries.tuning.trials=12,salaries.tuning.round_trials=4,salaries.training.epochs=20"
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder, kills in ((whole, 0), (cut, 2)):
        for number in range(kills):
            with start(folder, params) as run:
                storage = folder / "06_models/salaries/search.sqlite"
                while not run.ended() and finished_trials(storage) < 4 * number + 1:
                    time.sleep(0.01)
                run.send(signal.SIGKILL)
                run.wait()
            assert not (folder / "06_models/salaries/model.safetensors").exists()
            assert 0 < finished_trials(storage) < 12
        done = run_command(
            "kedro", "run", "--pipeline=salaries", "--env=test", f"--params=output_root={folder},{params}"
        )
        assert done.returncode == 0, done.stderr
        assert ("are done already" in done.stderr) == bool(kills)
    boards = [
        pd.read_csv(folder / "08_reporting/salaries/leaderboard.csv").drop(columns="seconds") for folder in (whole, cut)
    ]
    pd.testing.assert_frame_equal(*boards)
    for name in (
        "06_models/salaries/chosen_options.json",
        "06_models/salaries/model.safetensors",
        "08_reporting/salaries/option_importances.json",
    ):
        assert (whole / name).read_bytes() == (cut / name).read_bytes()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            "salaries.tuning.space.training.learning_rte.low=0.1",
            "salaries.tuning.space: 'training.learning_rte' is not an option that a search can change; did you mean 'training.learning_rate'?",
        ),
        (
            "salaries.tuning.space.model.dropout.low=0.5,salaries.tuning.space.model.dropout.high=0.1",
            "salaries.tuning.space: model.dropout: low 0.5 must be below high 0.1",
        ),
        ("salaries.tuning.sampler=grid", "the grid has 54 combinations, more than tuning.trials 4; raise trials"),
        (
            "salaries.tuning.storage=sqlite:////nowhere/at/all.sqlite",
            "the storage sqlite:////nowhere/at/all.sqlite cannot be opened: unable to open database file",
        ),
        (
            "salaries.split.valid_fraction=0",
            "the search compares options on valid, which has no rows; set split.valid_fraction above 0",
        ),
        (
            "salaries.tuning.space.model.dropout.low=0.1,salaries.tuning.space.model.dropout.high=0.5,salaries.training.learning_rate=1e20,salaries.training.optimizer.name=SGD,salaries.training.optimizer.arguments.weight_decay=0",
            "all 4 trials of the search failed: trial",
        ),
    ],
    ids=["unknown key", "reversed range", "grid too large", "no storage", "no valid", "all fail"],
)
def test_mistake_in_a_search_ends_in_one_line_and_trains_no_model(run_kedro, tmp_path, params, message):
    done = run_kedro(params=f"salaries.tuning.trials=4,{params}")
    assert done.returncode == 1
    (error,) = [line for line in done.stderr.splitlines() if " INFO " not in line]
    assert error.startswith(f"Error: {message}")
    assert not (tmp_path / "06_models/salaries/model.safetensors").exists()
    if "trials of the search" not in message:
        assert "members" not in done.stderr
