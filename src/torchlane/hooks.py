"""What happens around a run: one run at a time, nothing stale taken for finished, and where to look in the end."""

import json
import logging
import threading
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline

from torchlane.core import failures
from torchlane.core.files import replacing
from torchlane.stages import check_run

logger = logging.getLogger(__name__)


class RunHooks:
    """Watch the runs of each use case through two small files beside its model.

    `.lock` belongs to the run at work. `.unfinished.json` names the datasets that a run meant to
    write and has not written yet: after a kill they may still hold what an earlier run wrote, so
    `--only-missing-outputs` must not take them for finished.
    """

    def __init__(self) -> None:
        self._locks: list[FileLock] = []
        self._unfinished: dict[Path, set[str]] = {}
        self._writing = threading.Lock()

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        for use_case in _use_cases(pipeline):
            self._lock(use_case, _model_folder(use_case, catalog))
        try:
            check_run(pipeline, catalog)
        except Exception:
            self._release()
            raise
        for use_case in _use_cases(pipeline):
            note = _model_folder(use_case, catalog) / ".unfinished.json"
            left = set(json.loads(note.read_text())) if note.exists() else set()
            meant = {name for name in pipeline.all_outputs() if name.startswith(f"{use_case}.")}
            if run_params.get("only_missing_outputs"):
                for name in meant & left:
                    catalog[name]._exists = lambda: False
                meant = {name for name in meant if not catalog[name].exists()}
            self._unfinished[note] = left | meant
            self._write(note)

    @hook_impl
    def after_node_run(self, inputs: dict[str, Any]) -> None:
        """Remove the checkpoints that no training will read any more."""
        for store in inputs.values():
            if hasattr(store, "of_run"):
                store.clear()

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        with self._writing:
            for note, names in self._unfinished.items():
                if dataset_name in names:
                    names.discard(dataset_name)
                    self._write(note)

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        for note, names in self._unfinished.items():
            names -= pipeline.all_outputs()  # a parallel runner saves in other processes
            self._write(note)
        self._release()
        for use_case in _use_cases(pipeline):
            if f"{use_case}.metrics" in pipeline.all_outputs():
                folder = _shown(Path(catalog[f"{use_case}.metrics"]._filepath).parent)
                logger.info("%s: metrics and figures are in %s; kedro viz run shows them", use_case, folder)
        scorings = sorted(name for name in pipeline.all_outputs() if name.endswith(".scoring"))
        failures.raise_worst(*(catalog[name].load() for name in scorings))

    @hook_impl
    def on_pipeline_error(self) -> None:
        self._release()

    def _lock(self, use_case: str, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / ".lock")
            lock.acquire(blocking=False)
        except Timeout as error:
            self._release()
            raise ValueError(
                f"another run of {use_case} is writing to {_shown(folder)} and the like; "
                f"wait until it ends, or write elsewhere with --params=output_root=…"
            ) from error
        except OSError as error:
            raise ValueError(
                f"{_shown(folder)} cannot be written ({error.strerror or error}); set output_root to a folder that can"
            ) from error
        self._locks.append(lock)

    def _release(self) -> None:
        for lock in self._locks:
            lock.release()
        self._locks, self._unfinished = [], {}

    def _write(self, note: Path) -> None:
        names = sorted(self._unfinished[note])
        if not names:
            note.unlink(missing_ok=True)
            return
        with replacing(note) as partial:
            partial.write_text(json.dumps(names))


def _use_cases(pipeline: Pipeline) -> list[str]:
    """Name the use cases that a run trains; scoring needs no lock but the claims in its ledger."""
    return sorted({node.namespace for node in pipeline.nodes if node.namespace and "predict" not in node.tags})


def _model_folder(use_case: str, catalog: Any) -> Path:
    return catalog[f"{use_case}.model"].path.parent


def _shown(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
