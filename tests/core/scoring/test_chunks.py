import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv

from tests.core.model.test_trained import train_on
from torchlane.core.options import DataOptions
from torchlane.core.rows.checking import apply_rules
from torchlane.core.rows.raw_rows import Chunk, mark_torn
from torchlane.core.rows.samples import draw_rows
from torchlane.core.scoring import columns
from torchlane.core.scoring.chunks import ChunkScorer

MESSY = {
    "size": ["1", " 2 ", "big", "", "nan", "1e400", "-3", "9" * 60, "7", "1.5", "1", "?", "0"],
    "place": ["town", "town ", "", "sea", "moon", "a\nb", "1.0", "1", None, "town", "Town", "sea", "x"],
}


def chunk_of(rows: pd.DataFrame, first: int = 1) -> Chunk:
    return Chunk(np.arange(first, first + len(rows)), pa.Table.from_pandas(rows, preserve_index=False))


def assert_as_predict(model, rows: pd.DataFrame, **scorer) -> None:
    """Compare a chunk's predictions with those of `TrainedModel.predict` for the rows that it takes, to the bit."""
    scored = ChunkScorer(model, **scorer).score(chunk_of(rows))
    _, rejected = apply_rules(rows, model.data.feature_columns, model.data.missing_values)
    good = rows.drop(index=rows.index[rejected["row"].unique() - 1])
    predictions = scored.predictions.table().to_pandas()
    expected = model.predict(good).reset_index(drop=True)
    pd.testing.assert_frame_equal(predictions[list(expected)], expected, check_exact=True, check_dtype=False)
    assert predictions["row"].tolist() == [*(good.index + 1)]
    assert scored.rejected.to_pandas().to_dict("records") == rejected.to_dict("records")
    assert (scored.rows_read, scored.rows_rejected) == (len(rows), rejected["row"].nunique())


@pytest.mark.parametrize("task", ["regression", "binary"])
@pytest.mark.parametrize("numbers", ["z_score", "quantile"])
def test_predictions_and_rejected_rows_are_those_of_predict_and_apply_rules_on_messy_rows(toy_rows, task, numbers):
    columns = {"size": {"kind": "number", "minimum": 1, "nullable": False}, "place": {"kind": "category"}}
    target = "price" if task == "regression" else "kind"
    data = DataOptions.model_validate({"task": task, "target": target, "columns": columns})
    model = train_on(toy_rows, data, encoding={"numbers": numbers})
    messy = pd.DataFrame(MESSY)
    assert_as_predict(model, pd.concat([messy, toy_rows[["size", "place"]], messy], ignore_index=True))
    assert_as_predict(model, messy.iloc[:0])
    assert_as_predict(model, messy.iloc[[2, 3]].reset_index(drop=True))


def test_spellings_in_the_dictionary_of_a_file_that_no_row_has_are_not_mentioned(toy_rows, toy_data):
    scorer = ChunkScorer(train_on(toy_rows, toy_data))
    rows = pa.table({"size": ["1", "2"], "place": pa.array(pd.Categorical(["town", "Town"]))})
    assert [each.value for each in scorer.score(Chunk(np.array([1, 2]), rows)).respelt] == ["Town"]
    first = scorer.score(Chunk(np.array([1]), rows.slice(0, 1)))
    assert (first.respelt, first.rows_rejected, len(first.predictions.table())) == ((), 0, 1)


def test_typed_columns_are_read_as_text_is(toy_rows, toy_data):
    model = train_on(toy_rows, toy_data)
    typed = pd.DataFrame({"size": [1.0, np.nan, 3.5, 1.0], "place": pd.Categorical(["town", None, "sea", "moon"])})
    assert_as_predict(model, typed.astype({"place": "str"}))
    scored = ChunkScorer(model).score(chunk_of(typed))
    expected = model.predict(typed.astype({"place": "str"}))["prediction"]
    np.testing.assert_array_equal(scored.predictions.table()["prediction"].to_numpy(), expected)


@pytest.mark.parametrize("use_case", ["salaries", "water_potability"])
def test_thousands_of_sample_rows_are_predicted_to_the_bits_of_predict(use_case):
    import yaml

    from tests.commands import PROJECT

    block = yaml.safe_load((PROJECT / f"conf/base/parameters/{use_case}.yml").read_text())[use_case]
    rows = draw_rows(use_case, 5000, seed=3).astype("str").replace("nan", "")
    model = train_on(rows[:500], DataOptions.model_validate(block["data"]), encoding=block.get("encoding", {}), epochs=2)
    assert_as_predict(model, rows)


def test_each_distinct_row_is_predicted_once(toy_rows, toy_data, monkeypatch):
    model = train_on(toy_rows, toy_data)
    seen = []
    plain = type(model).outputs
    monkeypatch.setattr(
        type(model), "outputs", lambda self, features: seen.append(len(features)) or plain(self, features)
    )
    rows = pd.DataFrame({"size": ["1", "2"] * 5000, "place": ["town"] * 10_000})
    scorer = ChunkScorer(model)
    scored = scorer.score(chunk_of(rows))
    assert sorted(seen) == [1, 2]  # one row of zeros tells the types of the predictions
    assert scored.predictions.table().num_rows == 10_000
    more = pd.DataFrame({"size": ["1", "2.0", "3", " 3"], "place": ["town"] * 4})
    seen.clear()
    predictions = scorer.score(chunk_of(more)).predictions.table()["prediction"]
    assert seen == [1]  # of a later chunk, only what no chunk before had
    np.testing.assert_array_equal(predictions, model.predict(more)["prediction"])


def test_more_combinations_than_an_int64_can_name_are_predicted_all_the_same(toy_rows, toy_data, monkeypatch):
    monkeypatch.setattr("torchlane.core.scoring.chunks.MAX_COMBINATIONS", 10)
    assert_as_predict(train_on(toy_rows, toy_data), toy_rows)


def test_values_are_read_once_and_forgotten_when_there_are_too_many(toy_rows, toy_data, monkeypatch):
    monkeypatch.setattr("torchlane.core.scoring.columns.MOST_REMEMBERED", 3)
    model = train_on(toy_rows, toy_data)
    read = []
    plain = columns.read_column
    monkeypatch.setattr(columns, "read_column", lambda *given: read.append([*given[0]]) or plain(*given))
    scorer = ChunkScorer(model)
    chunks = [["1", "2"], ["2", "3"], ["2", "1"], ["4"], ["2", "4"], ["5", "6", "7", "8"], ["4"]]
    for sizes in chunks:
        rows = pd.DataFrame({"size": sizes, "place": ["sea"] * len(sizes)})
        predictions = scorer.score(chunk_of(rows)).predictions.table()["prediction"]
        np.testing.assert_array_equal(predictions, model.predict(rows)["prediction"])
    assert [values for values in read if values != ["sea"]] == [["1", "2"], ["3"], ["4"], ["2"], ["5", "6", "7", "8"]]


def test_value_that_overflows_when_scaled_is_rejected_and_the_others_are_scored(toy_rows, toy_data):
    model = train_on(toy_rows.assign(size=toy_rows["size"].astype(float) / 1e6), toy_data)
    sizes = ["1e-6", "3e38", "2e-6", "-3e38", "3e-6"]
    scored = ChunkScorer(model).score(chunk_of(pd.DataFrame({"size": sizes, "place": ["town"] * 5})))
    assert scored.predictions.table()["row"].to_pylist() == [1, 3, 5]
    assert scored.rejected.to_pylist() == [
        {"row": row, "column": "size", "value": value, "rule": "a number that fits float32 when it is scaled"}
        for row, value in ((2, "3e38"), (4, "-3e38"))
    ]


def test_keys_go_into_the_predictions_as_they_are(toy_rows, toy_data):
    model = train_on(toy_rows, toy_data)
    rows = pd.DataFrame({"size": ["1", "big", "3"], "place": ["town"] * 3, "id": ["a", "b", "0007"]})
    scored = ChunkScorer(model, keys=["id"]).score(chunk_of(rows))
    assert scored.predictions.table().column_names == ["row", "id", "prediction", "spread", "low", "high"]
    assert scored.predictions.table()["id"].to_pylist() == ["a", "0007"]


@pytest.mark.parametrize(
    ("values", "written"),
    [
        (pa.array([bytes(16), None], pa.uuid()), ["00000000-0000-0000-0000-000000000000", None]),
        (pa.array(["a", None], pa.string_view()), ["a", None]),
        (pa.array([b"a", None]), ["a", None]),
        (pa.array([60, None], pa.duration("s")), ["0 days 00:01:00", None]),
        (pa.array(np.array([0.1, np.nan], dtype="f2")), ["0.1", None]),
        (pa.array([2**53 + 1, None]), [2**53 + 1, None]),
        (pa.array(["a", None]).dictionary_encode(), ["a", None]),
    ],
    ids=lambda each: str(each.type) if isinstance(each, pa.Array) else "",
)
def test_key_of_any_type_can_be_written_and_a_feature_of_it_be_read(toy_rows, toy_data, values, written):
    model = train_on(toy_rows, toy_data)
    table = pa.table({"size": ["1", "2"], "place": values, "id": values})
    predictions = ChunkScorer(model, keys=["id"]).score(Chunk(np.arange(1, 3), table)).predictions.table()
    assert predictions["id"].to_pylist() == written
    csv.write_csv(predictions, pa.BufferOutputStream())
    expected = model.predict(pd.DataFrame({"size": ["1", "2"], "place": [written[0], None]}))
    np.testing.assert_array_equal(predictions["prediction"].to_numpy(), expected["prediction"])


def test_key_of_lists_is_refused_by_name_and_type(toy_rows, toy_data):
    chunk = Chunk(np.arange(1, 2), pa.table({"size": ["1"], "place": ["sea"], "id": [[1]]}))
    with pytest.raises(ValueError, match="'id' holds list<item: int64>, which is not one value .* and prediction.keys"):
        ChunkScorer(train_on(toy_rows, toy_data), keys=["id"]).score(chunk)


def test_missing_column_is_named_and_extra_ones_are_listed(toy_rows, toy_data):
    scorer = ChunkScorer(train_on(toy_rows, toy_data), keys=["id"])
    assert scorer.check_columns(["other", "place", "price", "size", "id"]) == ["other"]
    with pytest.raises(ValueError, match="column 'place' is missing; its columns are size, id"):
        scorer.check_columns(["size", "id"])
    with pytest.raises(ValueError, match="key 'id' is missing"):
        scorer.check_columns(["size", "place"])


def test_four_hundred_columns_are_prepared_trained_on_and_scored_without_a_warning():
    n_rows, n_columns = 12, 400
    rows = pd.DataFrame({f"x{each}": [str(row * each % 7) for row in range(n_rows)] for each in range(n_columns)})
    kinds = {name: {"kind": ("number", "category")[place % 2]} for place, name in enumerate(rows)}
    options = {"task": "regression", "target": "x1", "columns": {**kinds, "x1": {"kind": "number"}}}
    data = DataOptions.model_validate(options)
    raw = mark_torn(rows.set_axis(range(1, n_rows + 1)), {n_rows + 1: "torn"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = train_on(raw, data, epochs=1)
        scored = ChunkScorer(model).score(chunk_of(rows))
        np.testing.assert_array_equal(scored.predictions.table()["prediction"], model.predict(rows)["prediction"])
