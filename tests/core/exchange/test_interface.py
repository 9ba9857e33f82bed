import datetime as dt
import json
import math
from dataclasses import replace
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm

from tests.core.exchange.exchanged import (
    drawn_model,
    encoded,
    image_model,
    rows_for,
    table_model,
    table_rows,
)
from torchlane.core.exchange import export_model
from torchlane.core.exchange.interface import describe_interface
from torchlane.core.model.calibration import Calibration
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import ColumnOptions, DataOptions, EncodingOptions

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def scaled_by_hand(column: dict[str, Any], numbers: np.ndarray) -> np.ndarray:
    """Scale numbers by what the JSON says of a column."""
    if column["encoding"] == "quantile":
        quantiles = np.array(column["quantiles"])
        shares = np.linspace(0, 1, len(quantiles))
        low = np.interp(numbers, quantiles, shares)
        high = 1 - np.interp(-numbers, -quantiles[::-1], shares)
        return norm.ppf(np.clip((low + high) / 2, 1e-7, 1 - 1e-7))
    return numbers * column["factor"] + column["offset"]


def encoded_by_hand(interface: dict[str, Any], rows: pd.DataFrame) -> np.ndarray:
    """Encode rows by what the JSON says, and nothing of Torchlane."""
    features = []
    for column in interface["columns"]:
        texts = rows[column["name"]]
        missing = texts.isin(interface["missing_values"]).to_numpy()
        if column["kind"] == "category":
            own = [each for each in interface["features"] if each["column"] == column["name"]]
            unseen = ~missing & ~texts.isin(column["levels"]).to_numpy()
            codes = dict(zip(column["levels"], own[0]["codes"], strict=True))
            known = np.array([codes.get(text, -1) for text in texts])
            features.append(np.select([missing, unseen], [own[0]["missing"], own[0]["unseen"]], known))
            continue
        numbers = np.where(missing, column["median"], pd.to_numeric(texts, errors="coerce"))
        features.append(scaled_by_hand(column, numbers))
        if column["flagged"]:
            features.append(missing)
    return np.column_stack(features).astype(interface["input"]["dtype"])


@pytest.mark.parametrize("categories", ["one_hot", "codes", "ordinal"])
def test_interface_suffices_to_feed_the_program(categories, tmp_path):
    import onnxruntime

    model = table_model(categories=categories, widths=[8], members=3)
    bound = float(model.predict(rows_for(model))["low"].median())
    declared = {**model.data.columns, "price": ColumnOptions(kind="number", minimum=bound)}
    model = replace(model, data=model.data.model_copy(update={"columns": declared}))
    done = export_model(model, tmp_path / "model.onnx")
    interface = json.loads(done.interface.read_text())
    rows = rows_for(model)
    features = encoded_by_hand(interface, rows)
    np.testing.assert_allclose(features, encoded(model, rows), atol=1e-6)
    assert [each["name"] for each in interface["features"]] == ["size", "age", "age=missing", "weight", "place"]
    table = model.predict(rows)
    found, spread = onnxruntime.InferenceSession(done.path).run(["prediction", "spread"], {"features": features})
    np.testing.assert_allclose(found, table["prediction"], atol=1, rtol=0)
    np.testing.assert_allclose(spread, table["spread"], atol=1, rtol=0)
    interval = interface["interval"]
    width = interval["half_width"] * (1 + interval["spread_weight"] * spread)
    low, high = (np.clip(found + side, interval["minimum"], None) for side in (-width, width))
    np.testing.assert_allclose(np.minimum(low, found), table["low"], atol=1, rtol=0)
    np.testing.assert_allclose(np.maximum(high, found), table["high"], atol=1, rtol=0)
    assert 0 < (table["low"] == bound).mean() < 1 and (table["high"] - table["low"]).nunique() > 10
    assert interface["output"]["meaning"] == "price, in the units of the raw file"


def block_by_hand(kind: str, weights: dict[str, np.ndarray], place: int, x: np.ndarray) -> np.ndarray:
    """Compute what a number becomes in the layer `numbers`, with the layer's tensors."""
    if kind == "periodic":
        angles = 2 * math.pi * np.outer(x, weights["numbers.frequencies"][place])
        basis = np.column_stack([np.ones_like(x), np.cos(angles), np.sin(angles)])
        return np.maximum(basis @ weights["numbers.weight"][place], 0)
    edges = weights["numbers.edges"][place]
    bins = []
    for start, end in pairwise(edges):
        low = -np.inf if start == edges[0] else 0
        high = np.inf if end == edges[-1] else 1
        bins.append(np.clip((x - start) / (end - start), low, high) if end > start else np.zeros_like(x))
    if kind == "bins":
        return np.column_stack([x, *bins])
    return np.column_stack([np.ones_like(x), x, *bins]) @ weights["numbers.weight"][place]


def row_by_hand(interface: dict[str, Any], weights: dict[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    """Make the columns of a perceptron's first linear weights by what the JSON says."""
    layer, columns = interface["numbers"] or {"takes": []}, []
    for place, each in enumerate(interface["features"]):
        values = features[:, place]
        if place not in layer["takes"]:
            columns += [values == code for code in each["indicators"]] if "indicators" in each else [values]
    blocks = [block_by_hand(layer["kind"], weights, *each) for each in enumerate(features.T[layer["takes"]])]
    assert all(block.shape[1] == layer["width"] for block in blocks)
    return np.column_stack([*columns, *blocks])


@pytest.mark.parametrize("categories", ["one_hot", "ordinal"])
@pytest.mark.parametrize(
    "numbers",
    [
        {},
        {"numbers": {"kind": "bins", "bins": 64}},
        {"numbers": "piecewise_linear"},
        {"numbers": "periodic"},
        {"numbers": "plain"},
    ],
    ids=["default", "more bins than distinct values", "piecewise_linear", "periodic", "plain"],
)
def test_weights_alone_can_be_used_by_what_the_interface_says(numbers, categories, tmp_path):
    model = table_model(widths=[8], categories=categories, **numbers)
    done = export_model(model, tmp_path / "model.pt")
    interface, saved = json.loads(done.interface.read_text()), torch.load(tmp_path / "model.pt", weights_only=True)
    weights = {name: tensor.numpy() for name, tensor in saved.items()}
    own = {name for name in weights if name.startswith("numbers.")}
    assert own == set((interface["numbers"] or {"tensors": {}})["tensors"])
    rows = rows_for(model)
    rows.loc[3:6, "age"], rows.loc[3:6, "weight"] = ["-40", "-1", "51", "90"], ["-9", "20", "120", "300"]
    features = encoded_by_hand(interface, rows)
    wide = row_by_hand(interface, weights, features.astype(np.float64))
    outputs = wide @ weights["linear_1.weight"].T + weights["linear_1.bias"]
    hidden = torch.nn.functional.gelu(torch.from_numpy(outputs.astype(np.float32)))
    found = torch.nn.functional.linear(hidden, saved["head.weight"], saved["head.bias"]).flatten()
    np.testing.assert_allclose(model.encoder.target.decode(found), model.predict(rows)["prediction"], rtol=1e-5)


def test_interface_of_images_has_no_layer_of_numbers():
    model = image_model(widths=[4])
    assert model.model.numbers.kind != "plain" and describe_interface(model)["numbers"] is None


def test_one_member_has_no_interval_since_valid_has_spoken_of_all(tmp_path):
    model = table_model(widths=[4], members=2)
    alone = json.loads(export_model(model, tmp_path / "model.pt", member=0).interface.read_text())
    whole = json.loads(export_model(model, tmp_path / "model.pt").interface.read_text())
    assert alone["interval"] is None and whole["interval"]["half_width"] == 3000.0


def test_interval_that_is_not_known_is_left_out():
    few = replace(table_model(widths=[4]), calibration=Calibration(n_rows=1, residuals=(1.0,), ranks=(1,)))
    assert few.calibration.half_width(0.9) == np.inf
    assert describe_interface(few)["interval"] is None
    assert describe_interface(replace(few, calibration=Calibration()))["interval"] is None


def test_interface_of_a_classifier_says_which_probability_is_whose_and_is_inside_the_programs(tmp_path):
    import onnx

    model = table_model("pair", widths=[4])
    for name in ("model.onnx", "model.pt2"):
        export_model(model, tmp_path / name)
    interface = json.loads((tmp_path / "model.onnx.json").read_text())
    assert interface["output"]["labels"] == list(model.encoder.target.labels)
    assert interface["output"]["positive"] == model.encoder.target.positive == interface["output"]["labels"][1]
    assert interface["output"]["shape"] == ["rows", 2]
    assert interface["interval"] is None
    program = onnx.load(tmp_path / "model.onnx")
    assert json.loads({each.key: each.value for each in program.metadata_props}["torchlane"]) == interface
    (entering,) = program.graph.input
    assert (entering.name, entering.type.tensor_type.shape.dim[0].dim_param) == ("features", "rows")
    extra = {"torchlane.json": ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    assert json.loads(extra["torchlane.json"]) == interface


def dated_model() -> TrainedModel:
    """A model of a date with times and gaps, one without, and an amount of money."""
    rows = table_rows()
    random = np.random.default_rng(1)
    minutes = pd.to_timedelta(random.integers(0, 2_000_000, len(rows)), "min")
    rows["seen"] = (pd.Timestamp("1968-12-30") + minutes).strftime("%Y-%m-%dT%H:%M").where(random.random(200) > 0.1, "")
    rows["born"] = (pd.Timestamp("2024-02-01") + pd.to_timedelta(random.integers(0, 40, len(rows)), "D")).strftime(
        "%d.%m.%y"
    )
    columns = {
        "seen": {"kind": "date", "zone": "America/New_York"},
        "born": {"kind": "date", "format": "%d.%m.%y"},
        "size": {"kind": "number", "format": "money"},
    }
    data = DataOptions.model_validate({"task": "regression", "target": "price", "columns": columns})
    encoding = EncodingOptions.model_validate({"columns": {"born": "quantile"}})
    return drawn_model(data, encoding, rows, 1, {"widths": [4]})


def dates_by_hand(interface: dict[str, Any], name: str, texts: pd.Series) -> np.ndarray:
    """Encode a date by what the JSON says, with Python's own calendar."""
    (column,) = (each for each in interface["columns"] if each["name"] == name)
    own = [each for each in interface["features"] if each["column"] == name]
    reading, zone = interface["reading"][name], ZoneInfo(column["zone"])
    rows = []
    for text in texts:
        moment = EPOCH + dt.timedelta(microseconds=column["median"])
        if text:
            form = reading.get("format")
            moment = dt.datetime.strptime(text, form) if form else dt.datetime.fromisoformat(text)
            moment = moment.replace(tzinfo=ZoneInfo(reading.get("zone", "UTC"))).astimezone(dt.UTC)
        local = moment.astimezone(zone)
        seconds = (local.hour * 60 + local.minute) * 60 + local.second
        elapsed = (moment - EPOCH - dt.timedelta(microseconds=column["origin"])) / dt.timedelta(days=1)
        turns = {"month": (local.month - 1) / 12, "weekday": local.weekday() / 7, "hour": seconds / 86400}
        values = {"year": local.year, "day": local.day, "elapsed": elapsed}
        for part, turn in turns.items():
            values |= {f"{part}_sin": math.sin(2 * math.pi * turn), f"{part}_cos": math.cos(2 * math.pi * turn)}
        rows.append({**{part: values[part] for part in column["parts"]}, "missing": float(not text)})
    table = pd.DataFrame(rows)
    for scale in column["scales"]:
        part = scale["name"].removeprefix(f"{name}=")
        table[part] = scaled_by_hand(scale, table[part].to_numpy(np.float64))
    return table[[each.get("part", "missing") for each in own]].to_numpy()


def test_interface_says_how_the_features_of_dates_and_amounts_are_made(tmp_path):
    model = dated_model()
    interface = json.loads(export_model(model, tmp_path / "model.pt").interface.read_text())
    assert interface["reading"] == {
        "seen": {"kind": "date", "zone": "America/New_York"},
        "born": {"kind": "date", "format": "%d.%m.%y"},
        "size": {"kind": "number", "format": "money"},
    }
    assert [each["name"] for each in interface["features"]] == list(model.encoder.feature_names)
    rows = pd.DataFrame(
        {"seen": ["1969-04-27T01:30", "1970-02-28T23:59", ""], "born": ["29.02.24", "01.03.24", "31.12.68"]}
    )
    found = encoded(model, rows.assign(size=["$1", "(2.50)", ""]))
    at = 0
    for name in rows:
        expected = dates_by_hand(interface, name, rows[name])
        np.testing.assert_allclose(found[:, at : at + expected.shape[1]], expected, atol=1e-5)
        at += expected.shape[1]
    assert "in the zone America/New_York" in interface["features"][0]["value"]
    assert "NaT" in interface["preparation"]
