"""The machine and the checkout that something was made on."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

GIT_SECONDS = 5  # after which a checkout is given up on


def describe_surroundings(folder: Path) -> dict[str, str | int | None]:
    """Say when (UTC, ISO 8601), on what machine and from which commit of the checkout around `folder`.

    `commit` is None outside a checkout or without git, and ends in `, changed` if tracked files differ from it.
    The name of the machine is left out, since reports are passed on.
    """
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.release()} on {platform.machine()}",
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "commit": commit_of(folder),
    }


def commit_of(folder: Path) -> str | None:
    """Return the commit that is checked out around `folder`; None outside a checkout or without git."""
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None
    return f"{commit}, changed" if _git(folder, "status", "--porcelain", "--untracked-files=no") else commit


def _git(folder: Path, *command: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", folder, *command], capture_output=True, text=True, timeout=GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
