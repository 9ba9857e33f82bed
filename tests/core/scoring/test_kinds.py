"""Columns with formats and dates: files of each kind and frames of each type have the same predictions."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.core.model.test_trained import train_on
from tests.core.scoring.test_chunks import assert_as_predict, chunk_of
from torchlane.core.model.trained import load
from torchlane.core.options import DataOptions, DriftOptions
from torchlane.core.rows.raw_rows import Chunk
from torchlane.core.scoring.chunks import ChunkScorer
from torchlane.core.scoring.drift import Counts
from torchlane.core.scoring.outcomes import read_truth
from torchlane.datasets.inbox import InboxDataset
from torchlane.datasets.tables import open_table

COLUMNS = {
    "bought": {"kind": "date", "zone": "Europe/Amsterdam", "minimum": "1900-01-01"},
    "seen": {"kind": "date", "format": "%d.%m.%Y %H:%M"},
    "income": {"kind": "number", "format": "money"},
    "rate": {"kind": "number", "decimal": "comma"},
    "share": {"kind": "number", "format": "percent"},
    "weight": {"kind": "number", "unit": "kg"},
    "price": {"kind": "number", "format": "money", "decimal": "comma"},
}
DATA = DataOptions.model_validate({"task": "regression", "target": "price", "columns": COLUMNS})
FEATURES = list(DATA.feature_columns)


def typed_rows(n_rows: int = 40) -> pd.DataFrame:
    """Rows as Parquet and frames hold them: times without a zone, plain numbers."""
    random = np.random.default_rng(0)
    minutes = random.integers(0, 3 * 365 * 1440, (2, n_rows))
    bought, seen = (pd.Timestamp("2022-01-01") + pd.to_timedelta(each, "min") for each in minutes)
    rate = random.uniform(1000, 9000, n_rows).round(3)
    rows = pd.DataFrame({"bought": bought, "seen": seen, "income": random.integers(0, 90_000, n_rows), "rate": rate})
    rows = rows.assign(share=random.uniform(0, 100, n_rows).round(1), weight=random.uniform(0, 80, n_rows).round(1))
    rows.loc[::7, ["bought", "rate"]] = None
    return rows.assign(price=(rows["income"] / 20 + random.normal(0, 9, n_rows)).round(2))


def text_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows as people write them."""
    return pd.DataFrame(
        {
            "bought": rows["bought"].astype("str").fillna(""),
            "seen": rows["seen"].dt.strftime("%d.%m.%Y %H:%M"),
            "income": [f"${each:,}" for each in rows["income"]],
            "rate": ["" if np.isnan(each) else f"{each:,.3f}".translate({44: ".", 46: ","}) for each in rows["rate"]],
            "share": [f"{each} %" for each in rows["share"]],
            "weight": [f"{each}kg" for each in rows["weight"]],
            "price": [f"{each:,.2f} \u20ac".translate({44: ".", 46: ","}) for each in rows["price"]],
        },
        dtype="str",
    )


@pytest.fixture(scope="module")
def model():
    return train_on(text_rows(typed_rows()), DATA, epochs=2)


def test_predictions_are_in_the_plain_numbers_of_the_target(model):
    prices = typed_rows()["price"]
    assert train_on(typed_rows(), DATA, epochs=2).predict(typed_rows()).equals(model.predict(typed_rows()))
    assert abs(model.predict(typed_rows())["prediction"].mean() - prices.mean()) < 2 * prices.std()


def test_text_frames_of_each_type_and_arrow_columns_have_the_same_predictions(model):
    typed = typed_rows()
    expected = model.predict(text_rows(typed))
    zoned = typed.assign(bought=typed["bought"].dt.tz_localize("Europe/Amsterdam").dt.tz_convert("Asia/Tokyo"))
    objects = typed.assign(bought=typed["bought"].dt.to_pydatetime(), seen=typed["seen"].dt.to_pydatetime()).astype(
        object
    )
    arrow = pa.Table.from_pandas(typed).to_pandas(types_mapper=pd.ArrowDtype)
    categories = text_rows(typed).astype("category")
    for frame in (typed, zoned, objects, arrow, categories, typed.astype({"bought": "datetime64[ns]", "rate": object})):
        pd.testing.assert_frame_equal(model.predict(frame), expected, check_exact=True)


def test_files_of_each_kind_are_scored_to_the_bits_of_predict(model):
    typed = typed_rows()
    texts = text_rows(typed)
    lines = [{**row, "seen": said} for row, said in zip(typed.to_dict("records"), texts["seen"], strict=True)]
    jsonl = "\n".join(
        json.dumps({name: None if each is pd.NaT or each != each else each for name, each in line.items()}, default=str)
        for line in lines
    )
    contents = {
        "a.csv": texts.to_csv(index=False).encode(),
        "a.jsonl": jsonl.encode(),
        "b.jsonl": texts.to_json(orient="records", lines=True).encode(),
        "a.parquet": typed.to_parquet(),
    }
    expected = model.predict(texts)["prediction"].tolist()
    for name, content in contents.items():
        table = open_table(io.BytesIO(content), name, len(content))
        scored = [ChunkScorer(model).score(chunk) for chunk in table.chunks(FEATURES, ())]
        assert [row for each in scored for row in each.rejected.to_pylist()] == [], name
        assert [each for chunk in scored for each in chunk.predictions.table()["prediction"].to_pylist()] == expected, (
            name
        )


def test_messy_values_are_rejected_by_chunks_as_by_predict(model):
    rows = text_rows(typed_rows(9))
    rows["bought"] = ["2024-02-30", "", "NaT", "1899-12-31", "2024-02-29T10:00Z", "?", "5", "2024-01-01", "9999-12-31"]
    rows["income"] = ["$5", "(5)", "5,5", "-", "", "5 EUR", "$1", "$1", "12"]
    assert_as_predict(model, rows)
    assert_as_predict(model, rows.iloc[:0])
    whole = ChunkScorer(model).score(chunk_of(rows)).predictions.table()
    parts = [ChunkScorer(model).score(chunk_of(rows[at : at + 2], at + 1)).predictions.table() for at in range(0, 9, 2)]
    assert pa.concat_tables(parts).equals(whole)


def test_json_number_is_no_thousand_in_a_column_of_decimal_commas(model):
    rows = text_rows(typed_rows(2)).assign(rate=["1,234", "1.234"])
    numbers = json.dumps({**rows.iloc[0].to_dict(), "rate": 1.234}).encode()
    ((chunk,),) = [list(open_table(io.BytesIO(numbers), "a.jsonl", 1).chunks(FEATURES, ()))]
    found = ChunkScorer(model).score(chunk).predictions.table()["prediction"].to_pylist()
    assert found == [model.predict(rows)["prediction"][0]] != [model.predict(rows)["prediction"][1]]


def test_later_dates_are_no_drift_and_missing_ones_are(model):
    rows = text_rows(typed_rows())
    measured = {}
    later = rows["bought"].where(rows["bought"] == "", "2031-05-06")
    for name, dates in {"later": later, "missing": ""}.items():
        scored = ChunkScorer(model).score(chunk_of(rows.assign(bought=dates)))
        counts = Counts(ChunkScorer(model).profile)
        counts.add(scored.counts)
        measured[name] = counts.measure(DriftOptions(min_rows=10))
    assert not any("'bought'" in each for each in measured["later"]["beyond"])
    assert any("'bought' is missing in 100.0% of the rows" in each for each in measured["missing"]["beyond"])


def test_model_with_dates_survives_its_file(model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    back = load(tmp_path / "model.safetensors")
    assert (back.encoder, back.data) == (model.encoder, model.data)
    pd.testing.assert_frame_equal(back.predict(typed_rows()), model.predict(typed_rows()), check_exact=True)


def test_chunk_without_marks_of_numbers_is_read_as_text(model):
    rows = text_rows(typed_rows(3))
    table = pa.Table.from_pandas(rows, preserve_index=False)
    assert ChunkScorer(model).score(Chunk(np.arange(1, 4), table)).rows_rejected == 0


def test_truth_is_read_in_the_format_of_the_target_whatever_the_file(model, tmp_path):
    typed = typed_rows(8).assign(id=range(8))
    texts = text_rows(typed).assign(id=[str(each) for each in range(8)])
    files = {"a.csv": texts.to_csv(index=False).encode(), "b.parquet": typed.to_parquet()}
    files["c.jsonl"] = typed[["id", "price"]].to_json(orient="records", lines=True).encode()
    for name, content in files.items():
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_bytes(content)
        truth, counts = read_truth(InboxDataset(path=str(folder)).load(), ("id",), model)
        assert truth["truth"].tolist() == typed["price"].tolist(), name
        assert (counts["files"], counts["unreadable_truth"]) == (1, 0)
