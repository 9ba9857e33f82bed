"""Worker processes of Kedro's parallel runner that are spawned: on macOS, or if KEDRO_MP_CONTEXT says so.

Kedro does not configure the project in such a worker. Without hooks, nothing would record what an artifact was
made from.
"""

import functools
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from kedro.framework import project
from kedro.runner import ParallelRunner

from torchlane.config import UseCaseConfigLoader
from torchlane.quiet import ignore_warnings, quieten


def start_worker(package_name: str | None, loader: tuple[str, str | None, dict[str, Any]] | None) -> None:
    """Configure the project in a spawned process as in the run; a forked process is configured already."""
    if project.PACKAGE_NAME is not None or package_name is None:
        return
    ignore_warnings()
    quieten(debug=False)
    project.configure_project(package_name)
    # Otherwise Kedro would configure project and logging again for each node; logging configured twice recurses.
    project.PACKAGE_NAME = None
    if loader is not None:
        conf_source, env, runtime_params = loader
        arguments = project.settings.CONFIG_LOADER_ARGS
        UseCaseConfigLoader(conf_source, env=env, runtime_params=runtime_params, **arguments)["parameters"]


def _starting(get_executor: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `ParallelRunner._get_executor`, which does not let a caller set what a worker does first."""

    @functools.wraps(get_executor)
    def get_executor_of_project(runner: ParallelRunner, max_workers: int) -> Any:
        executor = get_executor(runner, max_workers)
        if isinstance(executor, ProcessPoolExecutor):
            latest = UseCaseConfigLoader.latest
            loader = latest and (str(latest.conf_source), latest.env, latest.runtime_params)
            executor._initializer, executor._initargs = start_worker, (project.PACKAGE_NAME, loader)
        return executor

    get_executor_of_project.plain = get_executor  # type: ignore[attr-defined]
    return get_executor_of_project


# %reload_kedro imports this module again
ParallelRunner._get_executor = _starting(  # type: ignore[method-assign]
    getattr(ParallelRunner._get_executor, "plain", ParallelRunner._get_executor)
)
