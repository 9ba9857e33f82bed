"""What libraries say that users can do nothing about."""

import logging
import warnings


def ignore_warnings() -> None:
    """Leave out that libraries warn of each other's deprecations."""
    warnings.filterwarnings("ignore", module=r"kedro(_viz|_datasets)?(\.|$)")


def quieten(debug: bool) -> None:
    """Leave the telling to Torchlane's own log lines and to the one line of an error."""
    if debug:
        logging.getLogger("kedro").setLevel(logging.DEBUG)
        logging.getLogger("torchlane").setLevel(logging.DEBUG)
        return
    for name in ("kedro.pipeline.node", "kedro.runner", "kedro.validation"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
