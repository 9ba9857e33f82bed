"""The context of a run: Kedro's, without a dataset for each option of each column."""

from typing import Any

from kedro.framework.context import KedroContext
from kedro.validation.utils import get_typed_fields

COLUMNS = ".data.columns"


class UseCaseContext(KedroContext):
    """Kedro's context, except that the options of a single column are no datasets.

    Kedro makes a dataset of every value within the parameters, twelve for each column, and looks for a package that is
    not installed whenever it makes one. No node takes the options of one column: `params:<use_case>.data` has them all.
    """

    def _get_parameters(self) -> dict[str, Any]:
        found: dict[str, Any] = {"parameters": self.params}
        waiting = [(f"params:{name}", value) for name, value in self.params.items()]
        while waiting:
            name, value = waiting.pop()
            found[name] = value
            fields = value if isinstance(value, dict) else get_typed_fields(value)
            if fields and not name.endswith(COLUMNS):
                waiting += [(f"{name}.{field}", each) for field, each in fields.items()]
        return found
