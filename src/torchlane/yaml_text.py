"""Parameters as YAML, except that an option that is text is read as it was written.

YAML 1.1 turns the plain words `no`, `010`, `12:30:45` and `~` into False, 8, 45045 and null. A level, a column or
a file can have these names, so PyYAML's nodes for them are marked as text before values are made of them.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

import yaml
from omegaconf import OmegaConf
from omegaconf._utils import split_key
from omegaconf._yaml import get_yaml_loader
from pydantic import BaseModel

from torchlane.core.options import SECTIONS
from torchlane.core.options.booleans import choices_of

TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
NULL, BOOLEAN = "tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"
GUESSED = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "null", "timestamp", "value", "merge")}
SETTINGS = {"output_root": str, "raw_root": str}  # of all use cases together
MOST_NODES = 10_000_000  # of a file, with its aliases written out; OmegaConf's own limit is 10,000
OPENING = ("[", "{", '"', "'")
ASSIGNMENT = re.compile(r"((?:\\.|[^\\=])*[^\\=\s]\s*)=\s*(.*)", re.DOTALL)  # a backslash escapes a = in a name


def load_parameters(text: str) -> Any:
    """Read a parameter file into plain dictionaries and lists; text with `${…}` is left as it is.

    Raises:
        YAMLError: it is not valid YAML.
    """
    return yaml.load(text, Loader=_loader())


def read_params(given: str) -> dict[str, Any]:
    """Read `--params`: `name=value`, several separated by commas; a list or a text in quotes may hold commas too.

    Raises:
        ValueError: a part has no name or no `=`, or its value is not valid YAML.
    """
    config = OmegaConf.create({})
    for name, value in _assignments(given):
        keys = split_key(name)
        try:
            content = yaml.load(value, Loader=_loader(keys))
        except yaml.YAMLError as error:
            reason = getattr(error, "problem", None) or error
            raise ValueError(
                f"--params: {name}={value} is not valid YAML ({reason}); close its brackets and quotes, and put a "
                f"text with special characters in quotes"
            ) from error
        OmegaConf.update(config, name, content)
    return dict(OmegaConf.to_container(config))  # type: ignore[arg-type]


def _assignments(given: str) -> Iterator[tuple[str, str]]:
    """Split at commas, except within brackets or quotes that a value begins with."""
    pieces = given.split(",")
    while pieces:
        piece = pieces.pop(0).strip()
        if not piece:
            continue
        found = ASSIGNMENT.fullmatch(piece)
        if found is None:
            raise ValueError(
                f"--params: '{piece}' is not name=value; separate several by commas, write a list as name=[1,2], and "
                f"put a text with commas in quotes"
            )
        name, value = found.groups()
        if value.startswith(OPENING):
            joined = (",".join([value, *pieces[:count]]) for count in range(len(pieces) + 1))
            value = next(filter(_is_closed, joined), value)
            del pieces[: value.count(",") - found[2].count(",")]
        yield name.strip(), value.strip()


def _is_closed(value: str) -> bool:
    try:
        yaml.compose(value, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return False
    return True


def values_instead_of_text(
    options: Any, annotation: Any, place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """List where a reference or a program gives another value for an option that is text: its place and the fault."""
    choices = list(choices_of(annotation))
    if isinstance(options, (Mapping, list, tuple)) and _is_text(choices) and not any(map(_holds_several, choices)):
        yield place, f"text is needed, not {options!r}; quote it"
    elif isinstance(options, Mapping):
        for key, value in options.items():
            yield from values_instead_of_text(value, _at_key(choices, str(key)), (*place, str(key)))
    elif isinstance(options, (list, tuple)):
        for number, value in enumerate(options):
            yield from values_instead_of_text(value, _at_position(choices, number), (*place, str(number)))
    elif _is_text(choices) and not isinstance(options, str) and not (options is None and type(None) in choices):
        words = " (in YAML, yes, no, on and off are booleans)" if isinstance(options, bool) else ""
        shown = "an empty value" if options is None else repr(options)
        yield place, f"text is needed, not {shown}{words}; quote it"


def _loader(keys: list[str] | None = None) -> Any:
    """Return OmegaConf's loader with text as written; `keys` lead to the option that the document is the value of."""

    class TextLoader(get_yaml_loader(max_yaml_expanded_nodes=MOST_NODES)):  # type: ignore[misc]
        def construct_document(self, node: yaml.Node) -> Any:
            choices: list[Any] = [Settings]
            for key in keys or ():
                choices = list(choices_of(_at_key(choices, key)))
            return super().construct_document(_as_written(node, choices, {}))

    return TextLoader


class _Block:
    """Stands for the type of a use case's block."""


class Settings:
    """Stands for the type of all parameters: the settings that use cases share, and a block for each."""


def _at_key(choices: list[Any], key: str) -> Any:
    """Return the type of what a mapping of one of these types holds under a key."""
    for choice in choices:
        if choice is Settings:
            return SETTINGS.get(key, _Block)
        if choice is _Block:
            return SECTIONS.get(key, Any)
        if get_origin(choice) is dict:
            return get_args(choice)[1]
        if inspect.isclass(choice) and issubclass(choice, BaseModel):
            for name, field in choice.model_fields.items():
                if key in (name, field.alias):
                    return field.annotation
    return Any


def _at_position(choices: list[Any], position: int) -> Any:
    """Return the type of an element of a list of one of these types."""
    for choice in choices:
        if get_origin(choice) in (tuple, list):
            held = [each for each in get_args(choice) if each is not Ellipsis]
            return held[min(position, len(held) - 1)]
    return Any


def _is_text(choices: list[Any]) -> bool:
    """Whether a single value of one of these types can only be text."""
    texts = [choice is str or get_origin(choice) is Literal for choice in choices]
    return any(texts) and {bool, int, float, Any}.isdisjoint(choices)


def _as_written(node: Any, choices: list[Any], done: dict[Any, yaml.Node]) -> Any:
    """Copy a node, with scalars that stand for text marked as text; a node that aliases share stays shared."""
    key = (id(node), *map(id, choices))
    if key in done:
        return done[key]
    if isinstance(node, yaml.ScalarNode):
        done[key] = _text(node) if _is_text(choices) and not _is_other(node, choices) else node
    elif isinstance(node, yaml.SequenceNode):
        done[key] = copy = yaml.SequenceNode(node.tag, [], node.start_mark, node.end_mark, node.flow_style)
        for position, each in enumerate(node.value):
            copy.value.append(_as_written(each, list(choices_of(_at_position(choices, position))), done))
    else:
        done[key] = copy = yaml.MappingNode(node.tag, [], node.start_mark, node.end_mark, node.flow_style)
        named = not {Settings, _Block}.isdisjoint(choices) or any(_has_names(choice) for choice in choices)
        for name, value in node.value:
            if name.tag == MERGE:
                copy.value.append((name, _merged(value, choices, done)))
                continue
            held = list(choices_of(_at_key(choices, str(name.value)))) if isinstance(name, yaml.ScalarNode) else [Any]
            copy.value.append((_text(name) if named else name, _as_written(value, held, done)))
    return done[key]


def _merged(node: Any, choices: list[Any], done: dict[Any, yaml.Node]) -> Any:
    """Copy what `<<` merges: a mapping, or a list of mappings, of the type that it is merged into."""
    if not isinstance(node, yaml.SequenceNode):
        return _as_written(node, choices, done)
    return yaml.SequenceNode(node.tag, [_as_written(each, choices, done) for each in node.value], node.start_mark)


def _holds_several(choice: Any) -> bool:
    return get_origin(choice) in (tuple, list) or _has_names(choice)


def _has_names(choice: Any) -> bool:
    return get_origin(choice) is dict or (inspect.isclass(choice) and issubclass(choice, BaseModel))


def _is_other(node: yaml.ScalarNode, choices: list[Any]) -> bool:
    """Whether a plain word is no text: nothing at all, or null or a boolean where an option may be null."""
    return not node.style and (not node.value or (type(None) in choices and node.tag in (NULL, BOOLEAN)))


def _text(node: Any) -> Any:
    if node.tag not in GUESSED:
        return node
    return yaml.ScalarNode(TEXT, node.value, node.start_mark, node.end_mark, node.style)
