"""No preview may end `kedro viz build`, or the answer of the server, for the whole project."""

import json
import struct
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet
from torch.utils.data import TensorDataset

from torchlane.core.options import DataOptions
from torchlane.core.rows.checking import check_rows
from torchlane.datasets.image_files import read_image
from torchlane.datasets.images import BundledDigitsDataset, ImageFolderDataset, TorchvisionImagesDataset
from torchlane.datasets.models import ChosenDataset, EncoderDataset, ModelDataset, RecipeDataset
from torchlane.datasets.plots import PlotlyDataset
from torchlane.datasets.previews import CHARACTERS, COLUMNS, SIDE, plain, preview_table
from torchlane.datasets.rows import RawRowsDataset
from torchlane.datasets.stock import CSVDataset, JSONDataset, MetricsDataset, ParquetDataset
from torchlane.datasets.tensors import TensorsDataset

from .viz import pixels_of, shown_by_viz

METADATA = {"kedro-viz": {"preview_args": {"nrows": 3}}}


def clean_images(tmp_path, size=(3, 4, 6), n_rows=7) -> ParquetDataset:
    pixels = [np.full((size[1], size[2], size[0]), 30 * number, np.uint8) for number in range(n_rows)]
    cells = pd.Series([each[:, :, 0] if size[0] == 1 else each for each in pixels], dtype=object)
    raw = pd.DataFrame({"image": cells, "label": [f"kind {number % 2}" for number in range(n_rows)]})
    columns = {"image": {"kind": "image", "size": size}, "label": {"kind": "category"}}
    clean, _ = check_rows(raw, DataOptions.model_validate({"task": "binary", "target": "label", "columns": columns}))
    dataset = ParquetDataset(filepath=str(tmp_path / "clean_rows.parquet"), metadata=METADATA)
    dataset.save(clean)
    return dataset


@pytest.mark.parametrize("size", [(3, 4, 6), (1, 4, 4), (3, 200, 100), (2, 4, 4)])
def test_clean_rows_of_images_are_shown_as_pictures_over_their_labels(tmp_path, size):
    kind, preview = shown_by_viz(clean_images(tmp_path, size))
    assert kind == "ImagePreview"
    sheet = pixels_of(preview)
    assert [sheet[5, SIDE * place + 5].tolist() for place in range(4)] == [[0] * 3, [30] * 3, [60] * 3, [255] * 3]
    assert (sheet[SIDE:, :SIDE] < 200).any()  # a label


def test_rows_of_images_without_their_size_and_other_bytes_are_shown_as_a_table(tmp_path):
    dataset = clean_images(tmp_path)
    rows = dataset.load()
    rows.attrs.clear()
    dataset.save(rows)
    kind, preview = shown_by_viz(dataset)
    assert kind == "TablePreview"
    assert preview["data"][0] == [1, "72 bytes", "kind 0"]


def test_tensors_are_shown_as_pictures_or_as_a_table(tmp_path):
    dataset = TensorsDataset(filepath=str(tmp_path / "a.safetensors"), metadata=METADATA)
    dataset.save(TensorDataset(torch.full((5, 3, 8, 8), 9, dtype=torch.uint8), torch.arange(5)))
    kind, preview = shown_by_viz(dataset)
    assert kind == "ImagePreview"
    assert pixels_of(preview)[3, 3].tolist() == [9, 9, 9]
    dataset.save(TensorDataset(torch.tensor([[1.0, np.nan]] * 4), torch.tensor([[np.inf]] * 4)))
    kind, preview = shown_by_viz(dataset)
    assert (kind, preview["columns"]) == ("TablePreview", ["feature_0", "feature_1", "target_0"])
    assert preview["data"] == [[1.0, None, "inf"]] * 3
    dataset.save(TensorDataset(torch.ones(4, 5000), torch.zeros(4, 2)))
    kind, preview = shown_by_viz(dataset)
    assert preview["columns"][-3:] == ["target_0", "target_1", "… and 4,952 more"]
    assert len(preview["columns"]) == len(preview["data"][0]) == COLUMNS + 1


def test_raw_images_are_shown_without_reading_all_of_them_or_downloading_any(tmp_path, monkeypatch):
    assert shown_by_viz(BundledDigitsDataset(metadata=METADATA))[0] == "ImagePreview"
    for number in range(9):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.new("RGB", (5, 9), (number, 0, 0)).save(path)
    (tmp_path / "photos/a/1.png").write_text("no image")
    read = []
    monkeypatch.setattr("torchlane.datasets.images.read_image", lambda content: read.append(1) or read_image(content))
    folder = ImageFolderDataset(filepath=str(tmp_path / "photos"), metadata=METADATA)
    kind, preview = shown_by_viz(folder)
    assert kind == "ImagePreview" and len(read) == 6  # by the build and by the server
    assert pixels_of(preview)[3, 3].tolist() == [0, 0, 0] and pixels_of(preview)[3, SIDE + 3].tolist() == [2, 0, 0]
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("a download"))
    assert shown_by_viz(TorchvisionImagesDataset(filepath=str(tmp_path), name="MNIST")) == ("ImagePreview", None)
    assert shown_by_viz(ImageFolderDataset(filepath=str(tmp_path / "none"))) == ("ImagePreview", None)


def test_official_data_sets_are_shown_from_their_train_part(tmp_path):
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    for name in ("train", "t10k"):
        (raw / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">iiii", 2051, 2, 28, 28) + bytes([7]) * 2 * 784)
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">ii", 2049, 2) + bytes(2))
    kind, preview = shown_by_viz(TorchvisionImagesDataset(filepath=str(tmp_path), name="MNIST"))
    assert (kind, pixels_of(preview)[3, 3].tolist()) == ("ImagePreview", [7, 7, 7])


def test_parquet_of_any_type_is_shown(tmp_path):
    table = pa.table(
        {
            "bytes": [b"\xff\xfe", None],
            "list": [[1.0, float("nan")], []],
            "struct": [{"a": b"\xff", "b": None}, None],
            "date": [date(2025, 1, 1), None],
            "time": pa.array([datetime(2025, 1, 1), None], pa.timestamp("ns", "Europe/Copenhagen")),
            "duration": pa.array([1, None], pa.duration("ns")),
            "decimal": [Decimal("1.50"), None],
            "large": [2**63 - 1, None],
            "unsigned": pa.array([2**64 - 1, None], pa.uint64()),
            "float": [float("inf"), float("nan")],
            "half": pa.array(np.array([0.5, np.nan], np.float16)),
            "category": pa.array(["a", None]).dictionary_encode(),
            "long": ["x" * 100_000, None],
            "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
            "null": [None, None],
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    kind, preview = shown_by_viz(ParquetDataset(filepath=str(tmp_path / "a.parquet"), metadata=METADATA))
    assert (kind, preview["columns"]) == ("TablePreview", table.column_names)
    first, second = (dict(zip(preview["columns"], row, strict=True)) for row in preview["data"])
    assert first["bytes"] == "2 bytes" and first["float"] == "inf" and first["decimal"] == "1.50"
    assert first["date"].startswith("2025-01-01") and first["unsigned"] == "18446744073709551615"
    assert len(first["long"]) == CHARACTERS + 2
    assert {name for name, value in second.items() if value is not None} == {"list"}


def test_wide_and_empty_tables_are_shown_in_part(tmp_path):
    wide = pd.DataFrame(np.zeros((30, 1200)), columns=[f"c{number}" for number in range(1200)])
    wide.to_csv(tmp_path / "a.csv", index=False)
    wide.to_parquet(tmp_path / "a.parquet")
    datasets = [RawRowsDataset(filepath=str(tmp_path / "a.csv"), metadata=METADATA)]
    datasets += [
        kind(filepath=str(tmp_path / f"a.{ending}"), metadata=METADATA)
        for kind, ending in ((CSVDataset, "csv"), (ParquetDataset, "parquet"))
    ]
    for dataset in datasets:
        kind, preview = shown_by_viz(dataset)
        assert (kind, len(preview["data"]), preview["columns"][-1]) == ("TablePreview", 3, "… and 1,150 more")
        assert len(preview["data"][0]) == len(preview["columns"]) == COLUMNS + 1
    wide.head(0)[["c0"]].to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("c0\n")
    for dataset in datasets:
        dataset.release()
        assert shown_by_viz(dataset) == ("TablePreview", {"index": [], "columns": ["c0"], "data": []})


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        (RawRowsDataset, "TablePreview"),
        (CSVDataset, "TablePreview"),
        (ParquetDataset, "TablePreview"),
        (TensorsDataset, "TablePreview"),
        (JSONDataset, "JSONPreview"),
        (PlotlyDataset, "PlotlyPreview"),
        (EncoderDataset, "TablePreview"),
        (ChosenDataset, "JSONPreview"),
        (RecipeDataset, "JSONPreview"),
        (ModelDataset, "TablePreview"),
        (MetricsDataset, "TablePreview"),
        (ImageFolderDataset, "ImagePreview"),
    ],
)
@pytest.mark.parametrize("content", [None, b"", b"\x00\xff\xfe damaged", b"[1, \xff"])
def test_file_that_is_missing_or_damaged_has_no_preview_and_ends_nothing(tmp_path, kind, shown, content):
    if content is not None:
        (tmp_path / "a").write_bytes(content)
    assert shown_by_viz(kind(filepath=str(tmp_path / "a"))) == (shown, None)


def test_json_is_shown_in_part_and_without_what_browsers_cannot_read(tmp_path):
    values = {"a": np.nan, "b": [np.inf, 1], "c": 12345678901234567890, "d": "\ud800", "e": list(range(1000))}
    (tmp_path / "a.json").write_text(json.dumps(values))
    kind, preview = shown_by_viz(JSONDataset(filepath=str(tmp_path / "a.json")))
    shown = json.loads(preview)
    assert (kind, shown["a"], shown["b"], shown["c"]) == ("JSONPreview", None, [None, 1], "12345678901234567890")
    assert shown["e"] == [*range(100), "… 900 more"]


def test_figure_is_shown_whole(tmp_path):
    figure = {"data": [{"type": "bar", "y": list(range(1000)), "text": "\ud800"}], "layout": {}}
    (tmp_path / "a.json").write_text(json.dumps(figure).replace("999", "NaN"))
    kind, preview = shown_by_viz(PlotlyDataset(filepath=str(tmp_path / "a.json")))
    assert (kind, preview["data"][0]["y"]) == ("PlotlyPreview", [*range(999), None])
    (tmp_path / "a.json").write_text("[1]")
    assert shown_by_viz(PlotlyDataset(filepath=str(tmp_path / "a.json"))) == ("PlotlyPreview", None)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary()
    | st.text(st.characters())
    | st.datetimes()
    | st.timedeltas()
    | st.decimals()
    | st.complex_numbers()
    | st.builds(np.float32, st.floats(width=32))
    | st.builds(np.datetime64, st.datetimes())
    | st.just(pd.NaT)
    | st.just(pd.NA)
    | st.just(np.zeros((2, 2))),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=10,
)


@settings(max_examples=50)
@given(st.lists(anything, min_size=1))
def test_any_value_becomes_strict_json(values):
    json.dumps(plain(values), allow_nan=False).encode()
    table = preview_table({"index": values, "columns": values, "data": [values]})
    json.dumps(table, allow_nan=False).encode()
    assert all(cell is None or isinstance(cell, (str, int, float)) for cell in table["data"][0])


def test_dates_of_clean_rows_are_shown_as_text_and_missing_ones_as_nothing(tmp_path):
    rows = pd.DataFrame({"row": [1, 2], "day": pd.to_datetime(["2024-01-05 12:00", None]).tz_localize("Europe/Rome")})
    dataset = ParquetDataset(filepath=str(tmp_path / "rows.parquet"))
    dataset.save(rows)
    shown = dataset.preview(5)
    assert json.loads(json.dumps(shown))["data"] == [[1, "2024-01-05 12:00:00+01:00"], [2, None]]
