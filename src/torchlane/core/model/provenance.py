"""What a model was made from, where and when."""

from pathlib import Path
from typing import Any

from torchlane.core.machine.surroundings import describe_surroundings
from torchlane.core.model.learned import is_refit
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options.by_rows import CHOSEN


def describe_provenance(model: TrainedModel) -> dict[str, Any]:
    """Describe a model that has just been trained and read back from its file: the content of `provenance.json`.

    It has the SHA-256 of the `model` file and of the `rows` that it was trained on, their `source`, the number of
    `members`, the options that may be `auto` (`by_rows`), the `device`, `threads` and `versions` of libraries, and what
    `describe_surroundings` says of the working folder. `refit` has the details of a refit, if there was one.
    """
    details = model.details
    return {
        "model": model.fingerprint,
        "rows": details["data_fingerprint"],
        "source": details["source"],
        "members": model.n_members,
        "by_rows": {name: getattr(model.training, name) for name in CHOSEN},
        "device": details["device"],
        "threads": details["threads"],
        "versions": details["versions"],
        **({"refit": details["refit"]} if is_refit(model) else {}),
        **describe_surroundings(Path.cwd()),
    }
