"""What the rules of warnings are given, and what they return."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torchlane.core.explaining.contradictions import Contradictions
from torchlane.core.explaining.part_differences import Apart
from torchlane.core.explaining.single_features import Signals
from torchlane.core.search.edges import Edges


@dataclass(frozen=True)
class Finding:
    """One warning: in short, what was seen, what to do about it, the column if it is about one, and its numbers."""

    title: str
    warning: str
    remedy: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    column: str | None = None


@dataclass(frozen=True)
class NotChecked:
    """Why a rule could not be applied."""

    why: str


Result = Finding | NotChecked | None


class Estimate(NamedTuple):
    """A mean over rows, its standard error (NaN if undefined), and the number of rows."""

    value: float
    error: float
    rows: int


class Importance(NamedTuple):
    """By how much a score drops when a feature is permuted, and how much that varies."""

    drop: float
    spread: float


@dataclass(frozen=True)
class Evidence:
    """Plain facts of a model and its rows.

    - `rows` of train, valid and test, `metrics` and `baselines` are those of the JSON files.
    - `score` is the primary metric on test, and `primary` its name.
    - `losses` are the errors of rows of valid and test on average: absolute errors, or Brier scores of labels.
    - `ahead` is by how much the best constant exceeds the model in the loss of the task, on rows of test.
    - `shares` are the shares of the labels in train, by how they stand in the file.
    - `level_rows` counts the rows of test of each level of the columns with few levels, as "column=level".
    - `tail` is the share of the squared deviations of the target that the hundredth of the rows farthest out has.
    - `parted_by` names the option that makes the parts, if chance alone does not.
    """

    task: str
    target: str
    primary: str
    is_image: bool
    loss: str
    rows: Mapping[str, int]
    parted_by: str
    metrics: Mapping[str, Any]
    baselines: Mapping[str, Any]
    score: Estimate | None
    losses: Mapping[str, Estimate]
    ahead: Estimate | None
    shares: Mapping[str, float]
    level_rows: Mapping[str, int]
    signals: Signals
    constant: tuple[str, ...]
    importances: Mapping[str, Importance]
    apart: Apart | None
    contradictions: Contradictions | None
    tail: float | None
    edges: Edges | str
    covered: tuple[int, int] | None

    @property
    def has_test(self) -> bool:
        return bool(self.rows["test"])


Rule = Callable[[Evidence], Result]
