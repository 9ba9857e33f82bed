"""Values in one line of YAML, such that Kedro's configuration loader reads the same values back."""

import re
from typing import Any

import numpy as np
import yaml

from torchlane.core.options import ColumnOptions

PLAIN = r"[A-Za-z]\w*( \w+)*"  # text that needs no quotes in YAML, except for these words:
WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def _is_plain(text: str) -> bool:
    return bool(re.fullmatch(PLAIN, text, re.ASCII)) and text.lower() not in WORDS


class _Dumper(yaml.SafeDumper):
    """Quotes all text except plain words, so that no loader reads it as a number, a date or a boolean."""

    def represent_text(self, text: str) -> yaml.Node:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if _is_plain(text) else '"')


_Dumper.add_representer(str, _Dumper.represent_text)


def as_value(value: Any) -> str:
    """Write a value in one line."""
    return as_key(_escaped(value))


def as_key(value: Any) -> str:
    """Write a key in one line. References such as `${…}` are not escaped, since OmegaConf resolves none in keys."""
    if isinstance(value, str) and _is_plain(value):
        return value
    if isinstance(value, dict) and all(key in ColumnOptions.model_fields for key in value):
        return "{" + ", ".join(f"{key}: {as_key(each)}" for key, each in value.items()) + "}"
    written = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=np.inf
    )
    return written.strip().removesuffix("...").strip()


def as_comment(text: str) -> str:
    """Escape unprintable characters such as line breaks, for use in a comment."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _escaped(value: Any) -> Any:
    """Escape `${…}` in values, which OmegaConf would resolve as a reference."""
    if isinstance(value, dict):
        return {key: _escaped(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", value) if isinstance(value, str) else value
