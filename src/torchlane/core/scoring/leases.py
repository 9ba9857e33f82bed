"""Claims are kept while their files are scored: the leases are renewed in a thread."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torchlane.core.scoring.contracts import Claim, ClaimLostError, Ledger

logger = logging.getLogger(__name__)


@contextmanager
def renewed_leases(ledger: Ledger, claims: Sequence[Claim], lease_seconds: float) -> Iterator[Callable[[Claim], None]]:
    """Renew leases in a thread; yield a check that raises `ClaimLostError` once a claim is lost."""
    ended, lost = threading.Event(), set[int]()

    def renew() -> None:
        while not ended.wait(lease_seconds / 3):
            for claim in claims:
                try:
                    if claim.key not in lost and not ledger.renew(claim):
                        lost.add(claim.key)
                except Exception as error:  # the database may be back before the next try
                    logger.warning("the claim on %s could not be renewed: %s", claim.name, error)

    def require_claim(claim: Claim) -> None:
        if claim.key in lost:
            raise ClaimLostError

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield require_claim
    finally:
        ended.set()
        thread.join()
