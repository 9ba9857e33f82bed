"""What may be said about a column, and that everything else is refused with the way out."""

import datetime as dt

import pytest
from pydantic import ValidationError

from torchlane.core.options import ColumnOptions, DataOptions


def fault(**options: object) -> str:
    with pytest.raises(ValidationError) as caught:
        ColumnOptions.model_validate(options)
    assert caught.value.error_count() == 1
    return caught.value.errors()[0]["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "text"}, "leave the column out, or set kind: category if it has few values"),
        ({"kind": "money"}, "set kind: number and format: money"),
        ({"kind": "percent"}, "set kind: number and format: percent"),
        ({"kind": "datetime"}, "set kind: date, which may have a time too"),
        ({"kind": "number", "levels": ["a"]}, "levels is not an option of kind: number"),
        ({"kind": "number", "zone": "UTC"}, "zone is not an option of kind: number"),
        ({"kind": "category", "minimum": 1}, "minimum is not an option of kind: category, which has levels; leave it"),
        ({"kind": "category", "decimal": "comma"}, "leave it out, or set kind: number"),
        ({"kind": "date", "unit": "kg"}, "unit is not an option of kind: date"),
        ({"kind": "image", "size": [1, 2, 3], "format": "money"}, "format is not an option of kind: image"),
        ({"kind": "number", "format": "euro"}, "format 'euro' is not one of numbers: money, percent"),
        ({"kind": "number", "format": "percent", "unit": "kg"}, "a number with format: percent has no unit"),
        ({"kind": "number", "unit": "5 kg"}, "unit '5 kg' is not one such as kg"),
        ({"kind": "number", "minimum": "low"}, "minimum 'low' of a number must be a number"),
        ({"kind": "number", "minimum": 2, "maximum": 1}, "minimum 2 is above maximum 1"),
        ({"kind": "number", "minimum": [1]}, "a limit is a number, or a date as ISO text, not [1]"),
        ({"kind": "date", "minimum": 2020}, "minimum 2020 of a date must be ISO text such as '2025-03-01'"),
        ({"kind": "date", "minimum": "2020-02-01", "maximum": "2020-01-31"}, "minimum 2020-02-01 is above maximum"),
        ({"kind": "date", "zone": "Mars"}, "zone 'Mars' is not a time zone; name one such as Europe/Amsterdam"),
        ({"kind": "date", "zone": "Europe"}, "zone 'Europe' is not a time zone"),
        ({"kind": "date", "format": "money"}, "leaves open which year is meant; give year, month and day"),
        ({"kind": "date", "format": "%d.%m."}, "leaves open which year is meant"),
        ({"kind": "date", "format": "%d of %Y"}, "leaves open which month is meant"),
        ({"kind": "date", "format": "%d.%m.%Y %I:%M"}, "leaves open which hour is meant"),
        ({"kind": "date", "format": "%d.%m.%Y %Z"}, "has %Z, which means something else on another machine"),
        ({"kind": "date", "format": "%x"}, "has %x, which means something else on another machine"),
        ({"kind": "date", "format": "%Y-%Q"}, "is not one of strptime, such as %d.%m.%Y: 'Q' is a bad directive"),
    ],
)
def test_option_that_does_not_fit_is_refused_with_the_way_out(options, message):
    assert message in fault(**options)


@pytest.mark.parametrize(
    "form", ["%Y", "%m/%Y", "%d.%m.%y", "%Y%m%d", "%G-W%V-%u", "%Y-%j", "%d %b %Y %I:%M %p %z", "%%%Y"]
)
def test_format_that_says_which_day_or_month_or_year_is_taken(form):
    assert ColumnOptions.model_validate({"kind": "date", "format": form}).format == form


def test_limits_of_dates_are_points_in_time_and_a_last_day_is_whole():
    column = ColumnOptions(kind="date", minimum="1970-01-02", maximum="1970-01-02", zone="Europe/Rome")
    hour = 3600 * 10**6
    assert column.limits == (23 * hour, 47 * hour - 1)
    assert ColumnOptions(kind="date", maximum="1970-01-01 01:00").limits == (None, hour)
    assert ColumnOptions(kind="date", maximum="9999-12-31").limits[1] is not None
    assert ColumnOptions.model_validate({"kind": "date", "minimum": dt.date(1970, 1, 2)}).limits == (24 * hour, None)
    assert ColumnOptions.model_validate({"kind": "number", "minimum": "5"}).limits == (5.0, None)


def test_target_that_is_a_date_is_refused_with_the_way_out():
    columns = {"x": {"kind": "number"}, "y": {"kind": "date"}}
    for task in ("regression", "binary"):
        with pytest.raises(ValidationError, match="target 'y' is a date, .* predict a number such as the days from"):
            DataOptions.model_validate({"task": task, "target": "y", "columns": columns})


def test_options_survive_json():
    column = ColumnOptions(kind="date", minimum="2020-01-01", format="%d.%m.%Y", zone="Europe/Rome")
    assert ColumnOptions.model_validate_json(column.model_dump_json()) == column
    number = ColumnOptions(kind="number", minimum=5, unit="kg", decimal="comma")
    assert ColumnOptions.model_validate(number.model_dump(mode="json")) == number
