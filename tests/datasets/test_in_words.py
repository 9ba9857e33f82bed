"""Artifacts in words: what a person reads in Kedro-Viz about a model, an encoder, metrics and stores."""

import numpy as np
import optuna
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.options import EncodingOptions
from torchlane.core.rows.checking import check_rows
from torchlane.datasets.checkpoints import CheckpointsDataset
from torchlane.datasets.in_words import preview_encoder, preview_metrics
from torchlane.datasets.inbox import InboxDataset
from torchlane.datasets.ledger import LedgerDataset
from torchlane.datasets.models import EncoderDataset
from torchlane.datasets.predictions import PredictionsDataset
from torchlane.datasets.stock import TextDataset
from torchlane.datasets.studies import StudiesDataset
from torchlane.datasets.tensors import TensorsDataset

from .viz import shown_by_viz


@pytest.fixture
def encoder(toy_rows, toy_data):
    clean, _ = check_rows(toy_rows, toy_data)
    return fit_encoder(clean, toy_data, EncodingOptions())


def test_encoder_is_a_line_for_each_column_with_what_train_has_in_it(encoder):
    lines = {line[0]: line for line in preview_encoder(encoder)["data"]}
    assert lines["size"] == ["size", "number", "z_score", 1, "1 to 60, median 30.5", 0]
    assert lines["place"] == ["place", "category", "one_hot", 3, "3 levels: sea: 20, town: 20, village: 20", 0]
    assert lines["price (target)"][1] == "regression"


def test_tensors_bear_the_names_of_their_columns(tmp_path, encoder):
    EncoderDataset(filepath=str(tmp_path / "encoder.safetensors")).save(encoder)
    dataset = TensorsDataset(
        filepath=str(tmp_path / "a.safetensors"),
        encoder={"filepath": str(tmp_path / "encoder.safetensors")},
        metadata={},
    )
    dataset.save(TensorDataset(torch.tensor([[0.5, 1.0]]), torch.tensor([[2.0]]), torch.tensor([3.0])))
    kind, preview = shown_by_viz(dataset)
    assert (kind, preview["columns"]) == ("TablePreview", ["size", "place (code)", "price", "weight_0"])
    dataset.save(TensorDataset(torch.zeros(1, 3), torch.zeros(1, 1)))  # of another encoder
    assert shown_by_viz(dataset)[1]["columns"][:3] == ["feature_0", "feature_1", "feature_2"]


def test_metrics_are_a_table_by_part_with_the_primary_one_first_and_readable_numbers():
    values = {
        "train": {"r2_score": 0.61163714, "mean_absolute_error": 28850.18},
        "test": {"r2_score": float("nan"), "mean_absolute_error": 1.5},
        "rows": {"train": 4250, "test": 0},
        "data": "bundled sample",
        "classes": {"a": {"recall": 0.123456, "rows": 3}},
        "positive": None,
    }
    shown = preview_metrics(values)
    assert shown["columns"] == ["metric", "test", "train"]
    assert shown["data"] == [
        ["r2_score", "undefined", "0.6116"],
        ["mean_absolute_error", "1.5", "28,850"],
        ["rows", "0", "4,250"],
        ["data", "bundled sample", ""],
        ["classes a", "recall: 0.1235, rows: 3", ""],
    ]


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(["test", "rows"]), inner),
    max_leaves=10,
)


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["train", "test", "rows", "data"]) | st.text(), nested))
def test_metrics_of_any_content_are_a_table(values):
    shown = preview_metrics(values)
    assert all(len(line) == len(shown["columns"]) for line in shown["data"])


def stores(folder):
    return {
        "checkpoints": CheckpointsDataset(filepath=str(folder / "checkpoints")),
        "inbox": InboxDataset(path=str(folder / "inbox")),
        "predictions": PredictionsDataset(path=str(folder / "predictions")),
        "ledger": LedgerDataset(use_case="a", path=str(folder / "ledger.sqlite")),
        "studies": StudiesDataset(use_case="a", filepath=str(folder / "search.sqlite")),
    }


def test_empty_stores_say_so_and_stay_as_they_are(tmp_path):
    for name, dataset in stores(tmp_path).items():
        kind, preview = shown_by_viz(dataset)
        assert kind == "TablePreview" and preview["data"][0][0].startswith(("no ", "nothing")), name
    assert list(tmp_path.iterdir()) == []


def test_stores_show_what_is_in_them(tmp_path):
    found = stores(tmp_path)
    for name in ("checkpoints", "inbox", "predictions"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.safetensors").write_bytes(b"12345")
        ((line,), columns) = (shown_by_viz(found[name])[1][each] for each in ("data", "columns"))
        assert line[:2] == ["one.safetensors", "5"] and columns == ["file", "bytes", "written"], name
    study = optuna.create_study(
        storage=f"sqlite:///{tmp_path / 'search.sqlite'}", study_name="a 1", direction="maximize"
    )
    for value in (0.25, 0.5):
        study.tell(study.ask(), value)
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    assert shown_by_viz(found["studies"])[1]["data"][0][:5] == ["a 1", 3, 2, 1, 0.5]
    (tmp_path / "search.sqlite").write_bytes(b"no database")
    assert shown_by_viz(found["studies"]) == ("TablePreview", None)


def test_page_is_shown_by_its_words_and_other_text_as_it_stands(tmp_path):
    for name, text, words in (
        (
            "a.html",
            "<style>b {}</style><h1>salary_in_usd</h1><p>off by <b>30</b>157</p>",
            "salary_in_usd\noff by 30157",
        ),
        ("a.md", "# salary_in_usd\n\n*text*", "# salary_in_usd\n\n*text*"),
    ):
        dataset = TextDataset(filepath=str(tmp_path / name))
        dataset.save(text)
        assert shown_by_viz(dataset) == ("TextPreview", words)


def test_long_fractions_are_rounded_in_previews_but_not_what_stands_before_the_point(tmp_path):
    from torchlane.datasets.previews import plain

    assert plain([0.123456789, 1234567.25, np.float64(1e-9), 0.0, -2.5, 1e300], 10) == [
        0.123457,
        1234567.0,
        1e-9,
        0.0,
        -2.5,
        1e300,
    ]
    assert plain(0.123456789) == 0.123456789
