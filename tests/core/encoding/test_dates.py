"""Features of dates: those that Python's datetime and zoneinfo give, and none that train cannot tell."""

import datetime as dt
import math
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchlane.core.encoding.dates import DateEncoder
from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.options import ColumnOptions, DataOptions, EncodingOptions
from torchlane.core.rows.dates import read_dates

ZONES = ["UTC", "Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe"]
ALL = [
    *("year", "month_sin", "month_cos", "day", "weekday_sin", "weekday_cos", "hour_sin", "hour_cos", "elapsed"),
    "missing",
]
INSTANTS = st.datetimes(dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29), timezones=st.just(dt.UTC))
TELLING = ["1969-02-28 23:59:59.999999", "2024-02-29 12:34:56", "2025-03-30 02:30", "2025-10-26 03:15:01", ""]


def dates(*texts: object, zone: str = "UTC") -> pd.Series:
    values = pd.Series(texts, dtype="str")
    return read_dates(values, ColumnOptions(kind="date", zone=zone), ("",))[0].rename("when")


def names(encoder: DateEncoder) -> list[str]:
    return [name.removeprefix("when=") for name in encoder.feature_names]


def by_hand(moment: dt.datetime, zone: str, origin: dt.datetime) -> list[float]:
    """The features of a date as Python's own calendar gives them, unscaled."""
    local = moment.astimezone(ZoneInfo(zone))
    seconds = local.hour * 3600 + local.minute * 60 + local.second
    month, weekday, hour = (local.month - 1) / 12, local.weekday() / 7, seconds / 86400
    waves = [wave(2 * math.pi * turn) for turn in (month, weekday, hour) for wave in (math.sin, math.cos)]
    return [local.year, *waves[:2], local.day, *waves[2:], (moment - origin) / dt.timedelta(days=1), 0.0]


@settings(max_examples=60, deadline=None)
@given(moment=INSTANTS, zone=st.sampled_from(ZONES))
def test_features_are_those_of_pythons_calendar_in_the_zone(moment, zone):
    train = dates(*TELLING, zone=zone)
    encoder = DateEncoder.fit(train, "none")
    assert names(encoder) == ALL
    origin = train.min().to_pydatetime().astimezone(dt.UTC)
    expected = np.array([by_hand(moment, zone, origin)], dtype=np.float32)
    np.testing.assert_allclose(encoder.encode(dates(moment, zone=zone)), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("zone", ZONES)
def test_clock_changes_leap_days_and_years_before_1970_are_as_in_pythons_calendar(zone):
    train = dates(*TELLING, zone=zone)
    encoder, origin = DateEncoder.fit(train, "none"), train.min().to_pydatetime().astimezone(dt.UTC)
    moments = [each.to_pydatetime().astimezone(dt.UTC) for each in train.dropna()]
    moments += [moment + dt.timedelta(hours=hours) for moment in moments for hours in range(-3, 4)]
    expected = np.array([by_hand(moment, zone, origin) for moment in moments], dtype=np.float32)
    np.testing.assert_allclose(encoder.encode(dates(*moments, zone=zone)), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2024-01-05", "2025-02-04"], [*ALL[:6], "elapsed"]),  # no time, so no hour
        (["2024-01-05", "2024-01-06"], ["day", "weekday_sin", "weekday_cos", "elapsed"]),
        (["2024-01-01", "2024-07-01"], ["month_cos", "elapsed"]),  # both Mondays; the sines are 0
        (["2024-01-05 12:00", "2024-01-05 18:00"], ["hour_sin", "hour_cos", "elapsed"]),
        (["2024-01-05", "2024-01-05", ""], ["elapsed", "missing"]),
        (["", ""], ["elapsed", "missing"]),
    ],
)
def test_parts_that_are_constant_in_train_are_left_out(texts, expected):
    train = dates(*texts)
    encoder = DateEncoder.fit(train, "z_score")
    assert names(encoder) == expected
    assert np.isfinite(encoder.encode(dates(*texts, "9999-12-31", "0001-01-01"))).all()
    varying = np.ptp(encoder.encode(train), axis=0) > 0
    assert varying[:-1].all() or set(texts) <= {"2024-01-05", ""}


def test_missing_date_has_the_features_of_the_median_date_and_a_flag():
    train = dates("2024-01-05", "2024-03-06", "2025-05-07", "2025-06-08", "")
    encoded = DateEncoder.fit(train, "z_score").encode(train)
    np.testing.assert_array_equal(encoded[4, :-1], encoded[1, :-1])
    assert encoded[:, -1].tolist() == [0, 0, 0, 0, 1]
    assert "missing" not in names(DateEncoder.fit(train[:4], "z_score"))


@pytest.mark.parametrize("encoding", ["none", "min_max", "z_score", "quantile"])
@given(picks=st.lists(st.integers(0, 4), min_size=1, max_size=6))
@settings(max_examples=10, deadline=None)
def test_rows_encoded_in_parts_have_the_bits_of_the_whole(encoding, picks):
    train = dates(*TELLING, zone="Europe/Amsterdam")
    encoder = DateEncoder.fit(train, encoding)
    whole = encoder.encode(train)
    np.testing.assert_array_equal(encoder.encode(train.iloc[picks]), whole[picks])
    np.testing.assert_array_equal(encoder.encode(train.dt.tz_convert("Asia/Tokyo")), whole)


def options(**encoding: object) -> tuple[DataOptions, EncodingOptions]:
    columns = {"when": {"kind": "date"}, "size": {"kind": "number"}}
    data = DataOptions.model_validate({"task": "regression", "target": "y", "columns": columns})
    return data, EncodingOptions.model_validate(encoding)


ROWS = pd.DataFrame({"when": dates("2024-01-05", "2025-03-06 12:00", ""), "size": [1.0, 2, 3], "y": [1.0, 2, 3]})


def test_encoder_with_dates_survives_json_bit_for_bit():
    encoder = fit_encoder(ROWS, *options())
    back = Encoder.model_validate_json(encoder.model_dump_json())
    assert back == encoder
    np.testing.assert_array_equal(back.encode_features(ROWS), encoder.encode_features(ROWS))
    assert encoder.encode_features(ROWS).shape == (3, len(encoder.feature_names))


def test_date_is_scaled_as_numbers_are_and_has_no_encoding_of_categories():
    scaled = fit_encoder(ROWS, *options(columns={"when": "min_max"})).encode_features(ROWS)
    assert scaled[:2, 0].tolist() == [0, 1]
    with pytest.raises(ValueError, match="column 'when' cannot be encoded as 'one_hot'; choose one of none, min_max"):
        fit_encoder(ROWS, *options(columns={"when": "one_hot"}))
