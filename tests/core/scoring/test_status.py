from datetime import UTC, datetime
from pathlib import Path

from torchlane.core.options import PredictionOptions
from torchlane.core.scoring.contracts import Finished, InboxFile, Result
from torchlane.core.scoring.status import describe
from torchlane.datasets.ledger import SQLLedger

NOW = datetime.now(UTC)


def ledger_in(folder: Path) -> SQLLedger:
    return SQLLedger(f"sqlite:///{folder}/ledger.sqlite", "toy")


def arrive(ledger: SQLLedger, name: str, content: str) -> str:
    checksum = content * 64
    ledger.register([(InboxFile(name, 1, 0.0, content), checksum)])
    return checksum


def test_inbox_without_files_and_one_with_new_files(tmp_path):
    assert describe("toy", [], set(), NOW) == "toy: no file has arrived yet"
    shown = describe("toy", [], {"a.csv", "b.csv"}, NOW)
    assert shown.splitlines()[0] == "toy: 2 new, which no run has seen yet"


def test_rows_speed_drift_and_reasons_are_shown(tmp_path):
    ledger, options = ledger_in(tmp_path), PredictionOptions()
    present = {arrive(ledger, "good.csv", "a"): ["good.csv"]}
    (claim,) = ledger.claim(present, options)
    result = Result(1000, 990, 10, "m" * 64, "good-a.csv", 0.5, drift={"beyond": ["'x' is missing"]})
    ledger.finish([Finished(claim, result, lambda: None)])
    ledger = ledger_in(tmp_path)
    (claim,) = ledger.claim({arrive(ledger, "bad.csv", "b"): ["bad.csv"]}, options)
    ledger.fail(claim, "it is broken")
    shown = describe("toy", ledger.entries(), {"good.csv", "bad.csv", "new.csv"}, NOW)
    assert shown.splitlines()[:7] == [
        "toy: 1 done, 1 failed, 1 new, which no run has seen yet",
        "today: 1 file done, 990 rows scored, 10 rejected, 2,000 rows/s; drift in 1",
        "",
        "failed, with the reason:",
        "  bad.csv: it is broken",
        "",
        "drift:",
    ]
    assert "  good.csv: 'x' is missing" in shown
    assert "990 rows, 10 rejected, 2,000 rows/s, model mmmmmmmmmmmm, in good-a.csv" in shown


def test_failed_file_that_is_gone_or_replaced_is_no_matter_for_anybody_any_more(tmp_path):
    ledger, options = ledger_in(tmp_path), PredictionOptions()
    (claim,) = ledger.claim({arrive(ledger, "bad.csv", "a"): ["bad.csv"]}, options)
    ledger.fail(claim, "it is broken")
    assert "it is broken" in describe("toy", ledger.entries(), {"bad.csv"}, NOW)
    gone = describe("toy", ledger.entries(), set(), NOW)
    assert gone.splitlines()[0] == "toy: 1 gone or replaced before they could be scored"
    assert "broken" not in gone
    arrive(ledger, "bad.csv", "b")
    replaced = describe("toy", ledger.entries(), {"bad.csv"}, NOW)
    assert replaced.splitlines()[0] == "toy: 1 waiting, 1 gone or replaced before they could be scored"
