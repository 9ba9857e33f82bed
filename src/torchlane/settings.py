"""Project settings; see https://docs.kedro.org/en/stable/configure/configuration_basics/."""

import tempfile
from pathlib import Path

import torchlane.workers  # noqa: F401 (a parallel runner's processes belong to the project)
from torchlane.config import UseCaseConfigLoader
from torchlane.context import UseCaseContext
from torchlane.hooks import RunHooks
from torchlane.notebook import configure_log, in_ipython
from torchlane.stages import LineageHooks
from torchlane.tracking.hooks import RecordHooks

if in_ipython():  # the command line has done so already
    configure_log(Path.cwd())

# Kedro asks the last one first: what is saved is recorded, then counts as written
HOOKS = (RunHooks(), LineageHooks(), RecordHooks())
CONTEXT_CLASS = UseCaseContext
CONFIG_LOADER_CLASS = UseCaseConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow.yml"]},
    "merge_strategy": {"parameters": "soft"},  # an environment states only what differs
    "custom_resolvers": {"temporary_folder": lambda: str(Path(tempfile.gettempdir()) / "torchlane")},
}
