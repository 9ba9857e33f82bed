"""Write `docs/options.md`, the reference of all options, from `torchlane.core.options`.

Names, types, defaults and limits come from the options themselves, as do the paragraphs: they are the docstrings.
`docs/options.yml` says what each option means in a few words. Run it after any change of the options:
`uv run python docs/options.py`.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from torchlane.core.options import SECTIONS, ChoicesOptions, OptimizerOptions, RangeOptions, SchedulerOptions
from torchlane.core.options.by_rows import BANDS, CHOSEN

PAGE = Path(__file__).with_name("options.md")
INTRODUCTION = """# Options

This page is generated from `torchlane.core.options` by `uv run python docs/options.py`.
Change the options there, not here.

A use case has one block with these sections in `conf/base/parameters/<use_case>.yml`. Each section states only what
differs from the defaults. An unknown name or an impossible value is refused in one line before anything runs.
`--params=<use_case>.<section>.<option>=<value>` sets an option for a single run; a list is written as `[1,2]`.
Text is read as it is written: `no` and `010` are a text where an option is text.

"required" means that there is no default. `null` is YAML's word for no value.
"""
WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "any value"}
NAMED_BY_USERS = {"columns": "columns.<name>", "metrics": "metrics.<name>", "space": "space.<option>: "}
NAMED = {RangeOptions: "a range", ChoicesOptions: "choices"}
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
MEANINGS: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"))


def reference() -> str:
    """Give the whole page.

    Raises:
        KeyError: an option or a group of options has no entry in `docs/options.yml`.
    """
    parts = [INTRODUCTION, _sections()]
    for section, options in SECTIONS.items():
        parts.append(f"## {section}\n")
        parts.extend(_described(section, options))
    return "\n".join(parts)


def groups() -> dict[str, list[str]]:
    """Name all options, by the group that they stand in, as a user writes them."""
    found = {}
    for section, options in SECTIONS.items():
        for group, model in [(section, options), *_inner(section, options)]:
            found[group] = [_shown(name, field) for name, field in model.model_fields.items()]
    return found


def _sections() -> str:
    """List the sections with their options."""
    lines = ["| section | options |", "| --- | --- |"]
    for section, options in SECTIONS.items():
        names = ", ".join(f"`{_shown(name, field)}`" for name, field in options.model_fields.items())
        lines.append(f"| [`{section}`](#{section}) | {names} |")
    return "\n".join([*lines, ""])


def _described(group: str, options: type[BaseModel]) -> Iterator[str]:
    yield _paragraphs(options)
    yield _table(group, options)
    if group == "training":
        yield from ("### What `auto` chooses\n", _bands())
    for place, inner in _inner(group, options):
        if place in MEANINGS:
            yield f"### `{place}`\n"
            yield from (_paragraphs(inner), _table(place, inner))


def _inner(group: str, options: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Give the groups of options within a group, but for those that are described in another section."""
    for name, field in options.model_fields.items():
        models = [each for each in _leaves(field.annotation) if isinstance(each, type) and issubclass(each, BaseModel)]
        for model in models:
            if model in (OptimizerOptions, SchedulerOptions) and group != "training":
                continue
            place = f"{group}.{NAMED_BY_USERS.get(name, name)}"
            yield place + (NAMED.get(model, "")), model


def _leaves(annotation: Any) -> Iterator[Any]:
    inner = get_args(annotation)
    if not inner or get_origin(annotation) is Literal:
        yield annotation
    for each in inner:
        yield from _leaves(each)


def _paragraphs(options: type[BaseModel]) -> str:
    text = re.sub(r"\n +", "\n", options.__doc__ or "").strip()
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n")) + "\n"


def _table(group: str, options: type[BaseModel]) -> str:
    lines = ["| option | meaning | takes | default |", "| --- | --- | --- | --- |"]
    for name, field in options.model_fields.items():
        shown = _shown(name, field)
        cells = (f"`{shown}`", MEANINGS[group][shown], _takes(field), _default(field))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _rows(least: float, most: float) -> str:
    """Write a range of numbers of rows."""
    if math.isinf(most):
        return f"{least:,} or more" if least else "any number"
    return f"{least:,} to {most:,}" if least else f"up to {most:,}"


def _bands() -> str:
    """Show what the number of rows of train chooses."""
    lines = [
        "| network | rows of train |" + "".join(f" `{name}` |" for name in CHOSEN),
        "| --- " * (2 + len(CHOSEN)) + "|",
    ]
    for network, bands in BANDS.items():
        least = 0
        for band in bands:
            chosen = "".join(f" {_value(getattr(band, name))} |" for name in CHOSEN)
            lines.append(f"| {network} | {_rows(least, band.most_rows)} |{chosen}")
            least = band.most_rows + 1
    return "\n".join([*lines, ""])


def _value(value: Any) -> str:
    """Write what a band says for one option."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{value}`" if isinstance(value, str) else f"{value:,}"


def _shown(name: str, field: FieldInfo) -> str:
    return field.alias or name


def _takes(field: FieldInfo) -> str:
    """Say what an option takes: its type and its limits."""
    limits = [*_limits(field.metadata)]
    return ", ".join([_type(field.annotation), *limits])


def _limits(metadata: Any) -> Iterator[str]:
    for rule in metadata:
        if isinstance(rule, FieldInfo):
            yield from _limits(rule.metadata)
        for name, sign in SIGNS.items():
            if getattr(rule, name, None) is not None:
                yield f"{sign} {getattr(rule, name):g}"
        if getattr(rule, "min_length", None):
            yield "not empty"
        if getattr(getattr(rule, "func", None), "__name__", "") == "require_coverage":
            yield "> 0, < 1"
        if getattr(rule, "pattern", None):
            yield f"as `{rule.pattern}`"


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return ", ".join([_type(inner[0]), *_limits(inner[1:])])
    if origin in (Union, UnionType):
        return " or ".join("null" if each is NoneType else _type(each) for each in inner)
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in inner)
    if origin is tuple and inner[-1] is not Ellipsis:
        return f"list of {len(inner)}: {_type(inner[0])}"
    if origin is tuple:
        return f"list: {_type(inner[0])}"
    if origin is dict:
        return f"mapping of names: {_type(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return NAMED.get(annotation, "options")
    return WORDS[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    assert value is not PydanticUndefined
    if isinstance(value, BaseModel):
        given = {name: each for name, each in value.model_dump().items() if name in value.model_fields_set}
        return f"`{_yaml(given)}`" if given else "its own defaults"
    return f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    """Write a value as it stands in YAML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        inner = ", ".join(f"{name}: {_yaml(each)}" for name, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, str):
        return value or '""'
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
