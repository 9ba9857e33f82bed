"""A column of the raw table and the rules for its values."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from torchlane.core.options.base import Level, Options


class ColumnOptions(Options):
    """A column of the raw file and the rules for its values. `size` is (channels, height, width) in pixels.

    The order of `levels` is that of a scale, such as low, medium, high, unless `ordered` is false. If the column
    is encoded as codes, each level then has the code of its place in the list, also where train has few rows of it
    or none, so that codes never depend on train. If it is the target of a multiclass task, reports list labels in
    this order. Otherwise levels are in natural order: numbers by value, text by the alphabet.
    """

    kind: Literal["category", "number", "image"]
    nullable: bool = True
    levels: tuple[Level, ...] | None = None
    ordered: bool | None = None
    minimum: float | None = None
    maximum: float | None = None
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None

    @model_validator(mode="after")
    def _rules_fit_kind(self) -> Self:
        if (self.kind == "image") != (self.size is not None):
            raise ValueError("an image needs size: [channels, height, width], and other kinds have no size")
        if self.kind == "image" and (self.levels, self.minimum, self.maximum) != (None, None, None):
            raise ValueError("an image has a size, but no levels, minimum or maximum; leave them out")
        if self.kind == "number" and self.levels is not None:
            raise ValueError("a number has minimum and maximum, but no levels; leave them out, or set kind: category")
        if self.kind == "category" and (self.minimum, self.maximum) != (None, None):
            raise ValueError("a category has levels, but no minimum or maximum; leave them out, or set kind: number")
        if self.ordered is not None and self.levels is None:
            raise ValueError("ordered says whether the order of levels means something; list levels, or leave it out")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is above maximum {self.maximum:g}")
        return self

    @property
    def level_order(self) -> tuple[str, ...]:
        """The levels in the order of their scale; empty if none is declared."""
        return () if self.ordered is False else tuple(dict.fromkeys(self.levels or ()))
