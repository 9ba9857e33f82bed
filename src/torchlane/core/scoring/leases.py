"""A claim is kept while a file is scored: its lease is renewed in a thread."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torchlane.core.scoring.contracts import Claim, ClaimLostError, Ledger

logger = logging.getLogger(__name__)


@contextmanager
def renewed_lease(ledger: Ledger, claim: Claim, lease_seconds: float) -> Iterator[Callable[[], None]]:
    """Renew the lease in a thread; yield a check that raises `ClaimLostError` once the claim is lost."""
    ended, lost = threading.Event(), threading.Event()

    def renew() -> None:
        while not ended.wait(lease_seconds / 3):
            try:
                if not ledger.renew(claim):
                    lost.set()
                    return
            except Exception as error:  # the database may be back before the next try
                logger.warning("the claim on %s could not be renewed: %s", claim.name, error)

    def require_claim() -> None:
        if lost.is_set():
            raise ClaimLostError

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield require_claim
    finally:
        ended.set()
        thread.join()
