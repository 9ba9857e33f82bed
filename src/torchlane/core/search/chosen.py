"""What a search chose: the form in which it is stored, and how train applies it."""

import json
import logging
import textwrap
from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, Field, ValidationError

from torchlane.core.options import DataOptions, Recipe, TuningOptions, fault_in_options
from torchlane.core.search.fingerprints import data_fingerprint, space_fingerprint
from torchlane.core.search.space import Space, is_fixed, write_value

logger = logging.getLogger(__name__)

Chosen = dict[str, Any]
MOST_SHOWN = 60  # characters of a malformed file that a message quotes
AGAIN = "search again with tuning.trials above 0"


def no_change() -> Chosen:
    """Return the result of a run that searched nothing."""
    return {"trials": 0, "values": {}}


class _Form(BaseModel):
    """What a search writes when it has chosen something, apart from the trial and its score."""

    trials: Annotated[int, Field(ge=1, strict=True)]
    values: dict[str, Any]
    found_for: dict[str, Any]
    space_fingerprint: str
    data_fingerprint: str


def read_chosen(text: str) -> Chosen:
    """Read what a search chose from its JSON.

    Raises:
        ValueError: the text is not JSON, or not of the form that a search writes.
    """
    given = json.loads(text)
    if not isinstance(given, dict) or "trials" not in given:
        raise ValueError(f"a search writes a mapping with trials and values, not {_shortened(text)}")
    if given["trials"] != 0 and "values" in given:  # an earlier version wrote no values
        try:
            _Form.model_validate(given)
        except ValidationError as error:
            fault = error.errors()[0]
            shown = "" if fault["type"] == "missing" else f", not {_shortened(json.dumps(fault['input']))}"
            raise ValueError(
                f"it does not have the form that a search writes: {fault_in_options(error)}{shown}"
            ) from error
    return given


def _shortened(text: str) -> str:
    return textwrap.shorten(text, MOST_SHOWN, placeholder=" …")


def apply_chosen(
    chosen: Chosen,
    clean_rows: pd.DataFrame,
    splits: pd.DataFrame,
    data: DataOptions,
    recipe: Recipe,
    options: TuningOptions,
) -> Recipe:
    """Apply what a search chose to the recipe, unless the rows or the space have changed since.

    Options in `tuning.fixed` keep their given values.

    Raises:
        ValueError: the chosen values and the given options do not go together.
    """
    if not chosen.get("trials"):
        return recipe
    fault = why_stale(chosen, clean_rows, splits, data) or _other_space(chosen, recipe, options.space)
    if fault:
        logger.warning("options: what the search chose is not applied, since %s; %s", fault, AGAIN)
        return recipe
    if not chosen["values"]:
        logger.info("options: as given, which the search kept")
        return recipe
    taken = {}
    for name, value in chosen["values"].items():
        if is_fixed(name, options.fixed):
            logger.info("options: %s stays %s as given, although the search chose %s", name, recipe.value(name), value)
        else:
            taken[name] = value
    try:
        changed = recipe.changed(taken)
    except ValueError as error:
        raise ValueError(
            f"what the search chose does not go with the options as given: {fault_in_options(error)}; set these "
            f"options back, search again, or delete chosen_options.json"
        ) from error
    shown = ", ".join(f"{name} {write_value(value)}" for name, value in taken.items())
    logger.info("options: as the search chose them: %s", shown or "none")
    return changed.model_copy(update={"trials": chosen["trials"] if taken else 0})


def why_stale(chosen: Chosen, clean_rows: pd.DataFrame, splits: pd.DataFrame, data: DataOptions) -> str:
    """Say why what was chosen does not apply to these rows, or return an empty text if it does."""
    if "values" not in chosen:
        return "an earlier version wrote it"
    if chosen["data_fingerprint"] != data_fingerprint(clean_rows, splits, data):
        return "rows or splits have changed since"
    return ""


def _other_space(chosen: Chosen, recipe: Recipe, space: Space) -> str:
    """Say how the space differs from the one searched, or return an empty text. A run without a space takes any."""
    for name, value in chosen["found_for"].items():
        if recipe.value(name) != value:
            return f"it was found for {name} {value}, not {recipe.value(name)}"
    if space and space_fingerprint(space) != chosen["space_fingerprint"]:
        return "tuning.space has changed since"
    return ""


def found_for(recipe: Recipe, space: Space) -> dict[str, str]:
    """Return the network and the optimizer that a space was written for, unless they are searched too."""
    names = ("model.kind", "model.name", "model.module_class", "training.optimizer.name")
    stated = {name: recipe.value(name) for name in names if not is_fixed(name, tuple(space))}
    return {name: value for name, value in stated.items() if value is not None}
