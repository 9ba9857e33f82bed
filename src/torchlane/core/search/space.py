"""The space of a search: which options it may change, and within which bounds."""

import inspect
import json
import logging
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torchlane.core.options import (
    OPTIONS_OF_KIND,
    ChoicesOptions,
    DataOptions,
    Dimension,
    RangeOptions,
    Recipe,
    TuningOptions,
    fault_in_options,
)
from torchlane.core.options.recipe import Values
from torchlane.core.options.searchable import DEPTH, WIDTH, is_whole

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

logger = logging.getLogger(__name__)

Space = Mapping[str, Dimension]

RATE_FACTORS = (0.2, 10.0)  # of the given learning rate
DECAYS = {"AdamW": (1e-4, 0.3)}  # decoupled weight decay takes larger values
DECAYS_OF_OTHERS = (1e-6, 1e-2)


def resolve_space(options: TuningOptions, recipe: Recipe, data: DataOptions) -> dict[str, Dimension]:
    """Return the space of the options, or the default one, without the options that are fixed.

    Raises:
        ValueError: an option rejects an end of its range or one of its choices, or nothing is left to search.
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
                raise ValueError(f"tuning.space: {name} cannot be {value}: {fault_in_options(error)}") from error
    return left


def is_fixed(name: str, fixed: tuple[str, ...]) -> bool:
    """Whether an option, its group, or a part of it is named in `fixed`.

    >>> is_fixed("training.optimizer", ("training.optimizer.name",))
    True
    """
    related = {name, "model.widths"} if name in (WIDTH, DEPTH) else {name}
    return any(_is_in(each, option) or _is_in(option, each) for each in related for option in fixed)


def _is_in(name: str, group: str) -> bool:
    return f"{name}.".startswith(f"{group}.")


def default_space(recipe: Recipe, data: DataOptions) -> dict[str, Dimension]:
    """Return the space that is searched if none is stated.

    It holds the learning rate around the given one, weight decay and momentum if the optimizer has them, dropout
    if the network has it, and for perceptrons on tables the scale of numbers. None of these changes the shape
    of the network, so all trials train as one stack.
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
    numbers = [name for name, column in data.feature_columns.items() if column.kind in ("number", "date")]
    if model.kind == "mlp" and set(numbers) - set(recipe.encoding.columns):
        scales = dict.fromkeys((recipe.encoding.numbers, "z_score", "quantile"))
        space["encoding.numbers"] = ChoicesOptions(choices=tuple(scales))
    return space


def distributions_of(space: Space) -> "dict[str, BaseDistribution]":
    """Return the distributions of Optuna for a space. Choices become JSON text, which any database can hold."""
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
    """Turn the parameters of an Optuna trial into values of options."""
    return {
        name: json.loads(value) if isinstance(space[name], ChoicesOptions) else value for name, value in drawn.items()
    }


def grid_values(space: Space, points: int) -> dict[str, list[Any]]:
    """List the values of each option in a grid, as Optuna holds them. A range without a step has `points` values."""
    return {name: list(_grid_of(name, each, points)) for name, each in sorted(space.items())}


def grid_size(space: Space, points: int) -> int:
    """Count the combinations of a grid without making them."""
    return math.prod(len(values) for values in grid_values(space, points).values())


def n_trials(space: Space, options: TuningOptions, given: Values) -> int:
    """Count the trials of a search. A grid without the parameters `given` has one more, so that they can be kept."""
    if options.sampler != "grid":
        return options.trials
    in_grid = grid_values(space, options.grid_points)
    holds_given = all(name in given and given[name] in values for name, values in in_grid.items())
    return grid_size(space, options.grid_points) + (options.keep_given and not holds_given)


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
