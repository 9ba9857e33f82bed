import json
import logging

import pytest

from torchlane.datasets import runs
from torchlane.datasets.runs import RunsDataset


@pytest.fixture
def history(tmp_path) -> RunsDataset:
    return RunsDataset(filepath=str(tmp_path / "runs.jsonl"))


def run(number: int) -> dict:
    return {"when": f"2026-01-{number:02}", "metrics": {"größe": number / 3}}


def test_runs_are_read_as_they_were_written_the_oldest_first(history):
    assert history.load() == []
    for number in range(1, 4):
        history.save(run(number))
    assert history.load() == [run(1), run(2), run(3)]


def test_the_newest_runs_are_kept_and_the_log_says_that_one_is_dropped(history, monkeypatch, caplog):
    monkeypatch.setattr(runs, "KEPT", 2)
    with caplog.at_level(logging.INFO, "torchlane"):
        for number in range(1, 4):
            history.save(run(number))
    assert history.load() == [run(2), run(3)]
    assert [message.partition("runs.jsonl")[2] for message in caplog.messages] == [
        " keeps the last 2 runs; the oldest is dropped"
    ]


def test_damaged_line_is_left_out_by_number_and_stays_in_the_file(history, caplog):
    history.save(run(1))
    with history.path.open("a") as file:
        file.write('{"when": "2026-01-0')  # a line that is torn
    history.save(run(2))
    assert history.load() == [run(1), run(2)]
    assert "line 2 of " in caplog.text
    assert history.path.read_text().splitlines()[1] == '{"when": "2026-01-0'


def test_write_that_is_cut_off_leaves_the_history_as_it_was(history, monkeypatch):
    history.save(run(1))
    before = history.path.read_bytes()

    def cut_off(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(json, "dumps", cut_off)
    with pytest.raises(KeyboardInterrupt):
        history.save(run(2))
    monkeypatch.undo()
    monkeypatch.setattr(type(history.path), "replace", cut_off)
    with pytest.raises(KeyboardInterrupt):
        history.save(run(2))
    assert history.path.read_bytes() == before
