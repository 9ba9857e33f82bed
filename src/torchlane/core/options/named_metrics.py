"""Metrics of torchmetrics that a use case names. Importing this module imports neither torch nor torchmetrics."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator

from torchlane.core.options.base import Options

ENDINGS = {True: ("_score",), False: ("_error", "_loss")}  # of names in metrics.json, by whether higher is better


class MetricOptions(Options):
    """A class of torchmetrics by name, with its arguments except `task` and `num_classes`, which the target sets."""

    name: Annotated[str, Field(pattern=r"^torchmetrics(\.\w+)+$")]
    arguments: dict[str, Any] = {}

    @field_validator("arguments")
    @classmethod
    def _target_sets_the_rest(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        for name in ("task", "num_classes"):
            if name in arguments:
                raise ValueError(f"{name} is set by the target of the use case; leave it out of arguments")
        return arguments


def metrics_by_name(given: object) -> object:
    """Turn a list of metrics into a mapping, whose keys are the names of the classes in snake case.

    Raises:
        ValueError: two metrics of the list have one name.

    >>> metrics_by_name(["torchmetrics.MatthewsCorrCoef", {"name": "torchmetrics.R2Score"}])
    {'matthews_corr_coef': {'name': 'torchmetrics.MatthewsCorrCoef'}, 'r2_score': {'name': 'torchmetrics.R2Score'}}
    """
    if isinstance(given, Mapping):
        return {key: _spelt_out(each) for key, each in given.items()}
    if not isinstance(given, list | tuple):
        return given
    named: dict[str, Any] = {}
    for each in map(_spelt_out, given):
        if not (isinstance(each, Mapping) and isinstance(each.get("name"), str)):
            raise ValueError(f"a metric is a class such as torchmetrics.MatthewsCorrCoef, not {each!r}")
        name = _snake_case(each["name"].rpartition(".")[2])
        if name in named:
            raise ValueError(f"two metrics would be called {name}; write a mapping with a name for each")
        named[name] = each
    return named


def _spelt_out(metric: object) -> object:
    return {"name": metric} if isinstance(metric, str) else metric


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
