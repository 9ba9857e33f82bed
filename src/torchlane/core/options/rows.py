"""The raw table: its columns, its task, and how its rows are split into parts."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from torchlane.core.options.base import Fraction, Level, Options, is_none
from torchlane.core.options.columns import ColumnOptions

Part = Literal["train", "valid", "test"]
TaskName = Literal["regression", "binary", "multiclass"]


class DataOptions(Options):
    """The task, the columns, and where the rows come from.

    Columns of the raw file that are not declared are ignored. `features` selects and orders the inputs. By
    default they are all declared columns except the target, the weight and, in a use case, the columns that the
    split uses. `weight` names a column of numbers, at least 0: a row of weight w counts as w rows in training,
    metrics and calibration. Only the ratios of weights matter. `source` names the raw file in reports, and
    `digest` is its SHA-256 as `torchlane.core.rows.checking.rows_digest` computes it. The run stops if a larger
    fraction of the rows than `max_rejected_fraction` is rejected. `positive` is the label of a binary task that
    F1, precision and recall are about. By default it is the rarer one in train, and of equally many rows the later
    one in the order of labels.
    """

    task: TaskName
    target: str
    columns: dict[str, ColumnOptions]
    features: tuple[str, ...] = ()
    weight: str | None = Field(None, exclude_if=is_none)
    source: str = ""
    digest: str = ""
    missing_values: tuple[str, ...] = ("",)
    max_rejected_fraction: float = Field(0.2, ge=0, le=1)
    positive: Level | None = Field(None, exclude_if=is_none)

    @model_validator(mode="after")
    def _features_are_declared(self) -> Self:
        if "row" in (*self.columns, self.target, self.weight):
            raise ValueError("'row' is the name of the row number; rename that column in the file")
        for name in self.features:
            if name not in self.columns:
                raise ValueError(f"feature '{name}' is not among columns: {', '.join(self.columns)}")
        if not self.feature_columns:
            raise ValueError(f"no column is declared besides the target '{self.target}'")
        if self.target in self.features:
            raise ValueError(f"the target '{self.target}' cannot be a feature too")
        if len(set(self.features)) < len(self.features):
            raise ValueError(f"features name a column twice: {', '.join(self.features)}")
        kinds = [column.kind for column in self.feature_columns.values()]
        if "image" in kinds and len(kinds) > 1:
            raise ValueError(
                f"an image must be the only feature; set features to it alone, not {', '.join(self.feature_columns)}"
            )
        kind = self.target_column.kind
        if kind != ("number" if self.task == "regression" else "category"):
            hint = "; predict a number such as the days from a fixed day to it" if kind == "date" else ""
            raise ValueError(f"target '{self.target}' is a {kind}, which a {self.task} task does not predict{hint}")
        if self.weight == self.target:
            raise ValueError(f"the target '{self.target}' cannot be the weight of rows too")
        if self.weight_column is not None and self.weight_column.kind != "number":
            raise ValueError(
                f"weight '{self.weight}' is declared as a {self.weight_column.kind}, but it says how much a row "
                f"counts; set its kind to number, or name another column"
            )
        return self

    @model_validator(mode="after")
    def _positive_is_a_label(self) -> Self:
        if self.positive is not None and self.task != "binary":
            raise ValueError(f"positive '{self.positive}' names a label of a binary task; leave it out for {self.task}")
        levels = self.target_column.levels
        if self.positive is not None and levels is not None and self.positive not in levels:
            raise ValueError(
                f"positive '{self.positive}' is not a label of '{self.target}'; its labels are {', '.join(levels)}"
            )
        return self

    @property
    def feature_columns(self) -> dict[str, ColumnOptions]:
        """The inputs of the model, in their order."""
        names = self.features or tuple(name for name in self.columns if name not in (self.target, self.weight))
        return {name: self.columns[name] for name in names}

    @property
    def target_column(self) -> ColumnOptions:
        """The kind and the rules of the target, which must not be missing."""
        kind: Any = "number" if self.task == "regression" else "category"
        declared = self.columns.get(self.target, ColumnOptions(kind=kind))
        return declared.model_copy(update={"nullable": False})

    @property
    def target_unit(self) -> str:
        """What errors are measured in: the unit of the target or, if none is declared, its name."""
        return self.target_column.unit or self.target

    @property
    def weight_column(self) -> ColumnOptions | None:
        """The rules of the weight of rows, which is at least 0 and must not be missing; None without a weight."""
        if self.weight is None:
            return None
        declared = self.columns.get(self.weight, ColumnOptions(kind="number"))
        return declared.model_copy(update={"nullable": False, "minimum": max(0.0, declared.minimum or 0.0)})

    @property
    def checked_columns(self) -> dict[str, ColumnOptions]:
        """All columns that rows are checked for: those declared, the target and the weight."""
        checked = {**self.columns, self.target: self.target_column}
        return checked if self.weight_column is None else {**checked, str(self.weight): self.weight_column}


class SplitOptions(Options):
    """How rows are split into train, valid (to stop training and compare models) and test (used only at the end).

    `stratify` keeps the fractions of the labels similar in all parts. Rows that are equal, target included,
    may be copies of one row, which must stay in one part (`repeats: together`), or coincidences, which are
    split like any other rows (`apart`). `auto` decides by the table; see `torchlane.core.rows.repeats`. Rows
    with the same values in all columns of `group_by` share a part.

    `all_rows_in` puts every row into each of the named parts, and splits nothing. `part_column` names a column
    that holds train, valid or test for each row, and these parts are kept. If the column holds no valid,
    `valid_fraction` is split off from train.

    `order_by` names a column of dates or numbers, most often the time of a row. The latest rows go to test, those
    before to valid, and the earliest to train. Rows of equal time stay together, so each cut is the nearest one to
    its fraction. Copies stay where their time puts them, and neither `seed` nor `stratify` counts. Folds are
    expanding windows: each tests a block of rows on a model of all that lies before it. With `part_column`, the
    order decides which rows of train become valid, and the folds. It excludes `group_by`, since the rows of a group
    come at different times.

    The columns of `group_by` and `part_column` are not features unless `data.features` names them. That of
    `order_by` is one like any other.
    """

    valid_fraction: Fraction = 0.15
    test_fraction: Fraction = 0.15
    seed: int = Field(0, ge=0)
    stratify: bool = True
    repeats: Literal["auto", "together", "apart"] = "auto"
    group_by: tuple[str, ...] = ()
    all_rows_in: tuple[Part, ...] = ()
    part_column: str | None = None
    order_by: str | None = Field(None, exclude_if=is_none)

    @model_validator(mode="after")
    def _something_is_left_to_train(self) -> Self:
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError(
                "valid_fraction and test_fraction together must stay below 1, so that rows are left for train"
            )
        if self.all_rows_in and "train" not in self.all_rows_in:
            raise ValueError("all_rows_in must name train")
        if self.all_rows_in and self.part_column is not None:
            raise ValueError("all_rows_in and part_column exclude each other; leave out one")
        return self

    @model_validator(mode="after")
    def _order_is_all_that_counts(self) -> Self:
        if self.order_by is None:
            return self
        if self.group_by:
            raise ValueError(
                f"order_by '{self.order_by}' and group_by {', '.join(self.group_by)} exclude each other, since the "
                f"rows of a group come at different times; leave out one"
            )
        if self.all_rows_in:
            raise ValueError("order_by and all_rows_in exclude each other; leave out one")
        if self.repeats == "together":
            raise ValueError(
                f"repeats: together cannot be kept with order_by '{self.order_by}', which parts copies of different "
                f"times; leave out one"
            )
        return self

    @property
    def unlike(self) -> dict[str, Any]:
        """How rows of test differ from those of train by intention: `order_by` or `group_by`, or nothing."""
        if self.part_column is not None:
            return {}
        if self.order_by is not None:
            return {"order_by": self.order_by}
        return {"group_by": list(self.group_by)} if self.group_by and not self.all_rows_in else {}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the split uses, and the model only if they are named as features."""
        return (*self.group_by, self.part_column) if self.part_column is not None else self.group_by
