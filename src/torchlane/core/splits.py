"""Which row goes into which part."""

import logging

import numpy as np
import pandas as pd

from torchlane.core.options import DataOptions, SplitOptions
from torchlane.core.rows import ROW

logger = logging.getLogger(__name__)

PARTS = ("train", "valid", "test")


def split_rows(
    clean_rows: pd.DataFrame, data: DataOptions, options: SplitOptions, *, quiet: bool = False
) -> pd.DataFrame:
    """Give each row its part: columns `row` (int64) and `part` (train, valid or test).

    Rows that the model cannot tell apart (same features, same target) share a part, and so do rows
    that agree in `options.group_by`. For classes each part holds about the same share of each.

    Raises:
        ValueError: a part that should hold rows holds none.
    """
    rows = clean_rows[ROW]
    if options.part_column is not None:
        return _keep_parts(clean_rows, data, options)
    if options.all_rows_in:
        return pd.concat([pd.DataFrame({ROW: rows, "part": part}) for part in options.all_rows_in], ignore_index=True)

    groups = _group_rows(clean_rows, data, options)
    parts = _cut(_deal(groups, _strata(clean_rows, data, options), np.random.default_rng(options.seed)), options)
    splits = pd.DataFrame({ROW: rows, "part": parts})
    _require_rows(splits, options)
    level = logging.DEBUG if quiet else logging.INFO
    logger.log(level, "split: %s; %d rows repeat others", _counts(splits), len(rows) - len(np.unique(groups)))
    return splits


def fold_rows(
    clean_rows: pd.DataFrame, data: DataOptions, options: SplitOptions, folds: int, seed: int
) -> list[pd.DataFrame]:
    """Split as `split_rows` does, `folds` times, such that each row stands in test once.

    Valid takes its fraction of the rows outside test.

    Raises:
        ValueError: there are fewer rows that differ than folds, or fewer of some class.
    """
    groups = _group_rows(clean_rows, data, options)
    strata = _strata(clean_rows, data, options)
    _require_folds(groups, clean_rows[data.target] if data.task != "regression" else None, folds)
    fold = np.minimum(folds - 1, (_deal(groups, strata, np.random.default_rng(seed)) * folds).astype(np.int64))
    within = options.model_copy(update={"test_fraction": 0.0, "all_rows_in": (), "part_column": None, "seed": seed})
    each = []
    for number in range(folds):
        held_out = pd.DataFrame({ROW: clean_rows[ROW][fold == number], "part": "test"})
        splits = split_rows(clean_rows[fold != number].reset_index(drop=True), data, within, quiet=True)
        each.append(pd.concat([splits, held_out], ignore_index=True))
    return each


def rows_of(part: str, clean_rows: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of a part, in the order of `splits`."""
    return clean_rows.set_index(ROW).loc[splits.loc[splits["part"] == part, ROW]].reset_index()


def _keep_parts(clean_rows: pd.DataFrame, data: DataOptions, options: SplitOptions) -> pd.DataFrame:
    """Take the parts as `options.part_column` gives them, and cut valid from train where it gives none."""
    name = str(options.part_column)
    if name not in clean_rows:
        raise ValueError(f"split.part_column '{name}' is not among data.columns: {', '.join(data.columns)}")
    parts = clean_rows[name].str.lower()
    unknown = sorted(set(parts.fillna("(missing)")) - set(PARTS))
    if unknown:
        raise ValueError(f"split.part_column '{name}' holds {', '.join(unknown)}; it may say {', '.join(PARTS)}")
    splits = pd.DataFrame({ROW: clean_rows[ROW], "part": parts.to_numpy(str)})
    if options.valid_fraction and not (splits["part"] == "valid").any():
        cut = options.model_copy(update={"part_column": None, "test_fraction": 0.0})
        train_rows = clean_rows[(splits["part"] == "train").to_numpy()]
        groups = _group_rows(train_rows, data, cut)
        place = _deal(groups, _strata(train_rows, data, cut), np.random.default_rng(cut.seed))
        splits.loc[splits["part"] == "train", "part"] = _cut(place, cut)
    _require_rows(splits, options.model_copy(update={"test_fraction": 0.0}))
    logger.info("split: %s; parts as '%s' gives them", _counts(splits), name)
    return splits


def _strata(rows: pd.DataFrame, data: DataOptions, options: SplitOptions) -> np.ndarray:
    """Number the classes, of which each part is to hold about the same share: int64 (n_rows,)."""
    if options.stratify and data.task != "regression":
        return pd.factorize(rows[data.target], sort=True)[0]
    return np.zeros(len(rows), dtype=np.int64)


def _counts(splits: pd.DataFrame) -> str:
    return ", ".join(f"{part} {(splits['part'] == part).sum()}" for part in PARTS)


def _group_rows(clean_rows: pd.DataFrame, data: DataOptions, options: SplitOptions) -> np.ndarray:
    """Number the groups of rows that must stay together: int64 (n_rows,)."""
    for name in options.group_by:
        if name not in clean_rows:
            raise ValueError(
                f"split.group_by names '{name}', which is not among data.columns: {', '.join(data.columns)}"
            )
    repeats = clean_rows.groupby([*data.feature_columns, data.target], dropna=False, sort=False).ngroup().to_numpy()
    if not options.group_by:
        return repeats
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # Rows hang together when they share a group of either kind, directly or through other rows.
    named = clean_rows.groupby(list(options.group_by), dropna=False, sort=False).ngroup().to_numpy()
    first_named = repeats.max() + 1
    links = coo_array(
        (np.ones(len(repeats)), (repeats, first_named + named)), shape=2 * (first_named + named.max() + 1,)
    )
    return connected_components(links, directed=False)[1][repeats]


def _deal(groups: np.ndarray, strata: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Give each row a place in [0, 1), float64 (n_rows,), whole groups together and even within each stratum.

    A group counts for the stratum of its first row, and stands where its middle does, so that each part
    cut from the places comes as close to its share as can be.
    """
    numbers, first_row, sizes = np.unique(groups, return_index=True, return_counts=True)
    place = np.empty(len(numbers))
    for stratum in np.unique(strata):
        members = random.permutation(np.flatnonzero(strata[first_row] == stratum))
        place[members] = (np.cumsum(sizes[members]) - sizes[members] / 2) / sizes[members].sum()
    return place[groups]


def _cut(place: np.ndarray, options: SplitOptions) -> np.ndarray:
    """Name the part of each place: test, valid, train one after another."""
    held_out = options.test_fraction + options.valid_fraction
    return np.select([place < options.test_fraction, place < held_out], ["test", "valid"], "train").astype(str)


def _require_folds(groups: np.ndarray, labels: pd.Series | None, folds: int) -> None:
    n_groups = len(np.unique(groups))
    if folds > n_groups:
        raise ValueError(
            f"evaluation.folds {folds} is more than the {n_groups} rows that differ; set fewer folds or give more rows"
        )
    if labels is not None:
        counts = pd.Series(groups).groupby(labels.to_numpy()).nunique()
        if folds > counts.min():
            raise ValueError(
                f"evaluation.folds {folds} is more than the {counts.min()} rows that differ of the smallest class, "
                f"'{counts.idxmin()}'; set fewer folds or give more rows of it"
            )


def _require_rows(splits: pd.DataFrame, options: SplitOptions) -> None:
    shares = {"train": 1.0, "valid": options.valid_fraction, "test": options.test_fraction}
    for part, share in shares.items():
        if share and not (splits["part"] == part).any():
            raise ValueError(
                f"the split leaves no row for {part}: {len(splits)} rows, valid_fraction "
                f"{options.valid_fraction:g}, test_fraction {options.test_fraction:g}; "
                f"set another fraction or give more rows that differ"
            )
