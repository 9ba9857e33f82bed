"""What a search works on."""

from dataclasses import dataclass

import pandas as pd

from torchlane.core.options import DataOptions, Recipe, TuningOptions
from torchlane.core.tasks.tasks import TASKS


@dataclass(frozen=True)
class Ground:
    """The rows and options that a search works on. It never looks at the test part."""

    clean_rows: pd.DataFrame
    splits: pd.DataFrame
    data: DataOptions
    recipe: Recipe
    options: TuningOptions

    @property
    def metric(self) -> str:
        """The metric by which trials are compared on valid. It is a score: higher is better."""
        return TASKS[self.data.task].primary_metric
