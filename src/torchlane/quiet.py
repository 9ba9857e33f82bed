"""Silences warnings and log lines of libraries that users can do nothing about."""

import logging
import os
import warnings

OF_CHILDREN = (  # the first words of warnings that Kedro and Kedro-Viz cause in processes that they start
    "ignore:register_new_resolver() is deprecated",
    "ignore:ORJSONResponse is deprecated",
)


def ignore_warnings() -> None:
    """Hide what warns that Kedro's packages use what other libraries deprecate, here and in processes started later.

    A node may let Kedro appear as the place of its own warnings, so others from there are shown.
    """
    warnings.filterwarnings("ignore", message="(?s).*deprecated", module=r"kedro(_viz|_datasets)?(\.|$)")
    given = os.environ.get("PYTHONWARNINGS", "").split(",")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, dict.fromkeys((*OF_CHILDREN, *given))))  # the last one wins


def quieten(debug: bool) -> None:
    """Log Kedro's steps only with `debug`; otherwise Torchlane's own lines and the line of an error say enough."""
    if debug:
        logging.getLogger("kedro").setLevel(logging.DEBUG)
        logging.getLogger("torchlane").setLevel(logging.DEBUG)
        return
    for name in ("kedro.pipeline.node", "kedro.runner", "kedro.validation"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
