"""Fingerprints: SHA-256 sums that tell whether the rows, the space or the whole search are the same as before."""

import hashlib
import json
from typing import Any

import pandas as pd
from pandas.util import hash_pandas_object

from torchlane.core.options import DataOptions
from torchlane.core.rows.splits import rows_of
from torchlane.core.search.ground import Ground
from torchlane.core.search.space import Space

RECORDS = 2  # the form of what a study keeps of a trial; another one begins another search
NO_EFFECT = (  # of `training`, on what a trial reaches
    *("members", "refit", "device", "checkpoint_minutes", "checkpoint_epochs"),
)


def fingerprint(content: Any) -> str:
    """Return the SHA-256 of the content as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def space_fingerprint(space: Space) -> str:
    """Return the SHA-256 of a space."""
    return fingerprint({name: each.model_dump(mode="json") for name, each in space.items()})


def data_fingerprint(clean_rows: pd.DataFrame, splits: pd.DataFrame, data: DataOptions) -> str:
    """Return the SHA-256 of what a search looks at: the task, and features, target and weights of train and valid."""
    names = [*data.feature_columns, data.target, *([] if data.weight is None else [data.weight])]
    digest = hashlib.sha256(json.dumps([data.task, *names]).encode())
    for part in ("train", "valid"):
        rows = rows_of(part, clean_rows, splits)[names]
        digest.update(f"{part} {len(rows)};".encode())
        digest.update(hash_pandas_object(rows, index=False).to_numpy().tobytes() if len(rows) else b"")
    return digest.hexdigest()


def identify_search(ground: Ground, space: Space) -> dict[str, str]:
    """Return the fingerprints of the data, the space and the options that the values of trials depend on.

    Two runs with the same identity share their trials.
    """
    options = ground.options
    fixed = ground.recipe.model_dump(mode="json", exclude={"trials"})
    for name in NO_EFFECT:
        fixed["training"].pop(name)
    searched = options.model_dump(mode="json", include={"sampler", "seed", "members", "epochs", "prune_epochs"})
    return {
        "data": data_fingerprint(ground.clean_rows, ground.splits, ground.data),
        "space": space_fingerprint(space),
        "options": fingerprint({**fixed, **searched, "points": options.grid_points, "records": RECORDS}),
    }
