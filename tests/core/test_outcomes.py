import math
from dataclasses import replace

import pandas as pd
import pytest

from torchlane.core import outcomes, scoring
from torchlane.core.options import PredictionOptions
from torchlane.datasets.inbox import InboxDataset
from torchlane.datasets.ledger import SQLLedger
from torchlane.datasets.predictions import PredictionFolder

from .test_inference import train_on


@pytest.fixture
def measure(tmp_path, toy_rows, toy_data):
    """Score rows with an id, then measure them with the outcomes that are given, a file each."""

    def measure_with(*truths: pd.DataFrame, keys: tuple[str, ...] = ("id",), task: str = "regression") -> tuple:
        target = "price" if task == "regression" else "kind"
        model = train_on(toy_rows, toy_data.model_copy(update={"task": task, "target": target}), epochs=5)
        model = replace(model, fingerprint="f" * 64)
        rows = toy_rows.assign(id=[f"{number:03}" for number in range(60)])
        for name in ("inbox", "outcomes"):
            (tmp_path / name).mkdir()
        rows.drop(columns=["price", "kind"]).to_csv(tmp_path / "inbox/a.csv", index=False)
        for number, truth in enumerate(truths):
            truth.to_csv(tmp_path / f"outcomes/{number}.csv", index=False)
        ledger = SQLLedger(f"sqlite:///{tmp_path}/ledger.sqlite", "toy")
        store = PredictionFolder(tmp_path / "predictions")
        options = PredictionOptions(keys=("id",), settle_seconds=0)
        scoring.score_inbox(InboxDataset(path=str(tmp_path / "inbox")).load(), ledger, store, model, options)
        inbox = InboxDataset(path=str(tmp_path / "outcomes")).load()
        done = [entry for entry in ledger.entries() if entry["state"] == "done"]
        predicted = model.predict(rows)["prediction"]
        return outcomes.measure(inbox, store, done, model, keys), predicted

    return measure_with


def truth_of(rows: pd.DataFrame, target: str) -> pd.DataFrame:
    return pd.DataFrame({"id": [f"{number:03}" for number in range(60)], target: rows[target], "note": "x"})


def test_predictions_are_compared_with_their_truth_by_week_and_model(measure, toy_rows):
    found, predicted = measure(truth_of(toy_rows, "price").sample(frac=1, random_state=0))
    error = (predicted - toy_rows["price"].astype(float)).abs().mean()
    assert found["all"]["rows"] == 60
    assert found["all"]["mean_absolute_error"] == pytest.approx(error, rel=1e-6)
    assert list(found["weeks"].values()) == list(found["models"].values()) == [found["all"]]
    ((week, _),) = found["weeks"].items()
    assert week[4:6] == "-W"


def test_rows_without_truth_and_truth_without_rows_do_not_count_and_the_last_truth_does(measure, toy_rows):
    truth = truth_of(toy_rows, "price").head(10)
    later = truth.assign(price=0).head(5)
    strange = truth.assign(id="unknown")
    broken = truth.assign(price="soon")
    found, predicted = measure(truth, later, strange, broken, pd.DataFrame({"id": ["001"]}))
    assert found["all"]["rows"] == 10
    expected = [*predicted[:5].abs(), *(predicted - toy_rows["price"].astype(float))[5:10].abs()]
    assert found["all"]["mean_absolute_error"] == pytest.approx(sum(expected) / 10, rel=1e-6)


def test_without_keys_file_and_row_say_which_row_is_meant(measure, toy_rows):
    truth = pd.DataFrame({"file": "a.csv", "row": range(1, 61), "price": toy_rows["price"]})
    found, _ = measure(truth, truth.assign(file="b.csv", price=0), keys=())
    assert found["all"]["rows"] == 60


def test_labels_are_compared_by_their_probabilities_and_unknown_ones_left_out(measure, toy_rows):
    truth = truth_of(toy_rows, "kind")
    truth.loc[0, "kind"] = "free"
    found, predicted = measure(truth, task="binary")
    assert found["all"]["rows"] == 59
    right = (predicted == toy_rows["kind"])[1:].mean()
    assert found["all"]["accuracy_score"] == pytest.approx(right)
    assert math.isfinite(found["all"]["cross_entropy_loss"])


def test_no_truth_gives_no_metrics(measure):
    found, _ = measure()
    assert found == {"all": {"rows": 0}, "weeks": {}, "models": {}}


def test_predictions_from_before_a_key_was_set_are_left_out(tmp_path, measure, toy_rows, caplog):
    truth = truth_of(toy_rows, "price").assign(number=1)
    found, _ = measure(truth, keys=("id", "number"))
    assert found["all"]["rows"] == 0
    assert "has no column 'number', since that was no key yet" in caplog.text


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_one_row_has_metrics_too(measure, toy_rows, task):
    target = "price" if task == "regression" else "kind"
    found, _ = measure(truth_of(toy_rows, target).head(1), task=task)
    assert found["all"]["rows"] == 1
