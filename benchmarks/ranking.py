"""Methods over many tables: ranks, normalised scores, times, and how far one is behind the best boosted trees.

Scores are a line a table, method and seed, with the columns `table`, `task`, `method`, `seed`, `train`, `valid` and
`test` (numbers of rows), `score` (higher is better), `second` (lower is better), `seconds` and `processor_seconds`.
"""

import pandas as pd

from torchlane.core.judging.cross_validation import summarise_folds

BOOSTED = ("LightGBM", "CatBoost", "XGBoost", "HistGradientBoosting")
UNIT = "LightGBM"  # whose time is 1


def complete(scores: pd.DataFrame) -> pd.DataFrame:
    """Leave out what a method has on a table if it lacks a seed there that another has."""
    n_seeds = scores.groupby("table")["seed"].transform("nunique")
    return scores[scores.groupby(["table", "method"])["seed"].transform("nunique") == n_seeds]


def means(scores: pd.DataFrame, column: str = "score") -> pd.DataFrame:
    """Average a column over seeds: tables by methods, NaN where a method has not been run."""
    return scores.pivot_table(index="table", columns="method", values=column, aggfunc="mean", sort=False)


def ranks(values: pd.DataFrame, ascending: bool = False) -> pd.DataFrame:
    """Rank the methods of each table, 1 for the best; those equal but for rounding share the mean of their ranks."""
    return values.round(10).rank(axis=1, ascending=ascending)


def normalised(values: pd.DataFrame) -> pd.DataFrame:
    """Put 0 at the worst method of each table and 1 at the best; 1 for all where they are equal."""
    low, high = values.min(axis=1), values.max(axis=1)
    span = (high - low).where(high > low)
    return values.sub(low, axis=0).div(span, axis=0).mask(values.notna() & span.isna().to_numpy()[:, None], 1.0)


def medians(scores: pd.DataFrame, column: str) -> pd.DataFrame:
    """Give the median of a column over seeds: tables by methods."""
    return scores.pivot_table(index="table", columns="method", values=column, aggfunc="median", sort=False)


def times(scores: pd.DataFrame, column: str = "seconds") -> pd.DataFrame:
    """Give the median time of a fit as a multiple of LightGBM's: tables by methods."""
    found = medians(scores, column)
    return found.div(found[UNIT], axis=0) if UNIT in found else found * float("nan")


def over_tables(scores: pd.DataFrame) -> pd.DataFrame:
    """Summarise each method over the tables that it has, the best mean rank first.

    The columns are `tables`, `rank` and `normalised` (means of the primary metric), `log_loss_rank` (mean over
    classification tables), `time` and `processor_time` (medians, LightGBM's being 1).
    """
    scores = complete(scores)
    values = means(scores)
    classified = scores[scores["task"] != "regression"]
    found = {
        "tables": values.notna().sum(),
        "rank": ranks(values).mean(),
        "normalised": normalised(values).mean(),
        "log_loss_rank": ranks(means(classified, "second"), ascending=True).mean() if len(classified) else float("nan"),
        "time": times(scores).median(),
        "processor_time": times(scores, "processor_seconds").median(),
    }
    return pd.DataFrame(found, index=values.columns).sort_values("rank", kind="stable")


def behind_boosted(scores: pd.DataFrame, method: str) -> pd.DataFrame:
    """Compare a method with the boosted trees that are best on each table.

    A line has the `best` of them, by how much the method is `ahead` of it, and the 95 % interval of that, `low` to
    `high`, paired over seeds. It allows for seeds that share rows (see `summarise_folds`), and is NaN for one seed.
    """
    scores = complete(scores)
    values = means(scores)
    rivals = [name for name in BOOSTED if name in values]
    lines = []
    for table in values.index[values[method].notna()] if method in values and rivals else ():
        if values.loc[table, rivals].isna().all():
            continue
        best = values.loc[table, rivals].idxmax()
        of_table = scores[scores["table"] == table]
        each = of_table.pivot(index="seed", columns="method", values="score")
        pairs = of_table[of_table["method"] == method].set_index("seed")[["train", "valid", "test"]]
        pairs = pairs.assign(repeat=pairs.index, fold=0, ahead=each[method] - each[best])
        found = summarise_folds(pairs.reset_index(drop=True)).get("ahead", {})
        nothing = float("nan")
        ahead = values.loc[table, method] - values.loc[table, best]
        lines.append({"table": table, "best": best, "ahead": ahead,
                      "low": found.get("low", nothing), "high": found.get("high", nothing)})  # fmt: skip
    return pd.DataFrame(lines, columns=["table", "best", "ahead", "low", "high"])
