"""How a trained model is adapted to new rows."""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from torchlane.core.options.base import Fraction, Options
from torchlane.core.options.training import OptimizerOptions, SchedulerOptions


class FreezeOptions(Options):
    """Which layers keep the parent's weights.

    `layers` names them: a name as the log lists it, one of a module around it, or of a parameter; `*`, `?`
    and `[…]` stand for what they do in file names, and after `re:` stands a regular expression for the whole
    name. `first` takes so many layers from the input on; `all_but` takes all but those it names, where
    `head` is the last layer, whatever its name. A batch norm goes with the layer before it.
    """

    layers: tuple[str, ...] = ()
    first: int = Field(0, ge=0)
    all_but: Annotated[
        tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)
    ] = ()

    @field_validator("layers", "all_but")
    @classmethod
    def _patterns_are_sound(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            _check_pattern(pattern)
        return patterns

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> Self:
        if self.all_but and (self.layers or self.first):
            raise ValueError("all_but says what is not frozen, so it goes without layers and first")
        return self


def _check_pattern(pattern: str) -> None:
    if not pattern:
        raise ValueError("'' names no layer; leave it out")
    if pattern.startswith("re:"):
        try:
            re.compile(pattern.removeprefix("re:"))
        except re.error as error:
            raise ValueError(f"'{pattern}' is no regular expression: {error}") from error


def _named_layers(value: object) -> object:
    return {"layers": [value] if isinstance(value, str) else value} if isinstance(value, (str, list, tuple)) else value


class FineTuningOptions(Options):
    """How a trained model is adapted to new rows; what is not here is as in `training`.

    `parent` is a model file, also of another use case; null takes the use case's own. The new rows have a
    valid part to stop on and a test part of their own, cut as `split` says but for the fractions and the
    seed; `source` and `digest` say what they are, as in `data`.

    The layer before the head trains at `layer_decay` times the head's rate, the one before at its square, and
    so on (Howard & Ruder 2018); `learning_rates` sets rates of its own for layers by name or pattern. With
    `thaw_epochs` the head alone trains at first, and every so many epochs the next layer joins in.
    `pull` is the strength a of the L2 pull a/2 |w - w0|² towards the weights w0 where the tuning starts
    (L2-SP, Li et al. 2018).

    `head` is for classes, or a task, that differ from the parent's: `grow` keeps its classes and adds those
    of the new rows, `trim` has the classes of the new rows alone, both with the weights of classes that stay;
    `replace` draws a new head. `head_layer` names the head where it is not the last layer. `rescale` learns
    the scales of numbers and target anew; without it they stay the parent's. `repeats` splits and tunes so
    many times, to say whether it paid; 1 judges the one model alone.
    """

    parent: str | None = None
    source: str = ""
    digest: str = ""
    valid_fraction: Fraction = 0.2
    test_fraction: Fraction = 0.2
    seed: int = Field(0, ge=0)
    repeats: int = Field(5, ge=1)
    epochs: int = Field(100, ge=1)
    patience_epochs: int | None = Field(20, ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    layer_decay: float = Field(1.0, gt=0, le=1)
    learning_rates: dict[str, Annotated[float, Field(gt=0)]] = {}
    freeze: Annotated[FreezeOptions, BeforeValidator(_named_layers)] = Field(
        default_factory=lambda: FreezeOptions.model_validate({})
    )
    thaw_epochs: int | None = Field(None, ge=1)
    pull: float = Field(0.03, ge=0)
    head: Literal["grow", "trim", "replace"] = "grow"
    head_layer: str | None = None
    rescale: bool = False
    optimizer: OptimizerOptions = Field(
        default_factory=lambda: OptimizerOptions(name="AdamW", arguments={"weight_decay": 0.0})
    )
    scheduler: SchedulerOptions | None = None

    @field_validator("learning_rates")
    @classmethod
    def _patterns_are_sound(cls, rates: dict[str, float]) -> dict[str, float]:
        for pattern in rates:
            _check_pattern(pattern)
        return rates

    @model_validator(mode="after")
    def _something_is_left_to_train(self) -> Self:
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError("valid_fraction and test_fraction together must stay below 1")
        return self
