"""Whether and where runs are logged to MLflow: the file `mlflow.yml` of an environment."""

from importlib.util import find_spec
from typing import Any

from kedro.config import MissingConfigException
from pydantic import ValidationError

from torchlane.core.options import Options, fault_in_options


class MlflowOptions(Options):
    """Where runs are logged.

    `tracking_uri` is a database such as `sqlite:///data/mlflow.db`, or the address of a tracking server.
    `artifact_location` is where an experiment that is new keeps its files; a server has a place of its own.
    """

    tracking_uri: str
    artifact_location: str | None = None
    experiment: str = "torchlane"


def read_options(config_loader: Any) -> MlflowOptions | None:
    """Read `mlflow.yml` of base or of the run's environment; None where there is none.

    Raises:
        ValueError: the file holds something else than `MlflowOptions`.
    """
    try:
        found = config_loader["mlflow"]
    except (KeyError, MissingConfigException):
        return None
    if not found:  # so Kedro answers where the environment is base itself
        return None
    try:
        return MlflowOptions.model_validate(found)
    except ValidationError as error:
        raise ValueError(f"mlflow.yml: {fault_in_options(error)}; correct the file, or remove it") from error


def require_mlflow() -> None:
    """Check, before anything is trained, that MLflow is installed.

    Raises:
        ValueError: it is not; the message has the command that installs it.
    """
    if find_spec("mlflow") is None:
        raise ValueError(
            "the environment of this run has an mlflow.yml, but the package mlflow is not installed; run "
            "uv sync --group mlflow, or choose an environment without that file"
        )
