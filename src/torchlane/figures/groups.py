"""Rows in groups: by label, by level of a category, or by range of a number or a date."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, Scatter

from torchlane.core.judging.shares import bins_of
from torchlane.core.rows.levels import declared_order
from torchlane.figures.style import COLOURS, escaped, label_axis

MOST_GROUPS = 20
RANGES = 5
MISSING = "missing"


@dataclass(frozen=True)
class Groups:
    """The groups of some rows by a column.

    `names` (n_groups,) are plain text, and `places`, int64 (n_rows,), the group of each row, -1 if it is in none.
    """

    column: str
    names: list[str]
    places: np.ndarray

    @classmethod
    def of_levels(cls, values: pd.Series, column: str, order: Sequence[str] = ()) -> "Groups":
        """Group by level, those in `order` first and missing values last; the 20 levels with most rows are kept."""
        told = values.astype(object).where(values.notna(), MISSING).map(str)
        common = {*told.value_counts().index[:MOST_GROUPS]}
        last = [MISSING] if MISSING in common and values.isna().any() else []
        names = [*declared_order(common - {*last}, order), *last]
        return cls(column, names, pd.Index(names).get_indexer(pd.Index(told)))

    @classmethod
    def of_ranges(cls, values: pd.Series, column: str) -> "Groups":
        """Group numbers or dates (with a zone) by fifths of about equally many rows, and missing ones last."""
        absent = values.isna().to_numpy()
        known = values[~absent]
        if is_date := known.dtype.kind == "M":
            known = known.dt.tz_localize(None).astype("datetime64[s]").astype(np.int64)
        inside, ends = bins_of(known.to_numpy(np.float64), RANGES)
        shown = [str(np.datetime64(int(end), "s"))[:10] if is_date else f"{end:,.4g}" for end in ends]
        names = [f"{low} to {high}" for low, high in pairwise(shown)]
        places = np.full(len(values), len(names))
        places[~absent] = inside
        return cls(column, [*names, *[MISSING] * bool(absent.any())], places)

    @classmethod
    def of_labels(cls, truths: np.ndarray, labels: Iterable[str], column: str) -> "Groups":
        """Group rows by their label, text (n_rows,), in the order of `labels`."""
        names = list(labels)
        return cls(column, names, pd.Index(names).get_indexer(pd.Index(truths)))

    @property
    def rows(self) -> np.ndarray:
        """The number of rows of each group, int64 (n_groups,)."""
        return np.bincount(self.places[self.places >= 0], minlength=len(self.names))

    @property
    def height(self) -> int:
        """The pixels that a panel with a line for each group takes."""
        return int(np.clip(60 + 26 * len(self.names), 110, 560))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Add up values (n_rows,) by group: float64 (n_groups,)."""
        known = self.places >= 0
        return np.bincount(self.places[known], values[known], len(self.names))

    def lowest(self, values: np.ndarray, most: int = MOST_GROUPS) -> "Groups":
        """Keep the `most` groups with the lowest values (n_groups,), in their order; NaN counts as the highest."""
        if len(self.names) <= most:
            return self
        kept = np.sort(np.argsort(values, kind="stable")[:most])
        places = pd.Index(kept).get_indexer(pd.Index(self.places))
        return Groups(self.column, [self.names[place] for place in kept], places)

    def add_to(
        self, figure: Figure, row: int, values: np.ndarray, low: np.ndarray, high: np.ndarray, name: str, hover: str
    ) -> None:
        """Draw in a row of panels a point for each group that has rows, with a bar from `low` to `high`.

        `values`, `low` and `high` are float64 (n_groups,), and `name` is the title of their axis.
        """
        filled = np.flatnonzero(self.rows > 0)
        bars = {"array": (high - values)[filled], "arrayminus": (values - low)[filled], "thickness": 1.5}
        trace = Scatter(
            x=values[filled],
            y=filled,
            mode="markers",
            marker={"color": COLOURS["test"], "size": 8},
            error_x={"type": "data", "symmetric": False, **bars},
            customdata=[[escaped(self.names[place]), f"{self.rows[place]:,}"] for place in filled],
            hovertemplate=f"%{{customdata[0]}}<br>{hover}<br>%{{customdata[1]}} rows<extra></extra>",
            showlegend=False,
        )
        figure.add_trace(trace, row=row, col=1)
        figure.update_yaxes(**label_axis(self.names, downwards=True), row=row)
        figure.update_xaxes(title_text=name, row=row)
