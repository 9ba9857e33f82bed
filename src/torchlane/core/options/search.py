"""The search for better options."""

import re
from typing import Any, Literal

from pydantic import Field, field_validator

from torchlane.core.options.base import Options
from torchlane.core.options.dimensions import Dimension
from torchlane.core.options.searchable import flatten_space, require_option


class TuningOptions(Options):
    """The search for better options; with no trials what the last search chose is taken, if it fits.

    `space` says what is searched: names of options with their section, dotted or nested, each with
    `low` and `high` (`log`, `step`) or `choices`; empty is the space that fits the model, see
    `torchlane.core.search.space`. Options named in `fixed` stay as they are; those set with `--params` always do.
    The first trial takes the options as given, also where the space does not hold them, and is never given up.

    `random` draws all trials at once and `grid` takes every combination (`grid_points` values of a range
    without a step), `tpe` asks for `round_trials` at a time and learns from those before. `round_trials`
    makes the others go in rounds too, for several machines that share a storage. Trials are `members`
    networks of at most `epochs` (null: as training). After `prune_epochs`, and whenever the epochs have
    doubled, the worse half of those trained together is given up; null gives up none.

    `storage` is a database of SQLAlchemy that remembers the trials; null is a file in the folder of the model.
    """

    trials: int = Field(0, ge=0)
    sampler: Literal["random", "grid", "tpe"] = "random"
    space: dict[str, Dimension] = {}
    fixed: tuple[str, ...] = ()
    seed: int = Field(0, ge=0)
    members: int = Field(1, ge=1)
    epochs: int | None = Field(None, ge=1)
    prune_epochs: int | None = Field(10, ge=1)
    round_trials: int | None = Field(None, ge=1)
    grid_points: int = Field(3, ge=2)
    storage: str | None = None

    @field_validator("space", mode="before")
    @classmethod
    def _space_is_known(cls, given: Any) -> Any:
        return flatten_space(given)

    @field_validator("fixed")
    @classmethod
    def _fixed_is_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            require_option(name)
        return names

    @field_validator("storage")
    @classmethod
    def _storage_holds_no_pickle(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"^(?!redis)[a-z]\w*(\+\w+)?://", url):
            raise ValueError(
                f"'{url}' is no URL of an SQL database such as sqlite:///search.sqlite or postgresql://host/name; "
                f"other storages of Optuna hold pickles"
            )
        return url
