"""The store that keeps searches and what they found."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import pandas as pd

from torchlane.core.search.chosen import Chosen
from torchlane.core.search.option_importances import OptionImportances

if TYPE_CHECKING:
    from optuna.study import Study

Found = tuple[Chosen, pd.DataFrame, OptionImportances]  # the chosen values, the leaderboard, the importances


class StudyStore(Protocol):
    """Keeps searches; `torchlane.datasets.studies` does so in a database.

    `worker` names this machine where several share a search. It is empty where one machine does all trials.
    """

    worker: str

    def open(self, storage: str | None, identity: Mapping[str, str]) -> "Study":
        """Open the search with this identity, or begin it. Its study maximises.

        Raises:
            ValueError: the storage cannot be opened, or belongs to another search.
        """

    def found(self) -> Found | None:
        """Read what the last search found from its files; None if it chose nothing.

        Raises:
            ValueError: a file cannot be read.
        """
