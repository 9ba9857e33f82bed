"""Whose line it is in the log: a run of several use cases, and several trainings of one node."""

import logging

from torchlane.core.machine.naming import own, prefix


class _Run:
    """The run of the process; in a worker that starts afresh, nothing is known of it."""

    several = True


def begin_run(n_use_cases: int) -> None:
    """Tell whether log lines have to say which use case they are about."""
    _Run.several = n_use_cases > 1


def begin_node(use_case: str | None) -> None:
    """Tell which use case this thread works on now; None if on none."""
    own(use_case if _Run.several else None)
    for handler in logging.getLogger().handlers:  # Kedro allows no filter in the configuration of the log
        handler.addFilter(_say_whose)


def _say_whose(record: logging.LogRecord) -> bool:
    """Put before a line the use case and the part of its work, as "zoo: repeat 2 of 3: "; once for all handlers."""
    if record.name.startswith("torchlane") and not hasattr(record, "whose"):
        whose = "".join(f"{each}: " for each in prefix())
        record.__dict__["whose"] = whose
        record.msg = (whose.replace("%", "%%") if record.args else whose) + str(record.msg)
    return True
