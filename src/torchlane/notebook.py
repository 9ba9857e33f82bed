"""What a notebook needs beyond `%load_ext kedro.ipython`: the log of the project, without what libraries say."""

import logging
import sys
import warnings
from pathlib import Path

import yaml
from kedro.framework.project import LOGGING
from kedro.utils import find_kedro_project

from torchlane.quiet import ignore_warnings, quieten


def in_ipython() -> bool:
    """Say whether this process is IPython or the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def configure_log(folder: Path) -> None:
    """Log as `kedro run` does, but as usual output of a cell.

    Kedro looks for `conf/logging.yml` in the working folder alone, which is that of the notebook. Outside a project
    its own configuration stays.
    """
    ignore_warnings()
    warnings.filterwarnings("ignore", message="IProgress not found")  # Optuna loads bars of notebooks, but shows none
    project = find_kedro_project(folder)
    file = project / "conf/logging.yml" if project else None
    if file is not None and file.is_file():
        content = yaml.safe_load(file.read_text())
        for handler in content.get("handlers", {}).values():
            if handler.get("stream") == "ext://sys.stderr":  # Jupyter shows it as if something were wrong
                handler["stream"] = "ext://sys.stdout"
        LOGGING.configure(content)
    quieten(debug=False)
    logging.getLogger("kedro.ipython").setLevel(logging.INFO)  # says which variables there are
