"""The raw table: its columns, its task, and how its rows are split."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from torchlane.core.options.base import Fraction, Level, Options

Part = Literal["train", "valid", "test"]
TaskName = Literal["regression", "binary", "multiclass"]


class ColumnOptions(Options):
    """One column of the raw file and the rules its values keep; `size` is (channels, height, width) in pixels."""

    kind: Literal["category", "number", "image"]
    nullable: bool = True
    levels: tuple[Level, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None

    @model_validator(mode="after")
    def _rules_fit_kind(self) -> Self:
        if (self.kind == "image") != (self.size is not None):
            raise ValueError("size: [channels, height, width] is for an image, and an image needs it")
        if self.kind == "image" and (self.levels, self.minimum, self.maximum) != (None, None, None):
            raise ValueError("levels, minimum and maximum are not for an image; it has a size")
        if self.kind == "number" and self.levels is not None:
            raise ValueError("levels are for a category; a number has minimum and maximum")
        if self.kind == "category" and (self.minimum, self.maximum) != (None, None):
            raise ValueError("minimum and maximum are for a number; a category has levels")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is above maximum {self.maximum:g}")
        return self


class DataOptions(Options):
    """The task, the columns, and what reports say of where the rows come from.

    Columns of the raw file that are not declared are ignored. `features` picks and orders the
    inputs; without it they are all declared columns but the target, and in a use case but those that
    its split goes by. `digest` is the SHA-256 that `torchlane.core.rows.checking.rows_digest` gives for the file
    meant by `source`. A larger share of rejected rows than `max_rejected_fraction` stops the run.
    """

    task: TaskName
    target: str
    columns: dict[str, ColumnOptions]
    features: tuple[str, ...] = ()
    source: str = ""
    digest: str = ""
    missing_values: tuple[str, ...] = ("",)
    max_rejected_fraction: float = Field(0.2, ge=0, le=1)

    @model_validator(mode="after")
    def _features_are_declared(self) -> Self:
        if "row" in (*self.columns, self.target):
            raise ValueError("'row' is the name of the row number; rename that column in the file")
        for name in self.features:
            if name not in self.columns:
                raise ValueError(f"feature '{name}' is not among columns: {', '.join(self.columns)}")
        if not self.feature_columns:
            raise ValueError(f"no feature is declared beside the target '{self.target}'")
        if self.target in self.features:
            raise ValueError(f"the target '{self.target}' cannot be a feature too")
        if len(set(self.features)) < len(self.features):
            raise ValueError(f"features name a column twice: {', '.join(self.features)}")
        kinds = [column.kind for column in self.feature_columns.values()]
        if "image" in kinds and len(kinds) > 1:
            raise ValueError(
                f"an image is a model's only feature; set features to it alone, not {', '.join(self.feature_columns)}"
            )
        kind = self.target_column.kind
        if kind != ("number" if self.task == "regression" else "category"):
            raise ValueError(f"target '{self.target}' is a {kind}, which a {self.task} task does not predict")
        return self

    @property
    def feature_columns(self) -> dict[str, ColumnOptions]:
        """The inputs of the model, in order."""
        names = self.features or tuple(name for name in self.columns if name != self.target)
        return {name: self.columns[name] for name in names}

    @property
    def target_column(self) -> ColumnOptions:
        """The target's kind and rules; it is never missing."""
        kind: Any = "number" if self.task == "regression" else "category"
        declared = self.columns.get(self.target, ColumnOptions(kind=kind))
        return declared.model_copy(update={"nullable": False})


class SplitOptions(Options):
    """Which rows train, which choose, which are only looked at in the end.

    Rows that repeat each other, target included, may be copies of one row, which stay `together`, or
    coincidences, which are dealt one by one: `apart`. `auto` tells them by the table, see
    `torchlane.core.rows.repeats`. Rows that agree in all columns of `group_by` share a part.

    `all_rows_in` puts every row into each of the parts it names, and splits nothing. `part_column`
    names a column that says train, valid or test for each row: these parts are kept, and
    `valid_fraction` is cut from train where the column says valid nowhere.

    Columns of `group_by` and `part_column` are no features unless `data.features` names them.
    """

    valid_fraction: Fraction = 0.15
    test_fraction: Fraction = 0.15
    seed: int = Field(0, ge=0)
    stratify: bool = True
    repeats: Literal["auto", "together", "apart"] = "auto"
    group_by: tuple[str, ...] = ()
    all_rows_in: tuple[Part, ...] = ()
    part_column: str | None = None

    @model_validator(mode="after")
    def _something_is_left_to_train(self) -> Self:
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError("valid_fraction and test_fraction together must stay below 1")
        if self.all_rows_in and "train" not in self.all_rows_in:
            raise ValueError("all_rows_in must name train")
        if self.all_rows_in and self.part_column is not None:
            raise ValueError("all_rows_in and part_column exclude each other")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the split goes by."""
        return (*self.group_by, self.part_column) if self.part_column is not None else self.group_by
