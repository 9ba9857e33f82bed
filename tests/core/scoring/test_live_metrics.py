import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.model.test_trained import train_on
from torchlane.core.options import DataOptions, PredictionOptions
from torchlane.core.scoring import live_metrics
from torchlane.core.scoring.inbox import score_inbox
from torchlane.datasets.inbox import InboxDataset
from torchlane.datasets.ledger import SQLLedger
from torchlane.datasets.predictions import PredictionFolder


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
        score_inbox(InboxDataset(path=str(tmp_path / "inbox")).load(), ledger, store, model, options)
        inbox = InboxDataset(path=str(tmp_path / "outcomes")).load()
        done = [entry for entry in ledger.entries() if entry["state"] == "done"]
        predicted = model.predict(rows)["prediction"]
        return live_metrics.measure(inbox, store, done, model, keys), predicted

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
    counts = {"files": 4, "files_left_out": 1, "rows": 35, "counted": 10, "torn": 0, "without_key": 0, "replaced": 14}
    assert found["outcomes"] == {**counts, "without_truth": 0, "unreadable_truth": 10, "without_prediction": 1}
    expected = [*predicted[:5].abs(), *(predicted - toy_rows["price"].astype(float))[5:10].abs()]
    assert found["all"]["mean_absolute_error"] == pytest.approx(sum(expected) / 10, rel=1e-6)


def test_without_keys_file_and_row_say_which_row_is_meant(measure, toy_rows):
    truth = pd.DataFrame({"file": "a.csv", "row": range(1, 61), "price": toy_rows["price"]})
    found, _ = measure(truth, truth.assign(file="b.csv", price=0), keys=())
    assert found["all"]["rows"] == 60


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_label_that_the_model_does_not_know_counts_against_it(measure, toy_rows, task, caplog):
    truth = truth_of(toy_rows, "kind")
    truth.loc[0, "kind"] = "free"
    found, predicted = measure(truth, task=task)
    scores = found["all"]
    assert (scores["rows"], scores["unknown_label_rows"]) == (60, 1)
    right = (predicted == toy_rows["kind"])[1:].sum()
    assert scores["accuracy_score"] == pytest.approx(right / 60)
    assert scores["cross_entropy_loss"] > 36 / 60  # the cost of what was ruled out
    assert caplog.text.count("the truth of 1 rows is a label that the model does not know: free") == 1


def test_no_truth_gives_no_metrics(measure):
    found, _ = measure()
    assert found["all"] == {"rows": 0}
    assert found["weeks"] == found["models"] == {}
    assert found["predictions"] == {"rows": 60, "counted": 0, "without_key": 0, "without_outcome": 60}


def test_predictions_from_before_a_key_was_set_are_left_out(tmp_path, measure, toy_rows, caplog):
    truth = truth_of(toy_rows, "price").assign(number=1)
    found, _ = measure(truth, keys=("id", "number"))
    assert found["all"]["rows"] == 0
    assert "there is no column 'number', because it was not a key yet" in caplog.text


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_one_row_has_metrics_too(measure, toy_rows, task):
    target = "price" if task == "regression" else "kind"
    found, _ = measure(truth_of(toy_rows, target).head(1), task=task)
    assert found["all"]["rows"] == 1


SPELLINGS = {  # of whole numbers, None for an empty key
    "int": lambda keys: pd.array(keys, dtype="Int64"),
    "float": lambda keys: np.array([np.nan if key is None else key for key in keys], dtype="float64"),
    "text": lambda keys: np.array([None if key is None else str(key) for key in keys], dtype=object),
    "spaces": lambda keys: np.array(["  " if key is None else f" {key}" for key in keys], dtype=object),
    "decimals": lambda keys: np.array(["" if key is None else f"{key}.0" for key in keys], dtype=object),
}
WRITERS = {
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    ".parquet": lambda frame, path: frame.to_parquet(path, index=False),
    ".jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
}
any_key = st.one_of(st.none(), st.integers(0, 9))
any_truth = st.one_of(st.integers(-9, 9), st.sampled_from([1e6, -1e6, None, "soon"]))  # the price is declared 0 … 7000


class Predicted:
    """Predictions in memory, a list of rows a file."""

    def __init__(self, files: list[pd.DataFrame]):
        self._files = files

    def read(self, output: str) -> list[pa.Table]:
        return [pa.Table.from_pandas(self._files[int(output)], preserve_index=False)]


def spelt(rows: list[tuple], spelling: str, name: str) -> pd.DataFrame:
    """Put keys and values into columns."""
    keys, values = zip(*rows, strict=True)
    texts = [None if value is None else str(value) for value in values]
    return pd.DataFrame({"id": SPELLINGS[spelling](keys), name: texts if "soon" in values else pd.array(values)})


@pytest.fixture(scope="module")
def bounded_model():
    columns = {"size": {"kind": "number"}, "price": {"kind": "number", "minimum": 0, "maximum": 7}}
    data = DataOptions.model_validate({"task": "regression", "target": "price", "columns": columns})
    numbers = [str(number % 8) for number in range(60)]
    return train_on(pd.DataFrame({"size": numbers, "price": numbers}), data, epochs=1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.lists(st.tuples(any_key, st.integers(0, 9)), min_size=1), st.sampled_from([*SPELLINGS])),
        min_size=1,
        max_size=3,
    ),
    st.lists(
        st.tuples(
            st.lists(st.tuples(any_key, any_truth), min_size=1),
            st.sampled_from([*SPELLINGS]),
            st.sampled_from([*WRITERS]),
        ),
        max_size=4,
    ),
)
def test_live_metrics_are_those_computed_by_hand(tmp_path, bounded_model, predicted, arrived):
    """Whatever the types of keys, the formats, the gaps, the order and the parts that rows arrive in."""
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    for number, (rows, spelling, ending) in enumerate(arrived):
        WRITERS[ending](spelt(rows, spelling, "price"), folder / f"{number}{ending}")
    store = Predicted(
        [
            spelt(rows, spelling, "prediction").assign(model="m", scored_at="2026-01-05T00:00:00Z")
            for rows, spelling in predicted
        ]
    )
    done = [{"output": str(number), "name": "x", "checksum": ""} for number in range(len(predicted))]
    found = live_metrics.measure(InboxDataset(path=str(folder)).load(), store, done, bounded_model, ("id",))

    truths = [row for rows, *_ in arrived for row in rows]
    said = [row for rows, _ in predicted for row in rows]
    last = {key: truth for key, truth in truths if key is not None and truth not in (None, "soon")}
    errors = [abs(value - last[key]) for key, value in said if key in last]
    assert found["all"]["rows"] == found["predictions"]["counted"] == len(errors)
    if errors:
        assert found["all"]["mean_absolute_error"] == pytest.approx(sum(errors) / len(errors), rel=1e-6)
    assert found["predictions"]["without_key"] == sum(key is None for key, _ in said)
    read = found["outcomes"]
    assert read["counted"] == len(last.keys() & {key for key, _ in said})
    assert read["without_key"] == sum(key is None for key, _ in truths)
    assert read["unreadable_truth"] == sum(truth == "soon" for key, truth in truths if key is not None)
    assert read["without_truth"] == sum(truth is None for key, truth in truths if key is not None)
    assert read["rows"] == len(truths) == sum(read[name] for name in ("counted", *live_metrics.LEFT_OUT))


def test_key_named_file_is_the_column_of_the_files(tmp_path, bounded_model):
    pd.DataFrame({"file": ["a", "b"], "price": [1, 2]}).to_csv(tmp_path / "o.csv", index=False)
    said = pd.DataFrame(
        {"file": ["b", "c"], "prediction": [2.5, 0.0], "model": "m", "scored_at": "2026-01-05T00:00:00Z"}
    )
    done = [{"output": "0", "name": "inbox.csv", "checksum": ""}]
    inbox = InboxDataset(path=str(tmp_path)).load()
    found = live_metrics.measure(inbox, Predicted([said]), done, bounded_model, ("file",))
    assert found["all"]["rows"] == 1
    assert found["all"]["mean_absolute_error"] == pytest.approx(0.5)


def test_unknown_label_makes_no_metric_better(toy_rows, toy_data):
    model = train_on(toy_rows, toy_data.model_copy(update={"task": "binary", "target": "kind"}), epochs=5)
    rows = model.predict(toy_rows).assign(truth=toy_rows["kind"])
    known = live_metrics._score(rows, model)
    for part in (rows.head(5), rows.tail(5), rows):
        found = live_metrics._score(pd.concat([rows, part.assign(truth="free")]), model)
        for name in ("accuracy_score", "roc_auc_score", "f1_score", "balanced_accuracy_score", "macro_f1_score"):
            assert found[name] < known[name]
        assert found["cross_entropy_loss"] > known["cross_entropy_loss"]


def test_metrics_are_made_again_for_another_model_and_for_other_keys(bounded_model):
    names = [
        live_metrics.digest_inputs([], [], model, keys)
        for model in (bounded_model, replace(bounded_model, fingerprint="g" * 64))
        for keys in ((), ("id",))
    ]
    assert len(set(names)) == 4
