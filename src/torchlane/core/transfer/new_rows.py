"""The new rows of fine-tuning: how they are read, checked and split, given what the parent knows."""

import pandas as pd

from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import ColumnOptions, DataOptions, FineTuningOptions, SplitOptions
from torchlane.core.rows.checking import check_rows, place_of
from torchlane.core.rows.splits import split_rows
from torchlane.core.transfer.growth import check_task


def data_for(parent: TrainedModel, data: DataOptions, options: FineTuningOptions) -> DataOptions:
    """Say how new rows are read: the parent's features by the rules of `data`, or by the parent's where it has none.

    Raises:
        ValueError: a feature of the parent is declared with another kind or size, or the parent's task is another.
    """
    check_task(parent.encoder.target, data, options.head)
    columns: dict[str, ColumnOptions] = dict(data.columns)
    for name, known in parent.data.feature_columns.items():
        declared = columns.setdefault(name, known)
        if (declared.kind, declared.size) != (known.kind, known.size):
            raise ValueError(
                f"the parent takes '{name}' as {_kind_of(known)}, and data.columns declares {_kind_of(declared)}; "
                f"name another fine_tuning.parent, or bring the new rows into that form"
            )
    if data.target in parent.data.feature_columns:
        raise ValueError(f"the target '{data.target}' is a feature of the parent; name another fine_tuning.parent")
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
    """Part clean rows from rejected ones, as `torchlane.core.rows.checking.check_rows` does.

    Raises:
        ValueError: a column that the parent needs is missing, no row is left, there are fewer rows than classes,
            or one class alone.
    """
    for name in parent.data.feature_columns:
        if name not in new_rows:
            raise ValueError(
                f"column '{name}' is missing in {place_of(new_rows)}, and the parent needs it; its columns are "
                f"{', '.join(map(str, new_rows.columns))}; add it, or name another fine_tuning.parent"
            )
    adapted = data_for(parent, data, options)
    clean, rejected = check_rows(new_rows, adapted)
    if data.task != "regression":
        found = sorted(set(clean[data.target]))
        if len(found) == 1:
            raise ValueError(
                f"{place_of(new_rows)} holds one class only, {data.target} '{found[0]}', so nothing can be told from "
                f"it; give rows of at least two classes"
            )
        known = parent.encoder.target.labels if options.head == "grow" else ()
        n_classes = len({*found, *known})
        if len(clean) < n_classes:
            raise ValueError(
                f"{place_of(new_rows)} has {len(clean)} rows and the model {n_classes} classes; give at least as many "
                f"rows as classes, or keep those of the new rows alone with fine_tuning.head: trim"
            )
    return clean, rejected


def split_new_rows(
    clean_rows: pd.DataFrame, data: DataOptions, split: SplitOptions, options: FineTuningOptions, repeat: int = 0
) -> pd.DataFrame:
    """Give each new row its part, with the fractions of `options`; each repeat deals them anew."""
    fractions = {"valid_fraction": options.valid_fraction, "test_fraction": options.test_fraction}
    own = {**fractions, "seed": options.seed + repeat, "part_column": None, "all_rows_in": ()}
    return split_rows(clean_rows, data, split.model_copy(update=own), quiet=repeat > 0)


def _kind_of(column: ColumnOptions) -> str:
    return f"an image of {' x '.join(map(str, column.size))}" if column.size else f"a {column.kind}"
