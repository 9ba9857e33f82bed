"""Scored files leave the inbox for an archive, if one is set."""

import logging

from torchlane.core.options import PredictionOptions
from torchlane.core.scoring.contracts import Inbox, InboxFile

logger = logging.getLogger(__name__)


def archive(inbox: Inbox, file: InboxFile, checksum: str, options: PredictionOptions) -> None:
    """Move a scored file to `prediction.archive`, unless it has changed since it was listed."""
    if options.archive is None or not inbox.unchanged(file):
        return
    try:
        inbox.move(file, checksum, options.archive)
    except OSError as error:  # the file is scored all the same; the next run tries again to move it
        logger.warning("%s cannot be moved to %s: %s", file.name, options.archive, error)
