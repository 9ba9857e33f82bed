"""The history of a use case: a line of JSON for each finished run."""

import json
import logging
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from torchlane.core.machine.files import replacing
from torchlane.datasets.paths import shown

logger = logging.getLogger(__name__)

Run = dict[str, Any]
KEPT = 1000  # lines, the newest


class RunsDataset(AbstractDataset[Run, list[Run]]):
    """A JSON Lines file. Loading gives all runs, the oldest first; saving adds one run at the end.

    The file is replaced as a whole, so neither a kill nor a reader beside the writer sees half a line. Writers must
    not overlap: the lock of the use case sees to that. At most `KEPT` runs are kept, and the log says which are
    dropped. A line that cannot be read, as after a change by hand, is left out of what is loaded and stays in the file.

    Args:
        filepath: the file.
        metadata: for other tools, such as Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        self.path = Path(filepath)
        self.metadata = metadata

    def load(self) -> list[Run]:
        found: list[Run] = []
        for number, line in enumerate(self._lines(), start=1):
            try:
                run = json.loads(line)
                if not isinstance(run, dict) or "when" not in run:
                    raise ValueError("it has no time")
                found.append(run)
            except ValueError as error:
                logger.warning("line %d of %s is left out, since it is not a run: %s", number, shown(self.path), error)
        return found

    def save(self, data: Run) -> None:
        lines = self._lines()
        dropped = max(0, len(lines) + 1 - KEPT)
        if dropped:
            logger.info("%s keeps the last %s runs; the oldest is dropped", shown(self.path), f"{KEPT:,}")
        lines = [*lines[dropped:], json.dumps(data, ensure_ascii=False)]
        with replacing(self.path) as partial:
            partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def _lines(self) -> list[str]:
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DatasetError(f"{shown(self.path)} cannot be read: {error.strerror or error}") from error
        return [line for line in text.split("\n") if line.strip()]

    def _exists(self) -> bool:
        return self.path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.path)}
