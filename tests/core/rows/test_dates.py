"""Dates of every kind of file and data frame are the same points in time."""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchlane.core.options import ColumnOptions
from torchlane.core.rows.checking import apply_rules
from torchlane.core.rows.dates import read_dates
from torchlane.core.rows.values import of_arrow

ZONES = ["UTC", "Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
INSTANTS = st.datetimes(dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29), timezones=st.just(dt.UTC))


def column(**options: object) -> ColumnOptions:
    return ColumnOptions.model_validate({"kind": "date", **options})


def read(values: pd.Series, **options: object) -> list[object]:
    """Read values of any type as datetimes; "no" stands for what is no date."""
    moments, failed = read_dates(values, column(**options), ("", "0000-00-00"))
    assert str(moments.dtype) == f"datetime64[us, {options.get('zone', 'UTC')}]"
    each = [None if pd.isna(moment) else moment.to_pydatetime() for moment in moments]
    return ["no" if wrong else moment for moment, wrong in zip(each, failed, strict=True)]


def texts(*values: object) -> pd.Series:
    return pd.Series(values, dtype="str")


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-03-01", utc(2025, 3, 1)),
        (" 2025-03-01 06:30 ", utc(2025, 3, 1, 6, 30)),
        ("2025-03-01T06:30:15.5", utc(2025, 3, 1, 6, 30, 15, 500_000)),
        ("2025-03-01 06:30:00,123456789", utc(2025, 3, 1, 6, 30, 0, 123_456)),
        ("2025-03-01T06:30Z", utc(2025, 3, 1, 6, 30)),
        ("2025-03-01 06:30:00 UTC", utc(2025, 3, 1, 6, 30)),
        ("2025-03-01T06:30:00+05:30", utc(2025, 3, 1, 1)),
        ("2025-03-01T06:30:00-0100", utc(2025, 3, 1, 7, 30)),
        ("2025-03-01T06:30:00+01", utc(2025, 3, 1, 5, 30)),
        ("9999-12-31", utc(9999, 12, 31)),
        ("0001-01-01", utc(1, 1, 1)),
        *((text, None) for text in ("", "NaT", "n/a", "?", "0000-00-00")),
        *((text, "no") for text in ("2025-02-30", "20250301", "2025-03", "01.03.2025", "2025-03-01T24:00", "06:30")),
        *((text, "no") for text in ("1740787200", "0001-01-01T00:00+05:00", "yesterday", "2025-03-01 06:30 CET")),
    ],
)
def test_iso_text_is_read_and_what_is_none_is_named(text, moment):
    assert read(texts(text)) == [moment]


@settings(max_examples=50, deadline=None)
@given(moment=INSTANTS, zone=st.sampled_from(ZONES))
def test_each_type_and_spelling_of_an_instant_is_the_same_date(moment, zone):
    local, naive = moment.astimezone(ZoneInfo(zone)), moment.replace(tzinfo=None)
    spelt = [
        texts(moment.isoformat(), local.isoformat(), str(local), f"{naive}Z", f"{naive.isoformat()} UTC"),
        pd.Series([moment, local, pd.Timestamp(moment)], dtype=object),
        pd.Series([moment], dtype="datetime64[us, UTC]"),
        pd.Series([local], dtype=f"datetime64[us, {zone}]"),
        of_arrow(pa.array([moment], pa.timestamp("us", zone))),
    ]
    for values in spelt:
        assert read(values, zone=zone) == [moment] * len(values)


@settings(max_examples=50, deadline=None)
@given(clock=st.datetimes(dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29)), zone=st.sampled_from(ZONES))
def test_time_without_offset_is_in_the_zone_of_the_column_as_python_reads_it(clock, zone):
    expected = clock.replace(tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)
    for values in (texts(str(clock), clock.isoformat()), pd.Series([clock]), pd.Series([clock], dtype=object)):
        assert [each.astimezone(dt.UTC) for each in read(values, zone=zone)] == [expected] * len(values)


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
@settings(max_examples=30, deadline=None)
@given(day=st.dates(dt.date(1, 1, 2), dt.date(9999, 12, 30)))
def test_typed_day_is_its_first_moment_in_the_zone(kind, day):
    midnight = dt.datetime.combine(day, dt.time(), ZoneInfo("Asia/Kathmandu"))
    for values in (of_arrow(pa.array([day, None], kind)), pd.Series([day, None], dtype=object), texts(str(day), None)):
        assert read(values, zone="Asia/Kathmandu") == [midnight, None]


def test_clock_changes_are_read_as_python_reads_them():
    clock = texts("2025-03-30 02:30", "2025-10-26 02:30", "2025-10-26T02:30+01:00")
    assert [each.astimezone(dt.UTC) for each in read(clock, zone="Europe/Amsterdam")] == [
        utc(2025, 3, 30, 1, 30), utc(2025, 10, 26, 0, 30), utc(2025, 10, 26, 1, 30),
    ]  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(moment=st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2068, 12, 31)))
@pytest.mark.parametrize("form", ["%d.%m.%Y", "%m/%d/%y %I:%M:%S %p", "%Y%m%dT%H%M%S.%f", "%d %B %Y", "%Y-%d-%m"])
def test_date_written_in_a_declared_format_is_read_as_strptime_reads_it(form, moment):
    text = moment.strftime(form)
    assert read(texts(text, "x"), format=form) == [dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC), "no"]


def test_typed_dates_are_read_by_value_though_a_format_is_declared():
    fifth = utc(2024, 1, 5)
    assert read(pd.Series([dt.date(2024, 1, 5), "2024-05-01", "2024-01-13"], dtype=object), format="%Y-%d-%m") == [
        fifth, fifth, "no",
    ]  # fmt: skip
    assert read(pd.to_datetime(pd.Series(["2024-01-05"])), format="%Y-%d-%m") == [fifth]
    assert read(pd.Series([20240105, None]), format="%Y%m%d") == [fifth, None]
    assert read(pd.Series(["2024-05-01"], dtype="category"), format="%Y-%d-%m") == [fifth]


def test_date_that_the_zone_cannot_hold_is_rejected_and_no_error():
    assert read(texts("9999-12-31T23:30Z", "0001-01-01T00:30Z"), zone="Asia/Tokyo") == [
        "no", dt.datetime(1, 1, 1, 0, 30, tzinfo=dt.UTC),
    ]  # fmt: skip


def test_row_with_no_date_or_one_beyond_the_limits_is_rejected_with_the_rule():
    raw = pd.DataFrame({"bought": ["2024-12-31 23:59", "2025-01-01", "2019-12-31", "5.1.2024", ""]}, dtype="str")
    declared = {"bought": column(minimum="2020-01-01", maximum="2024-12-31", nullable=False)}
    clean, rejected = apply_rules(raw, declared, ("",))
    assert clean["bought"].tolist() == [pd.Timestamp("2024-12-31 23:59", tz="UTC")]
    assert rejected[["row", "rule"]].to_numpy().tolist() == [
        [2, "at most 2024-12-31"],
        [3, "at least 2020-01-01"],
        [4, "a date such as 2025-03-01 or 2025-03-01 06:30"],
        [5, "not missing"],
    ]
    _, rejected = apply_rules(raw[3:], {"bought": column(format="%m/%d/%Y")}, ("",))
    assert rejected["rule"].tolist() == ["a date in the format %m/%d/%Y"]


def test_clean_dates_survive_parquet(tmp_path):
    raw = pd.DataFrame({"bought": ["2024-12-31 23:59", "", "0001-01-01", "9999-12-31"]}, dtype="str")
    clean, _ = apply_rules(raw, {"bought": column(zone="Europe/Amsterdam")}, ("",))
    clean.to_parquet(tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "rows.parquet"), clean)
    assert clean["bought"].dtype == pd.DatetimeTZDtype("us", "Europe/Amsterdam")
    assert np.iinfo(np.int64).min not in clean["bought"].dropna().astype("int64").tolist()


@pytest.mark.parametrize(
    ("options", "declared", "written"),
    [
        ({}, "9999-12-31", ["9999-12-31", "9999-12-31 00:00:00", "9999-12-31T00:00Z", dt.datetime(9999, 12, 31)]),
        (
            {"format": "%d.%m.%Y"},
            "01.01.1900",
            ["01.01.1900", "1.1.1900", dt.date(1900, 1, 1), pd.Timestamp(1900, 1, 1)],
        ),
        ({"format": "%d.%m.%Y"}, "1900-01-01", ["01.01.1900", dt.date(1900, 1, 1)]),
    ],
)
def test_a_date_declared_as_missing_is_missing_however_it_is_written(options, declared, written):
    for value in written:
        values = pd.Series([value, dt.datetime(2024, 5, 6)], dtype=object)
        moments, failed = read_dates(values, column(**options), (declared,))
        assert moments.isna().tolist() == [True, False]
        assert not failed.any()
