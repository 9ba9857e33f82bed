"""A drafted column, and what the drafts of features and target share."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

MOST_LEVELS = 20  # levels that are shown; a column with more is a category without a list, or a number
MISSING = ("",)


@dataclass(frozen=True)
class ColumnDraft:
    """The options of a column, the reason to leave it out of the features (or ""), and remarks for the user.

    A remark is one sentence: what was seen, with a value or a row, the choice made, and how to change it. `note`
    stands behind the options in the file, such as the range of a number, and is not a remark.
    """

    options: dict[str, Any]
    left_out: str = ""
    remarks: tuple[str, ...] = field(default=())
    note: str = ""

    def with_remarks(self, *remarks: str) -> Self:
        """Add remarks behind the others."""
        return replace(self, remarks=(*self.remarks, *remarks))
