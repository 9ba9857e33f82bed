"""The encoder of a column of dates."""

import math
from functools import cache
from typing import Literal, Self

import numpy as np
import pandas as pd

from torchlane.core.encoding.columns import NumberEncoder
from torchlane.core.encoding.fitted import Fitted
from torchlane.core.options import NumberEncoding
from torchlane.core.rows.dates import instants_of, moments_of

DAY = 86_400  # seconds
MICROSECONDS_A_DAY = DAY * 1_000_000
SCALED = ("year", "day", "elapsed")
PARTS = (
    "year", "month_sin", "month_cos", "day", "weekday_sin", "weekday_cos", "hour_sin", "hour_cos", "elapsed",
)  # fmt: skip


class DateEncoder(Fitted):
    """A date: year, month, day, weekday, hour and the time since the first date of train, each in its zone.

    Month, weekday and hour are points on a circle (`…_sin`, `…_cos`); an hour has minutes and seconds as its
    fraction, and the first month and Monday stand at 0. Year, day of the month and elapsed days are scaled as
    numbers are. A part that is constant in train is left out, but for the elapsed time, so dates without times
    have no hour. Missing dates are replaced by the median date (the earlier one of two), and a last column
    flags them if train has any.
    """

    kind: Literal["date"] = "date"
    name: str
    encoding: NumberEncoding
    zone: str
    origin: int  # the first date of train, in microseconds since 1970 in UTC
    median: int  # likewise
    parts: tuple[str, ...]
    scales: tuple[NumberEncoder, ...]  # of the parts that are scaled, in order
    missing: int  # rows of train without a date
    flagged: bool  # whether there is a column for missing dates

    @classmethod
    def fit(cls, values: pd.Series, encoding: NumberEncoding) -> Self:
        """Learn the parts and their scales from `values` (datetime64[us] with a zone, NaT where missing)."""
        known = np.sort(instants_of(values.dropna()))
        origin, median = (int(known[0]), int(known[(len(known) - 1) // 2])) if len(known) else (0, 0)
        found = _parts(values.dropna(), origin)
        parts = tuple(part for part in PARTS if part == "elapsed" or _varies(found[part]))
        return cls(
            name=str(values.name),
            encoding=encoding,
            zone=str(values.dt.tz),
            origin=origin,
            median=median,
            parts=parts,
            scales=tuple(_scale_of(str(values.name), part, found[part], encoding) for part in parts if part in SCALED),
            missing=int(values.isna().sum()),
            flagged=bool(values.isna().any()),
        )

    def grow(self, values: pd.Series, rescale: bool) -> Self:
        """Add the parts that vary in `values` only, and keep the scales of the others unless `rescale` is set.

        Missing dates get a column if `values` have any. The first date of train stays where it is. If all of `values`
        are missing, there is nothing to scale by, and the scales are kept.
        """
        values, rescale = values.dt.tz_convert(self.zone), rescale and bool(values.notna().any())
        fitted = type(self).fit(values, self.encoding)
        found = _parts(values.dropna(), self.origin)
        parts = tuple(part for part in PARTS if part in (*self.parts, *fitted.parts))
        known = dict(zip([part for part in self.parts if part in SCALED], self.scales, strict=True))
        scales = tuple(
            known[part] if part in known and not rescale else _scale_of(self.name, part, found[part], self.encoding)
            for part in parts
            if part in SCALED
        )
        return self.model_copy(
            update={
                "parts": parts,
                "scales": scales,
                "missing": fitted.missing,
                "flagged": self.flagged or fitted.flagged,
                "median": fitted.median if rescale else self.median,
            }
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f"{self.name}={part}" for part in (*self.parts, *["missing"] * self.flagged))

    @property
    def width(self) -> int:
        """The number of columns of encoded rows."""
        return len(self.feature_names)

    @property
    def measured(self) -> tuple[int, ...]:
        """The columns, among its own, of measured numbers: the parts that are scaled."""
        return tuple(place for place, part in enumerate(self.parts) if part in SCALED)

    def encode(self, values: pd.Series) -> np.ndarray:
        """Map `values` to float32 (n_rows, len(feature_names))."""
        median = pd.Timestamp(self.median, unit="us", tz="UTC").as_unit("us")
        found = _parts(values.dt.tz_convert(self.zone).fillna(median.tz_convert(self.zone)), self.origin)
        scales = iter(self.scales)
        columns = [
            next(scales).encode(pd.Series(found[part]))[:, 0] if part in SCALED else found[part] for part in self.parts
        ]
        columns += [values.isna().to_numpy()] * self.flagged
        return np.column_stack(columns).astype(np.float32)

    def after(self, days: np.ndarray) -> pd.Series:
        """Give the dates that lie so many days (float64) after the first date of train; NaT for NaN."""
        instants = self.origin + np.nan_to_num(days * MICROSECONDS_A_DAY)
        return moments_of(instants.astype(np.int64), self.zone).mask(np.isnan(days))

    @property
    def elapsed(self) -> NumberEncoder:
        """The scale of the elapsed time, which is never left out."""
        return self.scales[-1]


def _parts(moments: pd.Series, origin: int) -> dict[str, np.ndarray]:
    """Compute all parts of dates, none of them missing: float64 (n_rows,) each."""
    clock = moments.dt
    steps = {
        "month": (clock.month - 1, 12),
        "weekday": (clock.weekday, 7),
        "hour": (clock.hour * 3600 + clock.minute * 60 + clock.second, DAY),
    }
    found = {
        "year": clock.year.to_numpy(np.float64),
        "day": clock.day.to_numpy(np.float64),
        "elapsed": (instants_of(moments) - origin) / MICROSECONDS_A_DAY,
    }
    for name, (step, length) in steps.items():
        found[f"{name}_sin"], found[f"{name}_cos"] = _circle(length)[:, step.to_numpy(np.int64)]
    return found


@cache
def _circle(length: int) -> np.ndarray:
    """Compute sine and cosine of each step of a cycle, alike on all rows: float64 (2, length)."""
    angles = [2 * math.pi * step / length for step in range(length)]
    return np.array([[math.sin(angle) for angle in angles], [math.cos(angle) for angle in angles]])


def _varies(values: np.ndarray) -> bool:
    return len(values) > 0 and bool(np.ptp(values) > 1e-6)  # sines of 0 and of half a circle are equal but for rounding


def _scale_of(name: str, part: str, values: np.ndarray, encoding: NumberEncoding) -> NumberEncoder:
    return NumberEncoder.fit(pd.Series(values, name=f"{name}={part}"), encoding)
