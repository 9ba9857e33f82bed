"""How a trained model is adapted to new rows."""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from torchlane.core.options.automatic import Automatic, AutomaticOrNone
from torchlane.core.options.base import Fraction, Options
from torchlane.core.options.training import OptimizerOptions, SchedulerOptions


class FreezeOptions(Options):
    """Which layers keep the parent's weights.

    `layers` names them. A name is that of a layer as the log lists it, of a module that contains it, or of a
    parameter. `*`, `?` and `[…]` match as in file names, and `re:` starts a regular expression for the whole
    name. `first` freezes the first layers, counted from the input. `all_but` freezes all layers except those
    it names; there, `head` means the last layer, whatever its name. A batch norm is frozen together with the
    layer before it.
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
            raise ValueError(
                "all_but names the layers that are not frozen, which excludes layers and first; leave out either"
            )
        return self


def _check_pattern(pattern: str) -> None:
    if not pattern:
        raise ValueError("'' names no layer; leave it out")
    if pattern.startswith("re:"):
        try:
            re.compile(pattern.removeprefix("re:"))
        except re.error as error:
            raise ValueError(
                f"'{pattern}' is not a regular expression: {error}; correct it, or leave out re: for a name"
            ) from error


def _named_layers(value: object) -> object:
    return {"layers": [value] if isinstance(value, str) else value} if isinstance(value, (str, list, tuple)) else value


class FineTuningOptions(Options):
    """How a trained model is adapted to new rows. Options that are not here are taken from `training`.

    Nothing is refitted, whatever `training.refit` says.

    `parent` is a model file, which may belong to another use case; null means the model of this use case. The
    new rows get their own valid part, for early stopping, and their own test part. They are split as `split`
    says, except for the fractions and the seed. `source` and `digest` describe the new rows, as in `data`.

    The layer before the head trains at `layer_decay` times the learning rate of the head, the one before that
    at the square of it, and so on (Howard & Ruder 2018). `learning_rates` sets the rates of single layers by
    name or pattern. With `thaw_epochs`, only the head trains at first, and one more layer joins each time that
    many epochs have passed. `pull` is the strength a of the L2 penalty a/2 |w - w0|², which pulls the weights
    towards w0, where fine-tuning starts (L2-SP, Li et al. 2018).

    `head` matters if the classes or the task differ from the parent's. `grow` keeps the parent's classes and
    adds those of the new rows. `trim` keeps only the classes of the new rows. Both keep the weights of classes
    that stay. `replace` initialises a new head. `head_layer` names the head if it is not the last layer.
    `rescale` fits the scales of numbers and target on the new rows; otherwise the parent's scales stay.
    `repeats` is the number of times that the rows are split and the model is tuned, to estimate whether
    fine-tuning pays off; with 1, only the one model is judged.

    The defaults of `epochs`, `patience_epochs` and `batch_size` suit few rows. Where one is `auto`, the number of new
    rows of train chooses it, as for a training from scratch.
    """

    parent: str | None = None
    source: str = ""
    digest: str = ""
    valid_fraction: Fraction = 0.2
    test_fraction: Fraction = 0.2
    seed: int = Field(0, ge=0)
    repeats: int = Field(5, ge=1)
    epochs: Automatic = 100
    patience_epochs: AutomaticOrNone = 20
    batch_size: Automatic = 32
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
            raise ValueError(
                "valid_fraction and test_fraction together must stay below 1, so that rows are left for train"
            )
        return self
