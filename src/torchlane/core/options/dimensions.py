"""The dimensions of a search space: the values that one option may take."""

from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from torchlane.core.options.base import Options
from torchlane.core.options.shown import shown_limit


class RangeOptions(Options):
    """Numbers from `low` to `high`, both included.

    With `log` they are drawn on a logarithmic scale. With `step` only `low`, `low + step`, … are tried.
    """

    low: float
    high: float
    log: bool = False
    step: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _range_holds_something(self) -> Self:
        low, high = shown_limit(self.low), shown_limit(self.high)
        if self.low >= self.high:
            raise ValueError(f"low {low} must be below high {high}; for one value set the option itself")
        if self.log and self.low <= 0:
            raise ValueError(f"a log range must start above 0, not at {low}; raise low, or leave out log")
        if self.log and self.step is not None:
            raise ValueError("a log range takes no step; leave out one of them, or give choices")
        if self.step is not None and self.step > self.high - self.low:
            raise ValueError(f"step {shown_limit(self.step)} is longer than the range from {low} to {high}")
        return self


class ChoicesOptions(Options):
    """Values to choose from, each written as the option itself takes it."""

    choices: tuple[Any, ...] = Field(min_length=1)

    @field_validator("choices")
    @classmethod
    def _choices_differ(cls, choices: tuple[Any, ...]) -> tuple[Any, ...]:
        for position, value in enumerate(choices):
            if value in choices[:position]:
                raise ValueError(f"choices name {value!r} twice")
        return choices


Dimension = RangeOptions | ChoicesOptions
