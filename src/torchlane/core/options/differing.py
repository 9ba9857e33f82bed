"""Which options differ from their defaults."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from torchlane.core.options.base import Options
from torchlane.core.options.network import DEFAULTS_OF_KIND, ModelOptions


def differing(options: Options) -> Iterator[tuple[str, Any, Any]]:
    """Yield each option that differs from its default: its name, its value and the default, written as in YAML.

    The defaults of a network are those of its kind. The default of an option that must be given is None.
    """
    usual = _defaults(options)
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        if value != usual[name]:
            yield field.alias or name, _written(value), _written(usual[name])


def _defaults(options: Options) -> dict[str, Any]:
    defaults = {
        name: None if field.is_required() else field.get_default(call_default_factory=True)
        for name, field in type(options).model_fields.items()
    }
    if isinstance(options, ModelOptions) and options.kind in DEFAULTS_OF_KIND:
        defaults |= dict(ModelOptions.model_validate({"kind": options.kind}))
    return defaults


def _written(value: Any) -> Any:
    """Write options as YAML has them: a group by its kind, if it has one, and without its own defaults."""
    if isinstance(value, BaseModel):
        kind = {"kind": value.kind} if hasattr(value, "kind") else {}
        return {**kind, **value.model_dump(mode="json", exclude_defaults=True)}
    if isinstance(value, Mapping):
        return {str(name): _written(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_written(each) for each in value]
    return to_jsonable_python(value)
