"""The new rows of fine-tuning: read, checked and split as the parent requires."""

import logging

import pandas as pd

from torchlane.core.encoding.spelling import respelt_columns
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import ColumnOptions, DataOptions, FineTuningOptions, SplitOptions
from torchlane.core.rows.checking import check_rows, place_of
from torchlane.core.rows.splits import split_rows
from torchlane.core.transfer.growth import check_task

logger = logging.getLogger(__name__)


def data_for(parent: TrainedModel, data: DataOptions, options: FineTuningOptions) -> DataOptions:
    """Build the options by which new rows are read.

    The features are the parent's. Each is read by the rules of `data`, or by the parent's if `data` has none.

    Raises:
        ValueError: `data` declares a feature of the parent with another kind or size, the target is one of
            the parent's features, or the parent has another task.
    """
    check_task(parent.encoder.target, data, options.head)
    columns: dict[str, ColumnOptions] = dict(data.columns)
    for name, known in parent.data.feature_columns.items():
        declared = columns.setdefault(name, known)
        if (declared.kind, declared.size) != (known.kind, known.size):
            raise ValueError(
                f"'{name}' is {_kind_of(known)} for the parent, but {_kind_of(declared)} in data.columns; "
                f"set another fine_tuning.parent, or convert the column and declare it as the parent does"
            )
    if data.target in parent.data.feature_columns:
        raise ValueError(f"the target '{data.target}' is a feature of the parent; set another fine_tuning.parent")
    changes = {
        "columns": {name: column.model_dump() for name, column in columns.items()},
        "features": tuple(parent.data.feature_columns),
        "source": options.source,
        "digest": options.digest,
    }
    return DataOptions.model_validate({**data.model_dump(), **changes})


def check_new_rows(
    new_rows: pd.DataFrame, parent: TrainedModel, data: DataOptions, options: FineTuningOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Separate clean rows from rejected ones, as `torchlane.core.rows.checking.check_rows` does.

    Raises:
        ValueError: a column that the parent needs is missing, no row is left, there are fewer rows than
            classes, or all rows have the same class.
    """
    for name in parent.data.feature_columns:
        if name not in new_rows:
            raise ValueError(
                f"column '{name}' is missing in {place_of(new_rows)}, and the parent needs it; the file has "
                f"{', '.join(map(str, new_rows.columns))}; add the column, or set another fine_tuning.parent"
            )
    adapted = data_for(parent, data, options)
    clean, rejected = check_rows(new_rows, adapted)
    for respelling in respelt_columns(parent.encoder, clean):
        logger.warning("%s: %s", place_of(new_rows), respelling)
    if data.task != "regression":
        found = sorted(set(clean[data.target]))
        if len(found) == 1:
            raise ValueError(
                f"all rows of {place_of(new_rows)} have the same class, {data.target} '{found[0]}', so nothing "
                f"can be learned; add rows of another class"
            )
        known = parent.encoder.target.labels if options.head == "grow" else ()
        n_classes = len({*found, *known})
        if len(clean) < n_classes:
            raise ValueError(
                f"{place_of(new_rows)} has {len(clean)} rows for {n_classes} classes of the model; give at least "
                f"one row for each class, or set fine_tuning.head: trim, which keeps only the classes of the new rows"
            )
    return clean, rejected


def split_new_rows(
    clean_rows: pd.DataFrame, data: DataOptions, split: SplitOptions, options: FineTuningOptions, repeat: int = 0
) -> pd.DataFrame:
    """Assign each new row to a part, by the fractions of `options`. Each repeat is a new random split."""
    return split_rows(clean_rows, data, split_for(split, options, repeat), quiet=repeat > 0)


def split_for(split: SplitOptions, options: FineTuningOptions, repeat: int = 0) -> SplitOptions:
    """Build the options by which new rows are split: those of `split`, with the fractions and the seed of `options`."""
    fractions = {"valid_fraction": options.valid_fraction, "test_fraction": options.test_fraction}
    own = {**fractions, "seed": options.seed + repeat, "part_column": None, "all_rows_in": ()}
    return split.model_copy(update=own)


def _kind_of(column: ColumnOptions) -> str:
    return f"an image of {' x '.join(map(str, column.size))}" if column.size else f"a {column.kind}"
