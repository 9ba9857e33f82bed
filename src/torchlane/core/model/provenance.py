"""What a model was made from, where and when."""

from pathlib import Path
from typing import Any

from torchlane.core.machine.surroundings import describe_surroundings
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options.by_rows import CHOSEN


def describe_provenance(model: TrainedModel) -> dict[str, Any]:
    """Describe a model that has just been trained and read back from its file: the content of `provenance.json`.

    It has the SHA-256 of the `model` file and of the `rows`, their `source`, the number of `members`, the options that
    may follow from the number of rows (`by_rows`), the `device`, `threads` and `versions` of libraries, and what
    `describe_surroundings` says of the working folder.
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
        **describe_surroundings(Path.cwd()),
    }
