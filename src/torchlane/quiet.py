"""Silences warnings and log lines of libraries that users can do nothing about."""

import logging
import warnings


def ignore_warnings() -> None:
    """Hide the warnings of Kedro's packages, which are about deprecations in other libraries."""
    warnings.filterwarnings("ignore", module=r"kedro(_viz|_datasets)?(\.|$)")


def quieten(debug: bool) -> None:
    """Log Kedro's steps only with `debug`; otherwise Torchlane's own lines and the line of an error say enough."""
    if debug:
        logging.getLogger("kedro").setLevel(logging.DEBUG)
        logging.getLogger("torchlane").setLevel(logging.DEBUG)
        return
    for name in ("kedro.pipeline.node", "kedro.runner", "kedro.validation"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
