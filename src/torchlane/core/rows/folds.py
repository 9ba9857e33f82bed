"""Folds of rows for cross-validation, and a check that each can be trained and scored."""

import logging

import pandas as pd

from torchlane.core.options import DataOptions, EvaluationOptions, SplitOptions
from torchlane.core.rows.checking import ROW
from torchlane.core.rows.levels import natural_order
from torchlane.core.rows.splits import fold_rows

logger = logging.getLogger(__name__)


def deal_folds(
    clean_rows: pd.DataFrame,
    data: DataOptions,
    split: SplitOptions,
    evaluation: EvaluationOptions,
    *,
    quiet: bool = False,
) -> list[pd.DataFrame]:
    """Split the rows into folds, repeat by repeat, with another seed for each repeat.

    Raises:
        ValueError: as for `fold_rows`; or there are repeats of folds that `split.order_by` makes, which are the same.
    """
    if not evaluation.folds:
        return []
    if split.order_by is not None and evaluation.repeats > 1:
        raise ValueError(
            f"evaluation.repeats {evaluation.repeats}: split.order_by '{split.order_by}' makes the folds, so each "
            f"repeat would be the same; set evaluation.repeats to 1, and more folds if you want more"
        )
    folds = [
        splits
        for repeat in range(evaluation.repeats)
        for splits in fold_rows(clean_rows, data, split, evaluation.folds, split.seed + repeat)
    ]
    n_rows = max(map(len, folds))
    if split.order_by is not None and not quiet:
        logger.info(
            "folds: %d windows in the order of '%s', each learned from all rows before it; test has %s rows",
            len(folds), split.order_by, ", ".join(str((each["part"] == "test").sum()) for each in folds),
        )  # fmt: skip
    if n_rows < len(clean_rows) and not quiet:
        logger.info(
            "folds: made from %d rows; the other %d rows are left out, since '%s' puts them into test",
            n_rows, len(clean_rows) - n_rows, split.part_column,
        )  # fmt: skip
    return folds


def require_folds(
    clean_rows: pd.DataFrame, data: DataOptions, split: SplitOptions, evaluation: EvaluationOptions
) -> None:
    """Check that every fold can be trained and scored, which costs nothing yet.

    Raises:
        ValueError: there are fewer distinct rows than folds, or fewer of some class; or the train part of a fold
            has no row or lacks a label.
    """
    folds = deal_folds(clean_rows, data, split, evaluation, quiet=True)
    label = clean_rows.set_index(ROW)[data.target]
    for number, splits in enumerate(folds if data.task != "regression" else []):
        labels = splits[ROW].map(label)
        in_train = splits["part"] == "train"
        lacking = natural_order(set(labels[~in_train]) - set(labels[in_train]))
        if lacking:
            repeat, fold = divmod(number, evaluation.folds)
            raise ValueError(
                f"evaluation.folds {evaluation.folds}: train lacks the label {', '.join(lacking)} of "
                f"'{data.target}' in fold {fold + 1} of repeat {repeat + 1}; give more rows of it, or {_way_out(split)}"
            )


def _way_out(split: SplitOptions) -> str:
    return "set more folds or another split.seed" if split.order_by is None else "set fewer folds"
