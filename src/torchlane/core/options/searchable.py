"""The options that a search may change, by name."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from torchlane.core.options.automatic import AUTO
from torchlane.core.options.base import Options, broken_rule
from torchlane.core.options.dimensions import ChoicesOptions, Dimension, RangeOptions
from torchlane.core.options.encoding import EncodingOptions
from torchlane.core.options.network import ModelOptions
from torchlane.core.options.training import TrainingOptions

SEARCHED: Mapping[str, type[Options]] = {
    "encoding": EncodingOptions,
    "model": ModelOptions,
    "training": TrainingOptions,
}
NOT_SEARCHED = {  # what the network is, the seed and the epochs, and how the machine is used
    "model": ("kind", "name", "module_class"),
    "training": (
        *("members", "sharing", "stacked", "seed", "epochs", "refit", "exact", "precision", "matmul_precision"),
        *("compile", "device", "threads", "checkpoint_minutes", "checkpoint_epochs"),
    ),
}
OPEN = ("encoding.columns", "model.arguments", "training.optimizer.arguments", "training.scheduler.arguments")
WIDTH = "model.width"  # of every hidden layer, for the kinds in LAYERED
DEPTH = "model.depth"  # the number of hidden layers for these kinds; for a cnn its own option
LAYERED = ("mlp", "rnn")
SHORT = {"loss": "name", "numbers": "kind"}  # groups that may be written as one option of theirs


def flatten_space(given: Any) -> dict[str, Dimension]:
    """Read a space with dotted or nested names.

    Raises:
        ValueError: a name is not an option that can be searched, or its value is neither a range nor choices.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"a space must hold options by name, each with low and high, or choices, not {given!r}")
    return dict(_dimensions("", given))


def require_option(name: str) -> None:
    """Check that a search can change an option.

    Raises:
        ValueError: it cannot; the message lists the options that can be searched.
    """
    if is_option(name):
        return
    close = get_close_matches(name, known_options(), n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise ValueError(
        f"'{name}' is not an option that a search can change; {hint}choose from {', '.join(known_options())}"
    )


def is_option(name: str) -> bool:
    """Whether a search can change an option with this name."""
    return name in known_options() or any(name.startswith(f"{each}.") for each in OPEN)


@cache
def known_options() -> tuple[str, ...]:
    """List the options that a search can change, except those inside the groups of `OPEN`."""
    names = [name for section, model in SEARCHED.items() for name in _names(section, model)]
    return (*names, WIDTH)


def is_whole(name: str, dimension: RangeOptions) -> bool:
    """Whether a range holds only whole numbers."""
    if name == WIDTH or _annotation(name) is int:
        return True
    ends = (dimension.low, dimension.high, dimension.step or 0.0)
    return name.startswith("model.arguments.") and all(end.is_integer() for end in ends)


def put_option(sections: dict[str, Any], name: str, value: Any) -> None:
    """Set an option by name in nested dicts. Missing dicts are created."""
    *groups, last = path_of(name)
    for key in groups:
        if not isinstance(given := sections.get(key), dict):
            sections[key] = {SHORT[key]: given} if key in SHORT and isinstance(given, str) else {}
        sections = sections[key]
    sections[last] = value


def path_of(name: str) -> list[str]:
    """Split a name into its keys. The names of columns and arguments may contain dots themselves."""
    for group in OPEN:
        if name.startswith(f"{group}."):
            return [*group.split("."), name.removeprefix(f"{group}.")]
    return name.split(".")


def _dimensions(name: str, given: Any) -> Iterator[tuple[str, Dimension]]:
    fields = {*RangeOptions.model_fields, *ChoicesOptions.model_fields}
    if isinstance(given, (RangeOptions, ChoicesOptions)):
        yield name, given
    elif not isinstance(given, Mapping) or not (given or not name):
        raise ValueError(f"{name} must have low and high, or choices, not {given!r}")
    elif fields & set(given) and not any(isinstance(each, Mapping) for each in given.values()):
        require_option(name)
        yield name, _dimension(name, given)
    else:
        for key, each in given.items():
            yield from _dimensions(f"{name}.{key}" if name else str(key), each)


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
        raise ValueError(f"{name}: {key}{broken_rule(fault['msg'])}") from error
    assert isinstance(dimension, (RangeOptions, ChoicesOptions))
    if isinstance(dimension, ChoicesOptions) and _annotation(name) in (int, float) and AUTO in dimension.choices:
        raise ValueError(f"{name}: {AUTO} is chosen by the number of rows, not by a search; name numbers")
    if isinstance(dimension, RangeOptions) and is_whole(name, dimension):
        for end in (dimension.low, dimension.high, dimension.step or 1.0):
            if not end.is_integer():
                raise ValueError(f"{name}: takes whole numbers, not {end:g}")
    return dimension


def _names(group: str, model: type[BaseModel]) -> Iterator[str]:
    for key, field in model.model_fields.items():
        if key in NOT_SEARCHED.get(group, ()):
            continue
        yield f"{group}.{key}"
        inner = next((each for each in _types(field.annotation) if issubclass(each, Options)), None)
        if inner is not None:
            yield from _names(f"{group}.{key}", inner)


def _annotation(name: str) -> type | None:
    """Return the type of an option, apart from None, if it has only one."""
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
