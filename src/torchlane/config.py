"""Configuration: the use cases of the project, and a check of what they set."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, ClassVar, Union, get_args, get_origin

from omegaconf import OmegaConf
from pydantic import ValidationError

from torchlane.core.options import (
    SECTIONS,
    DataOptions,
    EvaluationOptions,
    ModelOptions,
    SplitOptions,
    TrainingOptions,
)
from torchlane.core.options.base import broken_rule
from torchlane.core.options.recipe import require_shareable
from torchlane.core.options.searchable import SEARCHED, is_option
from torchlane.option_shapes import PARAMETERS, Shape, values_instead_of_text
from torchlane.parameter_files import ParameterFilesLoader

logger = logging.getLogger(__name__)


class UseCaseConfigLoader(ParameterFilesLoader):
    """Kedro's loader with strict parameters: one block for each use case, and no unknown section or option.

    A use case is a file `parameters/<use_case>.yml` in base or in the run's environment. Sections that it leaves
    out have their defaults. A fault in the file stops only the pipelines of its own use case; see `broken`. The
    most recent loader is kept in `latest` for the pipeline registry, since Kedro does not pass one to it. The catalog
    may name the run's environment as `${environment:}`, which is empty if the run named none.

    Raises:
        ValueError: on reading the parameters, if `--params`, or a file outside `parameters/`, holds anything
            unknown or not allowed.
    """

    latest: ClassVar["UseCaseConfigLoader | None"] = None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        OmegaConf.register_resolver("environment", lambda: self.env or "", replace=True)
        self._warned = False
        type(self).latest = self

    def __getitem__(self, key: str) -> dict[str, Any]:
        if key == "parameters" and key not in self:
            self["parameters"] = self._checked(super().__getitem__(key))
        return super().__getitem__(key)

    def broken_use_cases(self) -> dict[str, str]:
        """Return what is wrong with each use case that cannot run, in one line."""
        self["parameters"]
        return {use_case: self.broken[use_case] for use_case in self.use_cases() if use_case in self.broken}

    def warn(self) -> None:
        """Log the use cases that cannot run, once."""
        if not self._warned:
            self._warned = True
            broken = self.broken_use_cases()
            for reason in dict.fromkeys(broken.values()):
                names = " and ".join(name for name in broken if broken[name] == reason)
                logger.warning("%s cannot run, the others can: %s", names, reason)

    def _checked(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        settings = [name for name in self["globals"] if not name.startswith("_")]
        self._require_text({name: parameters.get(name, self["globals"][name]) for name in settings})
        checked: dict[str, Any] = {}
        for name, block in parameters.items():
            if name in settings:
                checked[name] = block
            elif name not in self.use_cases():
                if name not in self.broken:
                    raise ValueError(_unknown("a use case", name, self.use_cases(), self._where(name)))
            elif name in self.read_use_cases() and (name not in self.broken or name in self.runtime_params):
                try:
                    checked[name] = self._checked_block(name, block)
                except ValueError as error:
                    if name in self.runtime_params:
                        raise
                    self._refuse(name, str(error))
        for name in set(self.read_use_cases()) - set(parameters):
            self._refuse(name, f"{self._where(name)} has no block '{name}'; write one, or remove the file")
        return {name: block for name, block in checked.items() if name not in self.broken}

    def _checked_block(self, use_case: str, block: Any) -> dict[str, Any]:
        if not isinstance(block, Mapping):
            raise ValueError(f"'{use_case}' in {self._where(use_case)} must hold sections: {', '.join(SECTIONS)}")
        for section, options in block.items():
            if section not in SECTIONS:
                place = self._where(use_case, section)
                raise ValueError(_unknown(f"a section of {use_case}", section, SECTIONS, place))
            if options is not None and not isinstance(options, Mapping):
                raise ValueError(_no_section(use_case, section, options, self._where(use_case, section)))
        sections = {section: {} if block.get(section) is None else block[section] for section in SECTIONS}
        sections["tuning"] = self._with_fixed(sections["tuning"], use_case)
        sections["data"] = self._with_features(sections["data"], sections["split"], use_case)
        for section, options in sections.items():
            self._require_text(options, PARAMETERS.under(use_case).under(section), use_case, section)
            try:
                checked = SECTIONS[section].model_validate(options)
            except ValidationError as error:
                raise ValueError(self._explain(error, use_case, section)) from error
            if isinstance(checked, ModelOptions) and checked.module_class is not None:
                from torchlane.core.networks.named import trust

                trust(checked.module_class)
        self._try_sharing(sections, use_case)
        self._try_metrics(sections, use_case)
        return sections

    def _try_sharing(self, sections: Mapping[str, Any], use_case: str) -> None:
        """Check that the members of the network can share weights, if they are to."""
        try:
            require_shareable(
                ModelOptions.model_validate(sections["model"]), TrainingOptions.model_validate(sections["training"])
            )
        except ValueError as error:
            place = self._where(use_case, "training", "sharing")
            raise ValueError(f"{use_case}.training.sharing: {error}, in {place}") from error

    def _try_metrics(self, sections: Mapping[str, Any], use_case: str) -> None:
        """Check the metrics that the use case names, now and not after a training."""
        named = EvaluationOptions.model_validate(sections["evaluation"]).metrics
        if named:
            from torchlane.core.judging.named_metrics import check_named

            try:
                check_named(named, DataOptions.model_validate(sections["data"]).task)
            except ValueError as error:
                place = self._where(use_case, "evaluation", "metrics")
                raise ValueError(f"{use_case}.evaluation.metrics: {error}; set it in {place}") from error

    def _require_text(self, options: Mapping[str, Any], shape: Shape = PARAMETERS, *place: str) -> None:
        """Check that every option that is text is given as text."""
        for keys, fault in values_instead_of_text(options, shape, place):
            where = (
                self._where(*keys) if place or keys[0] in self.runtime_params else f"{self.conf_source}/*/globals.yml"
            )
            raise ValueError(f"{'.'.join(keys)}: {fault}, in {where}")

    def _with_features(self, data: Mapping[str, Any], split: Any, use_case: str) -> Mapping[str, Any]:
        """Set the features if the file does not: all columns except the target and those that the split uses."""
        columns = data.get("columns")
        if not isinstance(columns, Mapping) or data.get("features"):
            return data
        try:
            by = SplitOptions.model_validate(split).columns
        except ValidationError:
            return data  # the check of the split section will say what is wrong
        if not set(by) & set(columns):
            return data
        features = [name for name in columns if name not in (data.get("target"), data.get("weight"), *by)]
        if not features:
            place = self._where(use_case, "data")
            raise ValueError(
                f"{use_case}.data: no column is declared besides the target and {', '.join(by)}, which the split "
                f"uses; declare more columns, or name these in data.features, in {place}"
            )
        return {**data, "features": features}

    def _with_fixed(self, tuning: Mapping[str, Any], use_case: str) -> Mapping[str, Any]:
        """Exclude from the search what `--params` sets for this run."""
        given = self.runtime_params.get(use_case)
        known = tuning.get("fixed", ())
        if not isinstance(given, Mapping) or not isinstance(known, Sequence) or isinstance(known, str):
            return tuning
        leaves = [name for section in SEARCHED for name in _leaves(section, given.get(section, {}))]
        fixed = [*dict.fromkeys(filter(None, map(_option_with, leaves)))]
        return {**tuning, "fixed": [*known, *fixed]} if fixed else tuning

    def _explain(self, error: ValidationError, use_case: str, section: str) -> str:
        """Describe the first fault of an options model in one line."""
        fault = error.errors()[0]
        keys = [use_case, section, *map(str, fault["loc"])]
        place = self._where(*keys)
        if fault["type"] == "extra_forbidden":
            known = _fields_at(SECTIONS[section], fault["loc"][:-1])
            return _unknown(f"an option of {'.'.join(keys[:-1])}", keys[-1], known, place)
        value = "" if fault["type"] in ("value_error", "missing") else f", not {fault['input']!r}"
        return f"{'.'.join(keys)}: {broken_rule(fault['msg'])}{value}; set it in {place}"


def _no_section(use_case: str, section: str, value: Any, place: str) -> str:
    off = {"diagnosis": "enabled: false", "tuning": "trials: 0", "evaluation": "folds: 0"}.get(section)
    switch = f"; to switch it off, set {section}: {{{off}}}" if off else ""
    names = ", ".join(field.alias or name for name, field in SECTIONS[section].model_fields.items())
    return (
        f"'{use_case}.{section}' in {place} must hold options by name, not {value!r}{switch}; its options are {names}"
    )


def _leaves(group: str, given: Any) -> list[str]:
    if not isinstance(given, Mapping):
        return [group]
    return [name for key, each in given.items() for name in _leaves(f"{group}.{key}", each)]


def _option_with(name: str) -> str:
    """Return the searchable option that a value belongs to, or an empty text if there is none."""
    while name and not is_option(name):
        name = name.rpartition(".")[0]
    return name


def _fields_at(model: Any, location: Iterable[int | str]) -> list[str]:
    """List the options at a place in a model, also in a value of a mapping such as `data.columns`."""
    for key in location:
        if hasattr(model, "model_fields"):
            model = getattr(model.model_fields.get(str(key)), "annotation", None)
        else:
            model = next(reversed(get_args(model)), None)
        if get_origin(model) in (Union, UnionType):
            model = next((each for each in get_args(model) if each is not NoneType), None)
    return list(getattr(model, "model_fields", {}))


def _unknown(what: str, name: str, known: Iterable[str], place: str) -> str:
    choices = list(known)
    close = get_close_matches(str(name), choices, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    choose = f"; {hint}choose from {', '.join(choices)}" if choices else ""
    return f"'{name}' in {place} is not {what}{choose}"
