"""Run commands of this environment as a user types them, without waiting for the same imports each time.

`kedro` and `torchlane` run in a fork of a process that has imported the libraries, and only those: the project's own
modules are imported anew, as in a process of one's own. Any other command is started as usual.
"""

import atexit
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import get_context
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
TIMEOUT_SECONDS = 600
ENTRY_POINTS = {"kedro": ("kedro.framework.cli", "main"), "torchlane": ("torchlane.cli", "main")}
LIBRARIES = [
    *("kedro.framework.cli.cli", "kedro.framework.session", "kedro.runner", "kedro_datasets.pandas", "omegaconf"),
    *("torch", "torch._dynamo", "torch.func", "safetensors.torch", "torchvision"),
    *("optuna", "pandas", "plotly.graph_objects", "pyarrow.parquet", "pydantic", "sklearn.metrics", "sqlalchemy"),
]

_forks = get_context("forkserver")
_forks.set_forkserver_preload(LIBRARIES)


def run_command(*command: str, folder: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in `folder`, and keep its exit status and what it prints.

    Raises:
        subprocess.TimeoutExpired: it runs for more than `TIMEOUT_SECONDS`.
    """
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("KEDRO_ENV", None)
    if command[0] in ENTRY_POINTS:
        return _run_fork(command, folder, environment)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)


def _run_fork(
    command: tuple[str, ...], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as outputs:
        printed = [Path(outputs) / stream for stream in ("stdout", "stderr")]
        child = _forks.Process(target=_enter, args=(command, folder, dict(environment), *printed))
        child.start()
        child.join(TIMEOUT_SECONDS)
        if child.exitcode is None:
            child.kill()
            raise subprocess.TimeoutExpired(command, TIMEOUT_SECONDS)
        stdout, stderr = (path.read_text() if path.exists() else "" for path in printed)
        return subprocess.CompletedProcess(command, child.exitcode, stdout, stderr)


def _enter(command: tuple[str, ...], folder: Path, environment: dict[str, str], stdout: Path, stderr: Path) -> None:
    """Be the process of a command, from its entry point on."""
    for path, stream in ((stdout, 1), (stderr, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
    _configure_logging()
    module, function = ENTRY_POINTS[command[0]]
    try:
        sys.exit(getattr(importlib.import_module(module), function)())
    finally:
        atexit._run_exitfuncs()


def _configure_logging() -> None:
    """Do what importing Kedro does in a new process: read the logging configuration of the folder."""
    from kedro.framework.project import LOGGING

    LOGGING.__init__()
