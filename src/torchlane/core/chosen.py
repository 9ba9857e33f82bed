"""What a search changed, how it is kept, and how train takes it up."""

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd
from pandas.util import hash_pandas_object

from torchlane.core.options import DataOptions, TuningOptions
from torchlane.core.space import Recipe, Space, is_fixed, put_option
from torchlane.core.splits import rows_of

logger = logging.getLogger(__name__)

Chosen = dict[str, Any]


def no_change() -> Chosen:
    """Say that nothing was searched."""
    return {"trials": 0, "encoding": {}, "model": {}, "training": {}}


def describe_choice(before: Recipe, after: Recipe) -> Chosen:
    """Give what differs between two recipes, by section."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return {section: _differences(old[section], new[section]) for section in new}


def apply_chosen(
    chosen: Chosen,
    clean_rows: pd.DataFrame,
    splits: pd.DataFrame,
    data: DataOptions,
    recipe: Recipe,
    options: TuningOptions,
) -> Recipe:
    """Apply what was chosen, unless rows or space have changed since; what is fixed stays as given."""
    changes = {section: chosen.get(section, {}) for section in Recipe.model_fields}
    if not any(changes.values()):
        return recipe
    if chosen["data_fingerprint"] != data_fingerprint(clean_rows, splits, data):
        logger.warning("the chosen options belong to other data and are left out; run the stage tune again")
        return recipe
    if chosen["space_fingerprint"] != space_fingerprint(options.space, recipe):
        logger.warning("the chosen options belong to another tuning.space and are left out; run the stage tune again")
        return recipe
    kept: dict[str, Any] = recipe.model_dump(mode="json")
    taken = []
    for name, value in _leaves("", changes):
        if is_fixed(name, options.fixed):
            logger.info("options: %s stays %s as given, though the search chose %s", name, recipe.value(name), value)
            continue
        put_option(kept, name, value)
        taken.append(f"{name} {value}")
    logger.info("options: as the search chose them: %s", ", ".join(taken) or "none")
    return Recipe.model_validate(kept)


def data_fingerprint(clean_rows: pd.DataFrame, splits: pd.DataFrame, data: DataOptions) -> str:
    """Give the SHA-256 of what a search looks at: features and target of train and valid."""
    names = [*data.feature_columns, data.target]
    digest = hashlib.sha256(json.dumps([data.task, *names]).encode())
    for part in ("train", "valid"):
        rows = rows_of(part, clean_rows, splits)[names]
        digest.update(f"{part} {len(rows)};".encode())
        digest.update(hash_pandas_object(rows, index=False).to_numpy().tobytes() if len(rows) else b"")
    return digest.hexdigest()


def space_fingerprint(space: Space, recipe: Recipe) -> str:
    """Give the SHA-256 of a space as stated, and of what gives it its meaning: network and optimizer."""
    named = {
        "space": {name: each.model_dump(mode="json") for name, each in space.items()},
        "kind": [recipe.model.kind, recipe.model.name, recipe.model.module_class],
        "optimizer": recipe.training.optimizer.name,
    }
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict):
            inner = _differences(before if isinstance(before, dict) else {}, value)
            if inner:
                found[key] = inner
        elif value != before:
            found[key] = value
    return found


def _leaves(place: str, tree: Mapping[str, Any]) -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, value in tree.items():
        name = f"{place}.{key}" if place else key
        leaves += _leaves(name, value) if isinstance(value, dict) else [(name, value)]
    return leaves
