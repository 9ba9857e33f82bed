"""Around a run: one run per use case at a time, no stale output mistaken for finished, and where the results are."""

import functools
import json
import logging
import threading
import weakref
from collections.abc import Callable, Collection, Generator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from kedro.framework.hooks import hook_impl
from kedro.pipeline import Node, Pipeline
from kedro.runner import AbstractRunner

from torchlane.core.machine.files import replacing
from torchlane.core.scoring import failures
from torchlane.datasets.paths import shown
from torchlane.log_lines import begin_node, begin_run
from torchlane.stages import check_run, use_case_of
from torchlane.tracking.ending import log_ending

logger = logging.getLogger(__name__)


class RunHooks:
    """Guard the runs of each use case with two small files beside its model.

    `.lock` is locked by the run in progress. `.unfinished.json` names the datasets that a run is going to write
    and has not written yet. After a kill they may still hold what an earlier run wrote, so
    `--only-missing-outputs` must not take them for finished.

    A process has one instance for all its runs, which may run at the same time. A run is identified by its catalog.
    """

    def __init__(self) -> None:
        self._ends: dict[int, weakref.finalize[[list[FileLock]], Any]] = {}  # by the catalog's id
        self._thread = threading.local()
        self._noting = threading.Lock()

    @hook_impl(trylast=True)  # the error of another hook must not leave the lock behind
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        begin_run(len({use_case_of(node) for node in pipeline.nodes}))
        locks: list[FileLock] = []
        self._ends[id(catalog)] = weakref.finalize(catalog, _release, locks)  # at the latest with the catalog's end
        try:
            for use_case in _use_cases(pipeline):
                locks.append(_lock(use_case, _model_folder(use_case, catalog)))
            check_run(pipeline, catalog)
            for use_case in _use_cases(pipeline):
                note = _note(use_case, catalog)
                left = _read(note)
                meant = {name for name in pipeline.all_outputs() if name.startswith(f"{use_case}.")}
                if run_params.get("only_missing_outputs"):
                    for name in meant & left:
                        catalog[name]._exists = _is_missing
                    meant = {name for name in meant if not catalog[name].exists()}
                _write(note, left | meant)
            if run_params.get("only_missing_outputs"):
                _score_always(pipeline, catalog)
        except BaseException:
            self.end(catalog)
            raise

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        begin_node(use_case_of(node) or None)

    @hook_impl
    def on_node_error(self) -> None:
        begin_node(None)

    @hook_impl
    def after_node_run(self, node: Node, catalog: Any, inputs: dict[str, Any]) -> None:
        """Remember which use case this thread saves for next, and delete checkpoints that no training will read."""
        begin_node(None)
        use_case = _use_case(node)
        self._thread.note = _note(use_case, catalog) if use_case else None
        for store in inputs.values():
            if hasattr(store, "of_run"):
                store.clear()

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        if self._thread.note is not None:
            self._strike_off(self._thread.note, {dataset_name})

    @hook_impl(wrapper=True)  # other hooks record the run while it is locked; the exit status comes after them
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any
    ) -> Generator[None, None, None]:
        try:
            for use_case in _use_cases(pipeline):  # a parallel runner saves in other processes
                self._strike_off(_note(use_case, catalog), pipeline.all_outputs())
            for use_case in _use_cases(pipeline):
                rejected = f"{use_case}.rejected_rows"
                if rejected in pipeline.all_outputs() and len(catalog[rejected].load()):
                    file = shown(Path(catalog[rejected]._filepath))
                    logger.info("%s: the rejected rows, with the rules that they break, are in %s", use_case, file)
            yield
        finally:
            self.end(catalog)
        scored = sorted(name for name in pipeline.all_outputs() if name.endswith(".scored") and name in catalog)
        failures.raise_worst(*(catalog[name].load() for name in scored if catalog[name].exists()))
        log_ending(pipeline, catalog, run_params)

    @hook_impl
    def on_pipeline_error(self, catalog: Any) -> None:
        self.end(catalog)

    def end(self, catalog: Any) -> None:
        """Release the locks of a run."""
        end = self._ends.pop(id(catalog), None)
        if end is not None:
            end()

    def _strike_off(self, note: Path, written: Collection[str]) -> None:
        with self._noting:
            left = _read(note)
            if not left.isdisjoint(written):
                _write(note, left.difference(written))


def _ending(run: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `AbstractRunner.run`: Kedro calls hooks after an `Exception`, but not after Ctrl-C in a notebook."""

    @functools.wraps(run)
    def run_to_the_end(
        runner: AbstractRunner, pipeline: Pipeline, catalog: Any, hook_manager: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        try:
            return run(runner, pipeline, catalog, hook_manager, *args, **kwargs)
        except Exception:
            raise
        except BaseException:
            for hooks in hook_manager.get_plugins() if hook_manager else ():
                if isinstance(hooks, RunHooks):
                    hooks.end(catalog)
            raise

    run_to_the_end.plain = run  # type: ignore[attr-defined]
    return run_to_the_end


# %reload_kedro imports this module again
AbstractRunner.run = _ending(getattr(AbstractRunner.run, "plain", AbstractRunner.run))  # type: ignore[method-assign]


def _is_missing() -> bool:
    """Replace the `_exists` of a dataset that is to be written again; a parallel runner pickles this function."""
    return False


def _score_always(pipeline: Pipeline, catalog: Any) -> None:
    """Let scoring run although its reports exist: there may be new files in the inbox."""
    for node in pipeline.nodes:
        for name in node.outputs:
            if "predict" in node.tags and name in catalog:
                catalog[name]._exists = _is_missing


def _lock(use_case: str, folder: Path) -> FileLock:
    lock = FileLock(folder / ".lock", thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout as error:
        raise ValueError(
            f"another run of {use_case} is writing to {shown(folder)} and its other output folders; "
            f"wait until it ends, or write elsewhere with --params=output_root=…"
        ) from error
    except OSError as error:
        raise ValueError(
            f"{shown(folder)} cannot be written ({error.strerror or error}); set output_root to a writable folder"
        ) from error
    return lock


def _release(locks: list[FileLock]) -> None:
    for lock in locks:
        lock.release()


def _read(note: Path) -> set[str]:
    try:
        return set(json.loads(note.read_text()))
    except FileNotFoundError:
        return set()


def _write(note: Path, names: Collection[str]) -> None:
    if not names:
        note.unlink(missing_ok=True)
        return
    with replacing(note) as partial:
        partial.write_text(json.dumps(sorted(names)))


def _use_cases(pipeline: Pipeline) -> list[str]:
    return sorted({use_case for node in pipeline.nodes if (use_case := _use_case(node))})


def _use_case(node: Node) -> str | None:
    """Return the use case whose lock a node needs; scoring needs no lock, only the claims in its ledger."""
    return None if "predict" in node.tags else use_case_of(node) or None


def _model_folder(use_case: str, catalog: Any) -> Path:
    return catalog[f"{use_case}.model"].path.parent


def _note(use_case: str, catalog: Any) -> Path:
    return _model_folder(use_case, catalog) / ".unfinished.json"
