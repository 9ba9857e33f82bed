"""Booleans where a number is needed: pydantic, like Python, would take them for 1 and 0."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin


def refuse_booleans(value: Any, annotation: Any) -> None:
    """Check that no number in a value is given as a boolean.

    Raises:
        ValueError: the value is, or contains, true or false where its annotation wants a number.
    """
    choices = list(choices_of(annotation))
    if isinstance(value, bool):
        if not {int, float}.isdisjoint(choices) and bool not in choices:
            raise ValueError(
                f"a number is needed, not {str(value).lower()} (in YAML, yes, no, on and off are booleans too)"
            )
    elif isinstance(value, (Mapping, list, tuple)):
        held = [get_args(choice)[-1 if get_origin(choice) is dict else 0] for choice in choices if get_args(choice)]
        for each in value.values() if isinstance(value, Mapping) else value:
            for inner in held:
                refuse_booleans(each, inner)


def choices_of(annotation: Any) -> Iterator[Any]:
    """List the types of a union, whether annotated or not."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from choices_of(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for each in get_args(annotation):
            yield from choices_of(each)
    else:
        yield annotation
