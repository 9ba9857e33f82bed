"""The options as given, as a trial of the search."""

from collections.abc import Mapping
from typing import Any

from torchlane.core.options import ChoicesOptions, DataOptions, Recipe
from torchlane.core.options.searchable import DEPTH, LAYERED, WIDTH
from torchlane.core.search.space import Space, distributions_of, write_value

_UNSET: Any = object()


def given_values(recipe: Recipe, space: Space, data: DataOptions) -> dict[str, Any]:
    """Say by name what a space would change, as the recipe has it; `recipe.changed` of it trains the same.

    An argument that is not set has the default of what takes it. Left out is what has no value of its own, such
    as an argument of an optimizer that is chosen too, or one that follows from other options. Widths that
    differ stand as `model.widths` in the place of `model.width` and `model.depth`.

    Raises:
        ValueError: arguments of the user's class are searched, and it cannot be imported.
    """
    uneven = len(set(recipe.model.widths)) > 1
    layers = {WIDTH, DEPTH} & set(space) if recipe.model.kind in LAYERED and uneven else set()
    found = {name: _value(recipe, name, data) for name in sorted(set(space) - layers)}
    if layers:
        found["model.widths"] = list(recipe.model.widths)
    return {name: value for name, value in found.items() if value is not _UNSET}


def given_params(recipe: Recipe, space: Space, data: DataOptions) -> dict[str, Any]:
    """Give those of `given_values` that the space holds, as Optuna has them."""
    distributions = distributions_of(space)
    found: dict[str, Any] = {}
    for name, value in given_values(recipe, space, data).items():
        dimension = space.get(name)
        if isinstance(dimension, ChoicesOptions):
            drawn = next((each for each in dimension.choices if _is_same(recipe, name, value, each)), _UNSET)
            if drawn is not _UNSET:
                found[name] = write_value(drawn)
        elif dimension is not None and isinstance(value, (int, float)) and not isinstance(value, bool):
            distribution = distributions[name]
            within = dimension.low <= value <= dimension.high
            if within and distribution._contains(distribution.to_internal_repr(value)):
                found[name] = value
    return found


def _is_same(recipe: Recipe, name: str, value: Any, choice: Any) -> bool:
    """Whether a choice is the value that an option has, maybe in fewer words: `huber` for `{name: huber, …}`."""
    if write_value(choice) == write_value(value):
        return True
    try:
        return recipe.changed({name: choice}) == recipe
    except ValueError:
        return False


def _value(recipe: Recipe, name: str, data: DataOptions) -> Any:
    value = recipe.value(name, _UNSET)
    if value is not _UNSET:
        return value
    group, _, last = name.rpartition(".")
    if name.startswith("encoding.columns."):
        column = data.feature_columns.get(name.removeprefix("encoding.columns."))
        encoding = recipe.encoding
        return _UNSET if column is None else encoding.numbers if column.kind == "number" else encoding.categories
    value = _defaults(recipe, group).get(last, _UNSET)
    try:
        write_value(value)
    except TypeError:  # nothing that a file could hold
        return _UNSET
    return list(value) if isinstance(value, tuple) else value


def _defaults(recipe: Recipe, group: str) -> Mapping[str, Any]:
    """Give the defaults of the arguments that stand in a group of options."""
    from torchlane.core.networks import named
    from torchlane.core.training import optimizers

    training = recipe.training
    if group == "training.optimizer.arguments":
        return optimizers.optimizer_defaults(training.optimizer)
    if group == "training.scheduler.arguments" and training.scheduler is not None:
        return optimizers.scheduler_defaults(training.scheduler)
    if group == "model.arguments" and recipe.model.module_class is not None:
        return optimizers.defaults_of(named.import_own(recipe.model.module_class))
    return {}
