"""The options that a search may change, by name."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from torchlane.core.options.base import Options
from torchlane.core.options.dimensions import ChoicesOptions, Dimension, RangeOptions
from torchlane.core.options.encoding import EncodingOptions
from torchlane.core.options.network import ModelOptions
from torchlane.core.options.training import TrainingOptions

SEARCHED: Mapping[str, type[Options]] = {
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
    names = [name for section, model in SEARCHED.items() for name in _names(section, model)]
    return (*names, WIDTH)


def is_whole(name: str, dimension: RangeOptions) -> bool:
    """Whether a range holds whole numbers alone."""
    if name == WIDTH or _annotation(name) is int:
        return True
    ends = (dimension.low, dimension.high, dimension.step or 0.0)
    return name.startswith("model.arguments.") and all(end.is_integer() for end in ends)


def put_option(sections: dict[str, Any], name: str, value: Any) -> None:
    """Set an option by name in nested dicts, which are made where they are not there."""
    *groups, last = path_of(name)
    for key in groups:
        if not isinstance(sections.get(key), dict):
            sections[key] = {}
        sections = sections[key]
    sections[last] = value


def path_of(name: str) -> list[str]:
    """Take a name apart; those of columns and arguments may have dots of their own."""
    for group in OPEN:
        if name.startswith(f"{group}."):
            return [*group.split("."), name.removeprefix(f"{group}.")]
    return name.split(".")


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
    model: Any = SEARCHED[name.split(".")[0]]
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
