"""Parameters as YAML, except that an option that is text is read as it was written.

YAML 1.1 turns the plain words `no`, `010`, `12:30:45` and `~` into False, 8, 45045 and null. A level, a column or
a file can have these names, so PyYAML's nodes for them are marked as text before values are made of them.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf._utils import split_key
from omegaconf._yaml import get_yaml_loader

from torchlane.option_shapes import PARAMETERS, Shape

TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
NULL, BOOLEAN = "tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"
GUESSED = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "null", "timestamp", "value", "merge")}
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


def _loader(keys: Iterable[str] = ()) -> Any:
    """Return OmegaConf's loader with text as written; `keys` lead to the option that the document is the value of."""

    class TextLoader(get_yaml_loader(max_yaml_expanded_nodes=MOST_NODES)):  # type: ignore[misc]
        def construct_document(self, node: yaml.Node) -> Any:
            shape: Shape = PARAMETERS
            for key in keys:
                shape = shape.under(key)
            return super().construct_document(_as_written(node, shape, {}))

    return TextLoader


def _as_written(node: Any, shape: Shape, done: dict[tuple[int, int], yaml.Node]) -> Any:
    """Copy a node, with scalars that stand for text marked as text; a node that aliases share stays shared."""
    key = (id(node), id(shape))
    if key in done:
        return done[key]
    if isinstance(node, yaml.ScalarNode):
        done[key] = _text(node) if shape.is_text and not _is_other(node, shape) else node
    elif isinstance(node, yaml.SequenceNode):
        done[key] = copy = yaml.SequenceNode(node.tag, [], node.start_mark, node.end_mark, node.flow_style)
        copy.value += [_as_written(each, shape.at(position), done) for position, each in enumerate(node.value)]
    else:
        done[key] = copy = yaml.MappingNode(node.tag, [], node.start_mark, node.end_mark, node.flow_style)
        for name, value in node.value:
            if name.tag == MERGE:
                copy.value.append((name, _to_merge(value, shape, done)))
            else:
                held = _as_written(value, shape.under(str(name.value)), done)
                copy.value.append((_text(name) if shape.is_named else name, held))
    return done[key]


def _to_merge(node: Any, shape: Shape, done: dict[tuple[int, int], yaml.Node]) -> Any:
    """Copy what `<<` merges: a mapping, or a list of mappings, of the shape that it is merged into."""
    if not isinstance(node, yaml.SequenceNode):
        return _as_written(node, shape, done)
    return yaml.SequenceNode(node.tag, [_as_written(each, shape, done) for each in node.value], node.start_mark)


def _is_other(node: yaml.ScalarNode, shape: Shape) -> bool:
    """Whether a plain word is no text: nothing at all, or null or a boolean where an option may be null."""
    return not node.style and (not node.value or (shape.is_optional and node.tag in (NULL, BOOLEAN)))


def _text(node: Any) -> Any:
    if node.tag not in GUESSED:
        return node
    return yaml.ScalarNode(TEXT, node.value, node.start_mark, node.end_mark, node.style)
