"""How much the rows that are scored differ from the rows of train, whose profile is in the model file."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from torchlane.core.model.profile import SMOOTHING, ColumnProfile, Profile
from torchlane.core.options import DriftOptions

PREDICTION = "(prediction)"  # in parentheses, so that it is unlikely to be the name of a column


class Counts:
    """The number of rows in each bin, added up chunk by chunk."""

    def __init__(self, profile: Profile):
        self._profile = profile
        self._counts: dict[str, np.ndarray] = {}

    def add(self, counts: Mapping[str, np.ndarray]) -> None:
        """Add the counts of a chunk."""
        for name, each in counts.items():
            self._counts[name] = self._counts.get(name, 0) + each

    def measure(self, options: DriftOptions) -> dict[str, Any]:
        """Compare with train: `rows`, `columns`, `prediction`, and a sentence for each limit exceeded (`beyond`).

        Each column has the population stability index `psi`, its average if only chance is at work (`chance`),
        and the shares of `missing` values and `unseen` levels, here and in train. A file with fewer than
        `min_rows` rows is never reported as drifted.
        """
        columns: dict[str, dict[str, float]] = {}
        n_rows = 0
        for name, column in self._profile.columns.items():
            counts = self._counts.get(name, np.zeros(len(column.shares), dtype=np.int64))
            n_rows = int(counts.sum())
            columns[name] = _compare(column, counts)
            columns[name] |= _special_shares(column, counts)
        measured: dict[str, Any] = {"rows": n_rows, "columns": columns, "beyond": []}
        if self._profile.predictions is not None:
            counts = self._counts.get(PREDICTION, np.zeros(len(self._profile.predictions.shares), dtype=np.int64))
            measured["prediction"] = _compare(self._profile.predictions, counts)
        if n_rows >= options.min_rows:
            measured["beyond"] = list(_beyond(measured, options))
        return measured


def population_stability_index(expected: np.ndarray, counts: np.ndarray) -> float:
    """Sum (a - e) ln(a / e) over the bins, where a and e are the actual and expected shares (n_bins,)."""
    actual = (counts + SMOOTHING) / (counts.sum() + SMOOTHING * len(counts))
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def _compare(column: ColumnProfile, counts: np.ndarray) -> dict[str, float]:
    """Return the index, and its mean if only chance is at work: (bins - 1)(1/n + 1/m).

    The mean follows from the index's chi-square distribution (Yurdakul & Naranjo, 2020).
    """
    n_rows = int(counts.sum())
    if not n_rows:
        return {"psi": 0.0, "chance": 0.0}
    chance = (len(counts) - 1) * (1 / n_rows + 1 / max(column.rows, 1))
    return {"psi": round(population_stability_index(column.shares, counts), 4), "chance": round(chance, 4)}


def _special_shares(column: ColumnProfile, counts: np.ndarray) -> dict[str, float]:
    """Return the shares of missing values and unseen levels, which are the last bins."""
    total = max(int(counts.sum()), 1)
    found = {"missing": counts[-1] / total, "train_missing": column.shares[-1]}
    if column.encoder is not None:
        found |= {"unseen": counts[-2] / total, "train_unseen": column.shares[-2]}
    return {name: round(float(share), 4) for name, share in found.items()}


def _beyond(measured: dict[str, Any], options: DriftOptions) -> list[str]:
    findings = []
    everything = {**measured["columns"], PREDICTION: measured.get("prediction", {"psi": 0.0, "chance": 0.0})}
    for name, each in everything.items():
        shown = "the predictions" if name == PREDICTION else f"'{name}'"
        if each["psi"] > options.max_psi + each["chance"]:
            findings.append(f"{shown} has a stability index of {each['psi']:.2f}, above {options.max_psi:g}")
        for kind, limit in (("missing", options.max_missing), ("unseen", options.max_unseen)):
            if each.get(kind, 0.0) > each.get(f"train_{kind}", 0.0) + limit:
                findings.append(
                    f"{shown} is {kind} in {each[kind]:.1%} of the rows, in train in {each[f'train_{kind}']:.1%}"
                )
    return findings
