"""The search for better options."""

import re
from typing import Any, Literal

from pydantic import Field, field_validator

from torchlane.core.options.base import Options
from torchlane.core.options.dimensions import Dimension
from torchlane.core.options.searchable import flatten_space, require_option


class TuningOptions(Options):
    """The search for better options. With `trials: 0` nothing is searched, and what the last search chose is used.

    `space` holds the options to search, by name with their section, dotted or nested. Each has `low` and `high`
    (and `log` or `step`), or `choices`. If it is empty, a default space for the model is searched; see
    `torchlane.core.search.space`. Options named in `fixed` are not searched, nor are those set with `--params`.
    The first trial takes the options as given, even if they are outside the space, and is never given up.

    With `keep_given`, the options given stay unless the best trial is ahead of them on valid by more than the best of
    so many trials is by chance; a grid without them has one trial more. Without, the best trial is taken.

    The sampler `random` draws all trials at once. `grid` tries every combination, with `grid_points` values of a
    range without a step. `tpe` draws `round_trials` at a time and learns from earlier rounds. With
    `round_trials` the other samplers work in rounds too, which lets several machines share a storage. A trial
    trains `members` networks for at most `epochs` (null: as in `training`). After `prune_epochs`, and each
    time the epochs have doubled, the worse half of the trials that train together is given up; null gives up
    none.

    `storage` is the URL of a database for SQLAlchemy that keeps the trials; null means a file in the folder of
    the model.
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
    keep_given: bool = True
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
                f"'{url}' is not the URL of an SQL database; name one such as sqlite:///search.sqlite or "
                f"postgresql://host/name, since other storages of Optuna hold pickles"
            )
        return url
