"""The context of a run: Kedro's, without a dataset for each option of each column."""

from typing import Any

from kedro.framework.context import KedroContext

OF_COLUMNS = ".data.columns."


class UseCaseContext(KedroContext):
    """Kedro's context, except that the options of a single column are no datasets.

    Kedro makes a dataset of every value within the parameters, twelve for each column, and looks for a package that is
    not installed whenever it makes one. No node takes the options of one column: `params:<use_case>.data` has them all.
    """

    def _get_parameters(self) -> dict[str, Any]:
        return {name: value for name, value in super()._get_parameters().items() if OF_COLUMNS not in name}
