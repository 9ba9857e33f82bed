"""A column of the raw table and the rules for its values."""

import datetime as dt
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from torchlane.core.options.base import Level, Options
from torchlane.core.options.moments import UTC, check_form, check_zone, instant_of, last_instant_of
from torchlane.core.options.shown import shown_limit

NUMBER_FORMATS = ("money", "percent")
OTHER_KINDS = {
    "text": "free text is not a feature; leave the column out, or set kind: category if it has few values",
    **{name: f"set kind: number and format: {name}" for name in NUMBER_FORMATS},
    **dict.fromkeys(("datetime", "timestamp", "time"), "set kind: date, which may have a time too"),
}
OF_KIND = {  # options that only some kinds have
    "levels": ("category",),
    "ordered": ("category",),
    "minimum": ("number", "date"),
    "maximum": ("number", "date"),
    "size": ("image",),
    "format": ("number", "date"),
    "decimal": ("number",),
    "unit": ("number",),
    "zone": ("date",),
}


class ColumnOptions(Options):
    """A column of the raw file and the rules for its values.

    `size` is (channels, height, width) in pixels. `format` of a number is `money` or `percent`, and of a date
    one of `strptime`; a date is ISO 8601 otherwise. `decimal` and `unit` say more of how numbers are written;
    beside `format: money`, `unit` is the only currency allowed. `minimum` and `maximum` of a date are ISO text,
    and a maximum without a time means the end of that day. Times without an offset are in `zone` (UTC by
    default), and the parts of all dates are those in this zone.

    The order of `levels` is that of a scale, such as low, medium, high, unless `ordered` is false. If the column is
    encoded as `codes` or `ordinal`, each level then has the code of its place in the list, also where train has few
    rows of it or none, so that codes never depend on train. If it is the target of a multiclass task, reports list
    labels in this order. Otherwise levels are in natural order: numbers by value, text by the alphabet.
    """

    kind: Literal["category", "number", "date", "image"]
    nullable: bool = True
    levels: tuple[Level, ...] | None = None
    ordered: bool | None = None
    minimum: float | str | None = None
    maximum: float | str | None = None
    format: str | None = None
    decimal: Literal["point", "comma"] | None = None
    unit: str | None = None
    zone: str | None = None
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None

    @field_validator("kind", mode="before")
    @classmethod
    def _kind_is_known(cls, kind: Any) -> Any:
        if isinstance(kind, str) and kind in OTHER_KINDS:
            raise ValueError(f"'{kind}' is not a kind: {OTHER_KINDS[kind]}")
        return kind

    @field_validator("minimum", "maximum", mode="before")
    @classmethod
    def _limit_as_number_or_text(cls, limit: Any) -> Any:
        if isinstance(limit, dt.date):
            return str(limit)
        if limit is not None and not isinstance(limit, (str, int, float)):
            raise ValueError(f"a limit is a number, or a date as ISO text, not {limit!r}")
        try:
            return float(limit) if isinstance(limit, str) else limit
        except ValueError:
            return limit

    @model_validator(mode="after")
    def _rules_fit_kind(self) -> Self:
        if (self.kind == "image") != (self.size is not None):
            raise ValueError("an image needs size: [channels, height, width], and other kinds have no size")
        for name, kinds in OF_KIND.items():
            if self.kind not in kinds and getattr(self, name) is not None:
                has = [each for each, those in OF_KIND.items() if self.kind in those]
                raise ValueError(
                    f"{name} is not an option of kind: {self.kind}, which has {', '.join(has)}; leave it out, "
                    f"or set kind: {' or '.join(kinds)}"
                )
        if self.ordered is not None and self.levels is None:
            raise ValueError("ordered says whether the order of levels means something; list levels, or leave it out")
        if self.zone is not None:
            check_zone(self.zone)
        if self.kind == "date" and self.format is not None:
            check_form(self.format)
        for fault in (*self._faults_of_number(), *self._faults_of_limits()):
            raise ValueError(fault)
        return self

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Return the options themselves, in which nothing can change; Kedro copies parameters at each load."""
        return self

    @property
    def level_order(self) -> tuple[str, ...]:
        """The levels in the order of their scale; empty if none is declared."""
        return () if self.ordered is False else tuple(dict.fromkeys(self.levels or ()))

    @property
    def is_written(self) -> bool:
        """Whether numbers are written with more than digits, sign and point."""
        return self.kind == "number" and (self.format, self.decimal, self.unit) != (None, None, None)

    @property
    def zone_name(self) -> str:
        """The time zone of dates."""
        return self.zone or UTC

    @property
    def limits(self) -> tuple[float | None, float | None]:
        """Minimum and maximum as numbers; those of a date in microseconds since 1970 in UTC."""
        if self.kind != "date":
            return self.minimum, self.maximum  # type: ignore[return-value]  # checked in _faults_of_limits
        readers = (instant_of, last_instant_of)
        low, high = (
            None if limit is None else reader(str(limit), self.zone_name)
            for reader, limit in zip(readers, (self.minimum, self.maximum), strict=True)
        )
        return low, high

    def _faults_of_number(self) -> Iterator[str]:
        if self.kind == "number" and self.format not in (None, *NUMBER_FORMATS):
            yield f"format '{self.format}' is not one of numbers: {', '.join(NUMBER_FORMATS)}"
        if self.unit is not None:
            if self.format == "percent":
                yield "a number with format: percent has no unit; leave one out"
            if not self.unit.strip() or self.unit.strip()[0] in "0123456789.,+-()":
                yield f"unit '{self.unit}' is not one such as kg, which begins with neither digit nor sign"

    def _faults_of_limits(self) -> Iterator[str]:
        for name, limit in (("minimum", self.minimum), ("maximum", self.maximum)):
            if self.kind == "date" and limit is not None and instant_of(str(limit), self.zone_name) is None:
                yield f"{name} {shown_limit(limit)} of a date must be ISO text such as '2025-03-01'"
            if self.kind == "number" and isinstance(limit, str):
                yield f"{name} '{limit}' of a number must be a number"
        low, high = self.limits
        if low is not None and high is not None and low > high:
            yield f"minimum {shown_limit(self.minimum)} is above maximum {shown_limit(self.maximum)}"
