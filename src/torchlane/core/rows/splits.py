"""The split of rows into train, valid and test, and into folds."""

import logging

import numpy as np
import pandas as pd

from torchlane.core.options import DataOptions, SplitOptions
from torchlane.core.rows.checking import ROW
from torchlane.core.rows.ordered import cut_by_order, expanding_windows, order_of, periods_of, require_labels
from torchlane.core.rows.repeats import number_combinations, number_copies

logger = logging.getLogger(__name__)

PARTS = ("train", "valid", "test")
REPEATS = "repeats"  # key in the attrs of splits: how many rows repeat others, see `number_copies`


def split_rows(
    clean_rows: pd.DataFrame, data: DataOptions, options: SplitOptions, *, quiet: bool = False
) -> pd.DataFrame:
    """Assign each row to a part: columns `row` (int64) and `part` (train, valid or test).

    Copies of a row (same features, same target) share a part, and so do rows that agree in `options.group_by`.
    Rows that repeat others by chance are assigned one by one; `options.repeats` sets how to tell them from
    copies. In classification, all parts have about the same share of each class. With `options.order_by`, rows are
    assigned by that column alone.
    Unless the parts are given, `attrs["repeats"]` of the result holds how many repeat others.

    Raises:
        ValueError: a part would be empty, or a column that the options name is missing or has unsuitable values; or
            rows are in order and train lacks a label.
    """
    level = logging.DEBUG if quiet else logging.INFO
    _log_left_out(data, options, level)
    if options.part_column is not None:
        splits = _keep_parts(clean_rows, data, options, level)
    elif options.all_rows_in:
        parts = [pd.DataFrame({ROW: clean_rows[ROW], "part": part}) for part in options.all_rows_in]
        splits = pd.concat(parts, ignore_index=True)
    elif options.order_by is not None:
        splits = _split_in_order(clean_rows, data, options, options.order_by, level)
    else:
        groups, repeats = _group_rows(clean_rows, data, options, level)
        splits = _split(clean_rows, groups, data, options, level)
        splits.attrs[REPEATS] = repeats
    _require_weight(clean_rows, splits, data)
    return splits


def fold_rows(
    clean_rows: pd.DataFrame, data: DataOptions, options: SplitOptions, folds: int, seed: int
) -> list[pd.DataFrame]:
    """Split `folds` times as `split_rows` does, such that each row is in test exactly once.

    Valid is a fraction of the rows outside test. Rows that `options.part_column` puts into test are left out.
    With `options.order_by`, folds are the windows of `expanding_windows`: the earliest rows are never in test, a
    fold lacks the rows later than its test, and its valid is the latest of the others.

    Raises:
        ValueError: there are fewer distinct rows than folds, or fewer of some class; or too few values of an order.
    """
    if options.part_column is not None:
        clean_rows = clean_rows[(_given_parts(clean_rows, data, options) != "test").to_numpy()].reset_index(drop=True)
    if options.order_by is not None:
        return _fold_in_order(clean_rows, data, options, options.order_by, folds)
    groups, _ = _group_rows(clean_rows, data, options, logging.DEBUG)
    _require_folds(groups, clean_rows[data.target] if data.task != "regression" else None, folds)
    position = _deal(groups, _strata(clean_rows, data, options), np.random.default_rng(seed))
    fold = np.minimum(folds - 1, (position * folds).astype(np.int64))
    within = options.model_copy(update={"test_fraction": 0.0, "seed": seed})
    each = []
    for number in range(folds):
        rest = fold != number
        held_out = pd.DataFrame({ROW: clean_rows.loc[~rest, ROW], "part": "test"})
        splits = _split(clean_rows[rest].reset_index(drop=True), groups[rest], data, within, logging.DEBUG)
        each.append(pd.concat([splits, held_out], ignore_index=True))
        _require_weight(clean_rows, each[-1], data)
    return each


def rows_of(part: str, clean_rows: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of a part, in the order of `splits`."""
    return clean_rows.set_index(ROW).loc[splits.loc[splits["part"] == part, ROW]].reset_index()


def _split(
    clean_rows: pd.DataFrame, groups: np.ndarray, data: DataOptions, options: SplitOptions, level: int
) -> pd.DataFrame:
    """Cut test and valid from the rows, and keep the rows of a group together."""
    position = _deal(groups, _strata(clean_rows, data, options), np.random.default_rng(options.seed))
    splits = pd.DataFrame({ROW: clean_rows[ROW], "part": _cut(position, options)})
    _require_rows(splits, options)
    logger.log(level, "split: %s", _counts(splits))
    return splits


def _split_in_order(
    clean_rows: pd.DataFrame, data: DataOptions, options: SplitOptions, by: str, level: int
) -> pd.DataFrame:
    """Cut test and valid from the latest rows."""
    splits = pd.DataFrame({ROW: clean_rows[ROW], "part": cut_by_order(order_of(clean_rows, data, by), options)})
    copies, splits.attrs[REPEATS] = number_copies(clean_rows[compared_columns(data)], options.repeats)
    parted = splits["part"].groupby(copies).transform("nunique") > 1
    if parted.any():
        logger.warning(
            "split: %d rows are copies of rows in another part; they stay where split.order_by '%s' puts them",
            parted.sum(), by,
        )  # fmt: skip
    require_labels(clean_rows, splits, data, by)
    periods = ", ".join(f"{part} {' to '.join(ends)}" for part, ends in periods_of(clean_rows, splits, by).items())
    logger.log(level, "split: %s; in the order of '%s': %s", _counts(splits), by, periods)
    return splits


def _fold_in_order(
    clean_rows: pd.DataFrame, data: DataOptions, options: SplitOptions, by: str, folds: int
) -> list[pd.DataFrame]:
    order = order_of(clean_rows, data, by)
    within = options.model_copy(update={"test_fraction": 0.0})
    each = []
    for before, test in expanding_windows(order, options, folds):
        parts = np.concatenate([cut_by_order(order[before], within), np.full(len(test), "test")])
        each.append(pd.DataFrame({ROW: clean_rows[ROW].to_numpy()[np.concatenate([before, test])], "part": parts}))
        _require_weight(clean_rows, each[-1], data)
    return each


def _given_parts(clean_rows: pd.DataFrame, data: DataOptions, options: SplitOptions) -> pd.Series:
    """Read the part of each row in `options.part_column`."""
    name = str(options.part_column)
    if name not in clean_rows:
        raise ValueError(f"split.part_column '{name}' is not among data.columns: {', '.join(data.columns)}")
    dates = pd.api.types.is_datetime64_any_dtype(clean_rows[name])
    if dates or pd.api.types.is_numeric_dtype(clean_rows[name]):
        raise ValueError(
            f"split.part_column '{name}' is declared as a {'date' if dates else 'number'}, which cannot say "
            f"{', '.join(PARTS)}; set data.columns.{name}.kind to category, or name another column"
        )
    parts = clean_rows[name].str.lower()
    unknown = sorted(set(parts.fillna("(missing)")) - set(PARTS))
    if unknown:
        raise ValueError(f"split.part_column '{name}' holds {', '.join(unknown)}; it may say {', '.join(PARTS)}")
    return parts


def _keep_parts(clean_rows: pd.DataFrame, data: DataOptions, options: SplitOptions, level: int) -> pd.DataFrame:
    """Take the parts from `options.part_column`, and cut valid from train if the column does not name it."""
    parts = _given_parts(clean_rows, data, options)
    splits = pd.DataFrame({ROW: clean_rows[ROW], "part": parts.to_numpy(str)})
    parted = parts.groupby(number_combinations(clean_rows[compared_columns(data)])).transform("nunique") > 1
    if parted.any():
        logger.warning(
            "split: %d rows repeat rows that split.part_column '%s' puts into another part",
            parted.sum(), options.part_column,
        )  # fmt: skip
    if options.valid_fraction and not (parts == "valid").any():
        of_train = (parts == "train").to_numpy()
        train_rows = clean_rows[of_train].reset_index(drop=True)
        cut = options.model_copy(update={"test_fraction": 0.0})
        if options.order_by is not None:
            splits.loc[of_train, "part"] = cut_by_order(order_of(train_rows, data, options.order_by), cut)
        else:
            groups, _ = _group_rows(train_rows, data, options, level)
            position = _deal(groups, _strata(train_rows, data, cut), np.random.default_rng(cut.seed))
            splits.loc[of_train, "part"] = _cut(position, cut)
    _require_rows(splits, options.model_copy(update={"test_fraction": 0.0}))
    logger.log(level, "split: %s; parts taken from column '%s'", _counts(splits), options.part_column)
    return splits


def _strata(rows: pd.DataFrame, data: DataOptions, options: SplitOptions) -> np.ndarray:
    """Number the classes that all parts should have in equal shares: int64 (n_rows,).

    The commoner label of a binary task comes first, so that the split does not depend on what the labels are called.
    """
    if options.stratify and data.task != "regression":
        codes = pd.factorize(rows[data.target], sort=True)[0]
        if data.task == "binary":
            rank = np.argsort(np.argsort(-np.bincount(codes), kind="stable"))
            return rank[codes]
        return codes
    return np.zeros(len(rows), dtype=np.int64)


def _counts(splits: pd.DataFrame) -> str:
    return ", ".join(f"{part} {(splits['part'] == part).sum()}" for part in PARTS)


def compared_columns(data: DataOptions) -> list[str]:
    """Name the columns in which copies agree: everything that the model sees."""
    return [*data.feature_columns, data.target]


def _log_left_out(data: DataOptions, options: SplitOptions, level: int) -> None:
    left_out = [name for name in options.columns if name not in compared_columns(data)]
    if left_out:
        names = ", ".join(left_out)
        logger.log(level, "features: without %s, which the split uses; name it in data.features to keep it", names)


def _group_rows(
    clean_rows: pd.DataFrame, data: DataOptions, options: SplitOptions, level: int
) -> tuple[np.ndarray, dict[str, int]]:
    """Number the groups of rows that must stay together, int64 (n_rows,), and count the repeats among them."""
    for name in options.group_by:
        if name not in clean_rows:
            raise ValueError(
                f"split.group_by names '{name}', which is not among data.columns: {', '.join(data.columns)}"
            )
    copies, repeats = number_copies(clean_rows[compared_columns(data)], options.repeats)
    logger.log(
        level, "split: %d of %d rows repeat others: %d as copies, kept together; %d by chance, dealt one by one%s",
        sum(repeats.values()), len(clean_rows), *repeats.values(),
        "" if options.repeats == "auto" else f" (split.repeats: {options.repeats})",
    )  # fmt: skip
    if not options.group_by:
        return copies, repeats
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # Rows are connected if they share a group of either kind, directly or through other rows.
    named = number_combinations(clean_rows[list(options.group_by)])
    first_named = copies.max() + 1
    links = coo_array((np.ones(len(copies)), (copies, first_named + named)), shape=2 * (first_named + named.max() + 1,))
    return connected_components(links, directed=False)[1][copies], repeats


def _deal(groups: np.ndarray, strata: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw a position in [0, 1) for each row, float64 (n_rows,), evenly spread within each stratum.

    The rows of a group share the position of its middle, so that a part cut from the positions comes as close
    to its share as possible. A group belongs to the stratum of its first row.
    """
    _, first_row, group, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    position = np.empty(len(sizes))
    for stratum in np.unique(strata):
        members = random.permutation(np.flatnonzero(strata[first_row] == stratum))
        position[members] = (np.cumsum(sizes[members]) - sizes[members] / 2) / sizes[members].sum()
    return position[group]


def _cut(position: np.ndarray, options: SplitOptions) -> np.ndarray:
    """Assign positions to parts: first test, then valid, then train."""
    held_out = options.test_fraction + options.valid_fraction
    return np.select([position < options.test_fraction, position < held_out], ["test", "valid"], "train").astype(str)


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


def _require_weight(clean_rows: pd.DataFrame, splits: pd.DataFrame, data: DataOptions) -> None:
    """Check that each part with rows has one whose weight is above 0."""
    if data.weight is None:
        return
    weights = clean_rows.set_index(ROW)[data.weight]
    for part, rows in splits.groupby("part", sort=False)[ROW]:
        if not (weights.loc[rows] > 0).any():
            raise ValueError(
                f"all {len(rows)} rows of {part} have weight 0 in column '{data.weight}', so nothing counts there; "
                f"set another split.seed or fraction, correct the column, or leave out data.weight"
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
