"""What a search may change, and within which bounds."""

import inspect
import json
import logging
import math
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from torchlane.core.options import (
    OPTIONS_OF_KIND,
    ChoicesOptions,
    DataOptions,
    Dimension,
    EncodingOptions,
    ModelOptions,
    Options,
    RangeOptions,
    TrainingOptions,
    TuningOptions,
)

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

logger = logging.getLogger(__name__)

Space = Mapping[str, Dimension]
Values = Mapping[str, Any]  # by the name of an option, as the option takes them

SECTIONS: Mapping[str, type[Options]] = {
    "encoding": EncodingOptions,
    "model": ModelOptions,
    "training": TrainingOptions,
}
NOT_SEARCHED = {  # what the network is, and how it is trained without an effect on what it learns
    "model": ("kind", "name", "module_class"),
    "training": (
        *("members", "stacked", "seed", "epochs", "exact", "precision", "matmul_precision", "compile", "device"),
        *("threads", "checkpoint_minutes", "checkpoint_epochs"),
    ),
}
OPEN = ("encoding.columns", "model.arguments", "training.optimizer.arguments", "training.scheduler.arguments")
WIDTH = "model.width"  # of every hidden layer, for kinds whose `widths` are those of layers
DEPTH = "model.depth"  # how many of them
LAYERED = ("mlp", "rnn")
RATE_FACTORS = (0.2, 10.0)  # of the learning rate as given
DECAYS = {"AdamW": (1e-4, 0.3)}  # weight decay that is no part of the gradient takes larger values
DECAYS_OF_OTHERS = (1e-6, 1e-2)


class Recipe(Options):
    """All that a search may change: how rows are encoded, the network, and how it is trained.

    `trials` is the number of trials of the search that chose some of it, 0 where all is as given.
    """

    encoding: EncodingOptions
    model: ModelOptions
    training: TrainingOptions
    trials: int = 0

    def changed(self, values: Values) -> "Recipe":
        """Set options by name.

        Raises:
            ValueError: one of them does not take its value, or the network has no such option.
        """
        sections = self.model_dump()
        for name, value in sorted(values.items()):  # a group before what stands in it
            if name == WIDTH or (name == DEPTH and self.model.kind in LAYERED):
                continue
            put_option(sections, name, value)
        if WIDTH in values or (DEPTH in values and self.model.kind in LAYERED):
            sections["model"]["widths"] = self._layers(values)
        return Recipe.model_validate(sections)

    def value(self, name: str, unset: Any = None) -> Any:
        """Give an option as it stands; `unset` where it is not there."""
        if name == WIDTH:
            return self.model.widths[0] if len(set(self.model.widths)) == 1 else unset
        if name == DEPTH and self.model.kind in LAYERED:
            return len(self.model.widths)
        found: Any = self.model_dump()
        for key in _path_of(name):
            if not isinstance(found, Mapping) or key not in found:
                return unset
            found = found[key]
        return found

    def _layers(self, values: Values) -> tuple[int, ...]:
        if self.model.kind not in LAYERED:
            raise ValueError(f"{WIDTH} is for kinds {' and '.join(LAYERED)}, not {self.model.kind}; use model.widths")
        if "model.widths" in values:
            raise ValueError(f"model.widths excludes {WIDTH} and {DEPTH}; leave one of them out of the space")
        depth = values.get(DEPTH, len(self.model.widths))
        if WIDTH not in values and len(set(self.model.widths)) > 1:
            raise ValueError(f"{DEPTH} needs {WIDTH} beside it, since model.widths {self.model.widths} differ")
        return (values.get(WIDTH, self.model.widths[0] if self.model.widths else 64),) * depth


def put_option(sections: dict[str, Any], name: str, value: Any) -> None:
    """Set an option by name in nested dicts, which are made where they are not there."""
    *groups, last = _path_of(name)
    for key in groups:
        if not isinstance(sections.get(key), dict):
            sections[key] = {}
        sections = sections[key]
    sections[last] = value


def flatten_space(given: Any) -> dict[str, Dimension]:
    """Read a space of dotted or nested names.

    Raises:
        ValueError: a name is no option that can be searched, or what it holds is no range and no choices.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"a space has names of options with ranges or choices, not {given!r}")
    return dict(_dimensions("", given))


def require_option(name: str) -> None:
    """Refuse what a search cannot change.

    Raises:
        ValueError: with what it can.
    """
    if is_option(name):
        return
    close = get_close_matches(name, known_options(), n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise ValueError(f"'{name}' is no option that a search changes; {hint}there are {', '.join(known_options())}")


def is_option(name: str) -> bool:
    """Whether a search can change an option of that name."""
    return name in known_options() or any(name.startswith(f"{each}.") for each in OPEN)


@cache
def known_options() -> tuple[str, ...]:
    """Name what a search can change, but for what stands under `OPEN`."""
    names = [name for section, model in SECTIONS.items() for name in _names(section, model)]
    return (*names, WIDTH)


def resolve_space(options: TuningOptions, recipe: Recipe, data: DataOptions) -> dict[str, Dimension]:
    """Give the space asked for, or the default one, without what is fixed.

    Raises:
        ValueError: an option does not take an end of its range or one of its choices, or nothing is left.
    """
    space = options.space or default_space(recipe, data)
    left = {name: each for name, each in space.items() if not is_fixed(name, options.fixed)}
    if len(left) < len(space):
        fixed = ", ".join(sorted(set(space) - set(left)))
        logger.info("search: not searched, since tuning.fixed or --params sets them or a part of them: %s", fixed)
    if not left:
        raise ValueError("the search has nothing to change: all of tuning.space is fixed, by tuning.fixed or --params")
    for name, dimension in left.items():
        for value in _probes(name, dimension):
            others = {other: _probes(other, left[other])[0] for other in (WIDTH, DEPTH) if other in left}
            try:
                recipe.changed({**others, name: value})
            except ValueError as error:
                raise ValueError(f"tuning.space: {name} cannot be {value}: {fault_of(error)}") from error
    return left


def is_fixed(name: str, fixed: tuple[str, ...]) -> bool:
    """Whether an option, the group that it stands in, or a part of it is named among `fixed`.

    >>> is_fixed("training.optimizer", ("training.optimizer.name",))
    True
    """
    related = {name, "model.widths"} if name in (WIDTH, DEPTH) else {name}
    return any(_stands_in(each, option) or _stands_in(option, each) for each in related for option in fixed)


def _stands_in(name: str, group: str) -> bool:
    return f"{name}.".startswith(f"{group}.")


def default_space(recipe: Recipe, data: DataOptions) -> dict[str, Dimension]:
    """Give the space for a network on a task where none is stated.

    The learning rate around the one given, weight decay and momentum where the optimizer has them, dropout
    where the network has it; for perceptrons on tables the scale of numbers as well. All shapes agree, so
    that all trials are one stack.
    """
    import torch

    model, training = recipe.model, recipe.training
    low, high = (training.learning_rate * factor for factor in RATE_FACTORS)
    space: dict[str, Dimension] = {"training.learning_rate": RangeOptions(low=low, high=high, log=True)}
    arguments = inspect.signature(getattr(torch.optim, training.optimizer.name)).parameters
    if "weight_decay" in arguments:
        low, high = DECAYS.get(training.optimizer.name, DECAYS_OF_OTHERS)
        space["training.optimizer.arguments.weight_decay"] = RangeOptions(low=low, high=high, log=True)
    if "momentum" in arguments:
        space["training.optimizer.arguments.momentum"] = RangeOptions(low=0.0, high=0.95)
    if "dropout" in OPTIONS_OF_KIND[model.kind]:
        space["model.dropout"] = RangeOptions(low=0.0, high=0.6)
    numbers = [name for name, column in data.feature_columns.items() if column.kind == "number"]
    if model.kind == "mlp" and set(numbers) - set(recipe.encoding.columns):
        scales = dict.fromkeys((recipe.encoding.numbers, "z_score", "quantile"))
        space["encoding.numbers"] = ChoicesOptions(choices=tuple(scales))
    return space


def distributions_of(space: Space) -> "dict[str, BaseDistribution]":
    """Say it in Optuna's words; choices are JSON text there, which any database can hold."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for name, each in sorted(space.items()):
        if isinstance(each, ChoicesOptions):
            found[name] = CategoricalDistribution([write_value(value) for value in each.choices])
        elif is_whole(name, each):
            found[name] = IntDistribution(int(each.low), int(each.high), log=each.log, step=int(each.step or 1))
        else:
            found[name] = FloatDistribution(each.low, each.high, log=each.log, step=each.step)
    return found


def write_value(value: Any) -> str:
    """Write a choice as JSON.

    >>> write_value((64, 64)), write_value("ReLU"), write_value(None)
    ('[64, 64]', '"ReLU"', 'null')
    """
    return json.dumps(value, sort_keys=True)


def read_values(drawn: Values, space: Space) -> dict[str, Any]:
    """Turn what Optuna drew into values that the options take."""
    return {
        name: json.loads(value) if isinstance(space[name], ChoicesOptions) else value for name, value in drawn.items()
    }


def grid_values(space: Space, points: int) -> dict[str, list[Any]]:
    """List what a grid takes of each dimension, as Optuna holds it: `points` values of a range without step."""
    return {name: list(_grid_of(name, each, points)) for name, each in sorted(space.items())}


def grid_size(space: Space, points: int) -> int:
    """Count the combinations of a grid without making them."""
    return math.prod(len(values) for values in grid_values(space, points).values())


def is_whole(name: str, dimension: RangeOptions) -> bool:
    """Whether a range holds whole numbers alone."""
    if name == WIDTH or _annotation(name) is int:
        return True
    ends = (dimension.low, dimension.high, dimension.step or 0.0)
    return name.startswith("model.arguments.") and all(end.is_integer() for end in ends)


def fault_of(error: ValueError) -> str:
    """Say in one line what is wrong with some options."""
    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())
    fault = error.errors()[0]
    place = ".".join(map(str, fault["loc"]))
    rule = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {rule[0].lower()}{rule[1:]}"


def _dimensions(place: str, given: Any) -> Iterator[tuple[str, Dimension]]:
    fields = {*RangeOptions.model_fields, *ChoicesOptions.model_fields}
    if isinstance(given, (RangeOptions, ChoicesOptions)):
        yield place, given
    elif not isinstance(given, Mapping) or not (given or not place):
        raise ValueError(f"{place} must have low and high, or choices, not {given!r}")
    elif fields & set(given) and not any(isinstance(each, Mapping) for each in given.values()):
        require_option(place)
        yield place, _dimension(place, given)
    else:
        for key, each in given.items():
            yield from _dimensions(f"{place}.{key}" if place else str(key), each)


def _dimension(name: str, given: Mapping[str, Any]) -> Dimension:
    kind: type[Options] = ChoicesOptions if "choices" in given else RangeOptions
    for key in given:
        if key not in kind.model_fields:
            raise ValueError(f"{name}: '{key}' does not go with {', '.join(kind.model_fields)}")
    try:
        dimension = kind.model_validate(given)
    except ValidationError as error:
        fault = error.errors()[0]
        key = "".join(f"{each} " for each in fault["loc"][:1])
        rule = fault["msg"].removeprefix("Value error, ")
        raise ValueError(f"{name}: {key}{rule[0].lower()}{rule[1:]}") from error
    assert isinstance(dimension, (RangeOptions, ChoicesOptions))
    if isinstance(dimension, RangeOptions) and is_whole(name, dimension):
        for end in (dimension.low, dimension.high, dimension.step or 1.0):
            if not end.is_integer():
                raise ValueError(f"{name}: takes whole numbers, not {end:g}")
    return dimension


def _probes(name: str, dimension: Dimension) -> list[Any]:
    if isinstance(dimension, ChoicesOptions):
        return list(dimension.choices)
    ends = [dimension.low, dimension.high]
    return [int(end) for end in ends] if is_whole(name, dimension) else ends


def _grid_of(name: str, dimension: Dimension, points: int) -> Iterator[Any]:
    if isinstance(dimension, ChoicesOptions):
        yield from map(write_value, dimension.choices)
        return
    low, high, step = dimension.low, dimension.high, dimension.step
    whole = is_whole(name, dimension)
    if step is not None or (whole and high - low < points):
        count = math.floor((high - low) / (step or 1) + 1e-9) + 1
        values = [low + number * (step or 1) for number in range(count)]
    elif dimension.log:
        values = [low * (high / low) ** (number / (points - 1)) for number in range(points)]
    else:
        values = [low + (high - low) * number / (points - 1) for number in range(points)]
    kept = [min(max(value, low), high) for value in values]
    yield from dict.fromkeys(round(value) for value in kept) if whole else kept


def _path_of(name: str) -> list[str]:
    """Take a name apart; those of columns and arguments may have dots of their own."""
    for group in OPEN:
        if name.startswith(f"{group}."):
            return [*group.split("."), name.removeprefix(f"{group}.")]
    return name.split(".")


def _names(place: str, model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if name in NOT_SEARCHED.get(place, ()):
            continue
        yield f"{place}.{name}"
        inner = next((each for each in _types(field.annotation) if issubclass(each, Options)), None)
        if inner is not None:
            yield from _names(f"{place}.{name}", inner)


def _annotation(name: str) -> type | None:
    """The one plain type of an option, None aside."""
    model: Any = SECTIONS[name.split(".")[0]]
    for key in name.split(".")[1:]:
        field = getattr(model, "model_fields", {}).get(key)
        types = [each for each in _types(field.annotation) if each is not type(None)] if field is not None else []
        model = types[0] if len(types) == 1 else None
    return model if isinstance(model, type) else None


def _types(annotation: Any) -> list[type]:
    if get_origin(annotation) in (Union, UnionType):
        return [each for part in get_args(annotation) for each in _types(part)]
    if get_origin(annotation) is Annotated:
        return _types(get_args(annotation)[0])
    return [annotation] if isinstance(annotation, type) else []
