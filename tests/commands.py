"""Run commands of this environment as a user types them, without waiting for the same imports each time.

`kedro`, `torchlane` and scripts run in a fork of a process that has imported the libraries, and only those: the
project's own modules are imported anew, as in a process of one's own. Any other command is started as usual.
"""

import atexit
import importlib
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
TIMEOUT_SECONDS = 600
NEWS = re.compile(r" INFO | WARNING ([\w.]+: )?[a-z]+(-[a-z]+)+: | WARNING leak: ")  # of docs/warnings.md
ENTRY_POINTS = {"kedro": ("kedro.framework.cli", "main"), "torchlane": ("torchlane.cli", "main")}
LIBRARIES = [
    *("kedro.framework.cli.cli", "kedro.framework.session", "kedro.config", "kedro.runner", "omegaconf"),
    *("kedro_datasets.json", "kedro_datasets.pandas", "kedro_datasets.plotly", "kedro_telemetry.plugin"),
    *("kedro_viz.integrations.kedro.hooks", "kedro_viz.launchers.cli.main"),
    *("torch", "torch._dynamo", "torch.func", "safetensors.torch", "torchvision"),
    *("plotly.graph_objects", "plotly._subplots", "_plotly_utils.colors", "narwhals.stable.v1", "tests.warm"),
    *("pyarrow.parquet", "pyarrow.csv", "pyarrow.dataset", "filelock", "fsspec.implementations.local"),
    *("optuna", "pandas", "pathspec", "pydantic", "requests", "sklearn.linear_model", "sklearn.metrics", "sqlalchemy"),
]

_forks = get_context("forkserver")
_forks.set_forkserver_preload(LIBRARIES)


def noise(log: str) -> list[str]:
    """Give the lines of a log that are neither news nor one of the warnings with a code."""
    return [line for line in log.splitlines() if not NEWS.search(line)]


def run_command(*command: str, folder: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in `folder`, and keep its exit status and what it prints.

    Raises:
        subprocess.TimeoutExpired: it runs for more than `TIMEOUT_SECONDS`.
    """
    if command[0] in ENTRY_POINTS or _is_script(command):
        with Started(*command, folder=folder) as started:
            return started.wait()
    environment = _environment()
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)


def _is_script(command: tuple[str, ...]) -> bool:
    return command[0] == sys.executable and command[1].endswith(".py")


class Started:
    """A command that runs beside the test; killed on leaving the context.

    It is `kedro`, `torchlane`, a script after `sys.executable`, or `-c` with a program.
    """

    def __init__(self, *command: str, folder: Path = PROJECT):
        self._command = command
        self._outputs = tempfile.TemporaryDirectory()
        self._printed = [Path(self._outputs.name) / stream for stream in ("stdout", "stderr")]
        self._child = _forks.Process(target=_enter, args=(command, folder, _environment(), *self._printed))
        self._child.start()

    def __enter__(self) -> "Started":
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.join()
        self._outputs.cleanup()

    def ended(self) -> bool:
        """Say whether it has come to its end."""
        return self._child.exitcode is not None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        assert self._child.pid is not None
        if not self.ended():
            os.kill(self._child.pid, number)

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end; the exit status is that of `subprocess`, below 0 for a signal.

        Raises:
            subprocess.TimeoutExpired: it runs for more than `TIMEOUT_SECONDS`.
        """
        self._child.join(TIMEOUT_SECONDS)
        if self._child.exitcode is None:
            raise subprocess.TimeoutExpired(self._command, TIMEOUT_SECONDS)
        stdout, stderr = (path.read_text() if path.exists() else "" for path in self._printed)
        return subprocess.CompletedProcess(self._command, self._child.exitcode, stdout, stderr)


def _environment() -> dict[str, str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("KEDRO_ENV", None)
    return environment


def _enter(command: tuple[str, ...], folder: Path, environment: dict[str, str], stdout: Path, stderr: Path) -> None:
    """Be the process of a command, from its entry point on."""
    for path, stream in ((stdout, 1), (stderr, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    _configure_logging()
    try:
        if command[0] == "-c":
            sys.argv = ["-c", *command[2:]]
            exec(command[1], {"__name__": "__main__"})
            return
        if _is_script(command):
            sys.argv = list(command[1:])
            sys.path.insert(0, str(Path(command[1]).resolve().parent))
            runpy.run_path(command[1], run_name="__main__")
            return
        sys.argv = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
        module, function = ENTRY_POINTS[command[0]]
        sys.exit(getattr(importlib.import_module(module), function)())
    finally:
        atexit._run_exitfuncs()


def _configure_logging() -> None:
    """Do what importing Kedro does in a new process: read the logging configuration of the folder."""
    from kedro.framework.project import LOGGING

    LOGGING.__init__()
