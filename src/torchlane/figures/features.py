"""Which features figures are about: the strongest ones first."""

import pandas as pd

from torchlane.core.options import DataOptions
from torchlane.core.rows.checking import ROW
from torchlane.figures.groups import Groups

GROUPING = ("category", "number", "date")  # kinds of a feature whose groups are drawn, the preferred first


def strongest(feature_importances: pd.DataFrame, data: DataOptions) -> list[str]:
    """List the features by their importance, and behind them those that have none, in the order of the model."""
    known = set(data.feature_columns)
    ranked = [name for name in map(str, feature_importances["feature"]) if name in known]
    return list(dict.fromkeys([*ranked, *data.feature_columns]))


def strongest_numbers(feature_importances: pd.DataFrame, data: DataOptions) -> list[tuple[str, str | None]]:
    """List the features that are numbers with their units, the strongest first."""
    columns = data.feature_columns
    return [
        (name, columns[name].unit) for name in strongest(feature_importances, data) if columns[name].kind == "number"
    ]


def group_by_strongest(
    rows: pd.Series, clean_rows: pd.DataFrame, feature_importances: pd.DataFrame, data: DataOptions
) -> Groups | None:
    """Group rows, given by their number, by the strongest category, or else number, or else date; None without any."""
    columns = data.feature_columns
    order = strongest(feature_importances, data)
    for kind in GROUPING:
        for name in (each for each in order if columns[each].kind == kind):
            values = clean_rows[[ROW, name]].set_index(ROW)[name].reindex(rows).reset_index(drop=True)
            if kind == "category":
                return Groups.of_levels(values, name, columns[name].level_order)
            return Groups.of_ranges(values, name)
    return None
