import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kedro.io import DatasetError
from safetensors.torch import save_file

from torchlane.core.encoding import storing
from torchlane.core.encoding.columns import NumberEncoder
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.storing import join_encoder, save_with_header, split_encoder
from torchlane.core.options import DataOptions, EncodingOptions
from torchlane.datasets.models import EncoderDataset

DATA = {"task": "regression", "target": "y", "columns": {"place": {"kind": "category"}, "day": {"kind": "date"}}}
encodings = st.sampled_from(["z_score", "min_max", "none", "quantile"])


def fit(seed: int, n_rows: int, chosen: list[str], *, others: bool = True):
    """Fit an encoder to drawn rows of numbers, some missing, in these encodings, beside a category and a date."""
    random = np.random.default_rng(seed)
    numbers = {
        f"x{number}": random.normal(size=n_rows) * 10.0 ** random.integers(-9, 9) for number in range(len(chosen))
    }
    rows = pd.DataFrame(numbers).mask(random.random((n_rows, len(chosen))) < random.choice([0, 0.3]))
    days = pd.to_datetime(random.integers(0, 10**9, n_rows), unit="s").tz_localize("UTC").as_unit("us")
    rows = rows.assign(place=random.choice(["a", "é"], n_rows), day=days, y=random.normal(size=n_rows))
    columns = {**(DATA["columns"] if others else {}), **{name: {"kind": "number"} for name in numbers}}
    options = EncodingOptions.model_validate(
        {"columns": dict(zip(numbers, chosen, strict=True)), "numbers": "quantile"}
    )
    return fit_encoder(rows, DataOptions.model_validate({**DATA, "columns": columns}), options)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.lists(encodings, min_size=1, max_size=5))
def test_encoder_is_read_back_to_the_bit(tmp_path_factory, seed, n_rows, chosen):
    encoder = fit(seed, n_rows, chosen)
    dataset = EncoderDataset(filepath=str(tmp_path_factory.mktemp("encoders") / "encoder.safetensors"))
    dataset.save(encoder)
    assert dataset.load().model_dump_json() == encoder.model_dump_json()
    first = dataset.path.read_bytes()
    dataset.save(dataset.load())
    assert dataset.path.read_bytes() == first


def test_no_quantile_is_in_the_header():
    header, tensors = split_encoder(fit(0, 2000, ["z_score", "quantile", "none"]))
    assert "quantiles" not in json.dumps(header)
    date = [1001] * 3  # year, day and elapsed time, in the encoding of all numbers
    assert tensors[storing.COUNTS].tolist() == [*date, 101, 1001, 101]
    assert tensors[storing.QUANTILES].dtype == torch.float64
    assert len(tensors[storing.QUANTILES]) == sum(tensors[storing.COUNTS])


def test_header_has_few_bytes_for_a_column_of_numbers():
    sizes = [len(json.dumps(split_encoder(fit(0, 2000, ["z_score"] * n, others=False))[0])) for n in (10, 110)]
    assert (sizes[1] - sizes[0]) / 100 < 250


def test_encoder_without_a_table_has_no_quantiles_and_is_read_back():
    from torchlane.core.encoding.encoder import Encoder

    header, tensors = split_encoder(fit(0, 9, ["none"]))
    image = {"kind": "image", "name": "x", "size": [1, 2, 2], "encoding": "unit", "means": [0.0], "deviations": [1.0]}
    encoder = Encoder.model_validate({**header, "columns": [image]})
    header, tensors = split_encoder(encoder)
    assert join_encoder(header, tensors) == encoder


def test_files_that_are_no_encoder_are_refused_and_say_what_to_run(tmp_path):
    dataset = EncoderDataset(filepath=str(tmp_path / "encoder.safetensors"))
    dataset.save(fit(0, 9, ["none"]))
    whole = dataset.path.read_bytes()
    dataset.path.write_bytes(whole[:-8])
    with pytest.raises(DatasetError, match="not a whole safetensors file .* run the stage train again"):
        dataset.load()
    save_file({"a": torch.zeros(1)}, dataset.path)
    with pytest.raises(DatasetError, match="it has no quantiles"):
        dataset.load()
    header, tensors = split_encoder(fit(0, 9, ["none"]))
    with pytest.raises(ValueError, match="it has no quantiles for its 4 scales"):
        join_encoder(header, {**tensors, storing.COUNTS: tensors[storing.COUNTS][:-1]})


def test_header_that_safetensors_refuses_is_said_to_be_too_large(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(ValueError, match=r"takes 100 MB, and safetensors allows 100 MB .* leave out columns"):
        save_with_header(path, {"a": torch.zeros(1)}, {"levels": "x" * 100_000_000})
    assert not path.exists()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.integers(1, 6), encodings)
def test_scales_fitted_together_are_those_fitted_alone(seed, n_rows, n_columns, encoding):
    random = np.random.default_rng(seed)
    columns = [
        pd.Series(
            random.normal(size=n_rows).round(random.integers(0, 9)) * 10.0 ** random.integers(-30, 30),
            name=f"x{number}",
        )
        for number in range(n_columns)
    ]
    columns = [each.mask(random.random(n_rows) < random.choice([0, 0.2, 1], p=[0.6, 0.3, 0.1])) for each in columns]
    together = NumberEncoder.fit_all(columns, encoding)
    assert together == [NumberEncoder.fit(each, encoding) for each in columns]
    known = [each.dropna().to_numpy() if each.notna().any() else np.zeros(1) for each in columns]
    assert [each.median for each in together] == [float(np.median(each)) for each in known]
    most = 1001 if encoding == "quantile" else 101
    for each, values in zip(together, known, strict=True):
        assert each.quantiles == tuple(np.quantile(values, np.linspace(0, 1, min(most, max(len(values), 2)))).tolist())
        if encoding == "z_score" and values.std() > 1e-200:
            assert each.factor == 1 / values.std() or np.ptp(values) < 1e-9 * abs(values.mean())


def test_many_columns_are_fitted_in_few_calls(monkeypatch):
    calls = []
    quantile = np.quantile
    monkeypatch.setattr(np, "quantile", lambda *args, **named: calls.append(args[0].shape) or quantile(*args, **named))
    columns = [pd.Series(np.arange(20.0) + number, name=f"x{number}") for number in range(300)]
    NumberEncoder.fit_all(columns, "z_score")
    assert calls == [(300, 20)]
