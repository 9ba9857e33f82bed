"""What a search works on."""

from dataclasses import dataclass, replace

import pandas as pd

from torchlane.core.options import DataOptions, Recipe, TuningOptions
from torchlane.core.rows.splits import rows_of
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

    def fitted(self) -> "Ground":
        """Set what the options as given leave to the number of rows of train."""
        n_rows = len(rows_of("train", self.clean_rows, self.splits))
        is_table = all(column.kind != "image" for column in self.data.feature_columns.values())
        return replace(self, recipe=self.recipe.fitted(n_rows, is_table=is_table))
