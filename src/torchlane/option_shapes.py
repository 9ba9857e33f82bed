"""Where the options of a use case are text, by their types."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from torchlane.core.options import SECTIONS
from torchlane.core.options.booleans import choices_of


def _is_model(choice: Any) -> bool:
    return inspect.isclass(choice) and issubclass(choice, BaseModel)


class Shape:
    """What an option may hold, by its type: text, and the shapes of what it contains."""

    def __init__(self, annotation: Any):
        self._choices = list(choices_of(annotation))
        texts = [choice is str or get_origin(choice) is Literal for choice in self._choices]
        self.is_text = any(texts) and {bool, int, float, Any}.isdisjoint(self._choices)
        self.is_optional = type(None) in self._choices
        self.is_named = any(get_origin(choice) is dict or _is_model(choice) for choice in self._choices)
        self.holds_several = self.is_named or any(get_origin(choice) in (tuple, list) for choice in self._choices)
        self._inner: dict[str | int, Shape] = {}

    def under(self, key: str) -> "Shape":
        """Return the shape of what stands under a name."""
        if key not in self._inner:
            self._inner[key] = _shape_of(next(self._types_under(key), Any))
        return self._inner[key]

    def at(self, position: int) -> "Shape":
        """Return the shape of an element of a list; those beyond the third share one."""
        position = min(position, 3)
        if position not in self._inner:
            self._inner[position] = _shape_of(next(self._types_at(position), Any))
        return self._inner[position]

    def _types_under(self, key: str) -> Iterator[Any]:
        for choice in self._choices:
            if get_origin(choice) is dict:
                yield get_args(choice)[1]
            elif _is_model(choice):
                yield from (
                    field.annotation for name, field in choice.model_fields.items() if key in (name, field.alias)
                )

    def _types_at(self, position: int) -> Iterator[Any]:
        for choice in self._choices:
            if get_origin(choice) in (tuple, list):
                held = [each for each in get_args(choice) if each is not Ellipsis]
                yield held[min(position, len(held) - 1)]


_SHAPES: dict[int, tuple[Any, Shape]] = {}  # by the identity of a type, which is kept, since not all types have a hash


def _shape_of(annotation: Any) -> Shape:
    if id(annotation) not in _SHAPES:
        _SHAPES[id(annotation)] = annotation, Shape(annotation)
    return _SHAPES[id(annotation)][1]


class _Block(Shape):
    """A use case: options by section."""

    def __init__(self) -> None:
        super().__init__(dict[str, Any])

    def _types_under(self, key: str) -> Iterator[Any]:
        yield SECTIONS.get(key, Any)


class _Parameters(Shape):
    """All parameters: the settings that use cases share, and a block for each."""

    def __init__(self) -> None:
        super().__init__(dict[str, Any])
        self._inner = {"output_root": Shape(str), "raw_root": Shape(str)}
        self._block = _Block()

    def under(self, key: str) -> Shape:
        return self._inner.get(key, self._block)


PARAMETERS = _Parameters()


def values_instead_of_text(
    options: Any, shape: Shape, place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """List where a reference or a program gives another value for an option that is text: its place and the fault."""
    if isinstance(options, (Mapping, list, tuple)) and not (shape.is_text and not shape.holds_several):
        items = options.items() if isinstance(options, Mapping) else enumerate(options)
        for key, value in items:
            inner = shape.under(str(key)) if isinstance(options, Mapping) else shape.at(int(key))
            yield from values_instead_of_text(value, inner, (*place, str(key)))
    elif shape.is_text and not isinstance(options, str) and not (options is None and shape.is_optional):
        words = " (in YAML, yes, no, on and off are booleans)" if isinstance(options, bool) else ""
        shown = "an empty value" if options is None else repr(options)
        yield place, f"text is needed, not {shown}{words}; quote it"
