"""The facts of a report, which know the place that they are read from."""

from pathlib import Path
from typing import Any

from torchlane.datasets.paths import shown
from torchlane.datasets.stock import JSONDataset


class FactsDataset(JSONDataset):
    """A JSON file of facts. Loading it adds their `place`, which the commands of a report name.

    Args:
        use_case: the use case that the facts are about.
        model: its model file.
        inbox: the folder of files to score.
        environment: the environment of the run; empty for that of every day.
        given: the folders that `--params` set for the run, by name; None for those that it did not.
        arguments: those of `JSONDataset`.
    """

    def __init__(
        self, *, use_case: str, model: str, inbox: str, environment: str, given: dict[str, str | None], **arguments: Any
    ):
        super().__init__(**arguments)
        self._place = {
            "use_case": use_case,
            "model": str(shown(Path(model))),
            "inbox": str(shown(Path(inbox))),
            "environment": environment or None,
            "given": given,
        }

    def load(self) -> dict[str, Any]:
        """Read the facts, and add the place."""
        return {**super().load(), "place": self._place}
