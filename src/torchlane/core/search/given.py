"""The options as given, in the form of a trial."""

from collections.abc import Mapping
from typing import Any

from torchlane.core.options import ChoicesOptions, DataOptions, Recipe
from torchlane.core.options.searchable import DEPTH, LAYERED, WIDTH
from torchlane.core.search.space import Space, distributions_of, write_value

_UNSET: Any = object()


def given_values(recipe: Recipe, space: Space, data: DataOptions) -> dict[str, Any]:
    """Return the values that the recipe has for the options of a space; `recipe.changed` with them trains the same.

    An argument that is not set has the default of the class that takes it. An option without a value of its own
    is left out, such as an argument of an optimizer that is itself searched, or one that follows from other
    options. If the widths of the layers differ, `model.widths` replaces `model.width` and `model.depth`.

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
    """Return those of `given_values` that lie in the space, as parameters of an Optuna trial."""
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
    """Whether a choice means the value that an option has, even if it is shorter: `huber` for `{name: huber, …}`."""
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
        return (
            _UNSET if column is None else encoding.numbers if column.kind in ("number", "date") else encoding.categories
        )
    value = _defaults(recipe, group).get(last, _UNSET)
    try:
        write_value(value)
    except TypeError:  # a value that JSON cannot hold
        return _UNSET
    return list(value) if isinstance(value, tuple) else value


def _defaults(recipe: Recipe, group: str) -> Mapping[str, Any]:
    """Return the defaults of the arguments in a group of options."""
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
