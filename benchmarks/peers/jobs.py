"""What a peer is given and gives back: the rows of a fold in a folder, and predictions beside them.

Peers run in environments of their own, with other versions of pandas and torch. This file imports
what all of them have.
"""

import argparse
import json
import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet


@dataclass(frozen=True)
class Job:
    """A fold: rows to fit on and rows to predict, categories as text (None where missing), numbers as float64."""

    train: pd.DataFrame
    test: pd.DataFrame
    target: str
    task: str  # regression, binary or multiclass
    labels: list[str]  # in the order of the probabilities; none for regression
    categories: list[str]
    numbers: list[str]
    seed: int
    fingerprint: str  # of all of this

    @property
    def features(self) -> list[str]:
        """The inputs, numbers last."""
        return [*self.categories, *self.numbers]

    @property
    def truth(self) -> pd.Series:
        """What train is fitted to."""
        return self.train[self.target]

    @property
    def test_rows(self) -> pd.DataFrame:
        """Test, without its target."""
        return self.test[self.features]

    def with_levels(self, rows: pd.DataFrame, missing: str | None = None) -> pd.DataFrame:
        """Give the inputs of `rows` with pandas categories: the levels of train; others and gaps are `missing`."""
        rows = rows[self.features].copy()
        for name in self.categories:
            levels = sorted(self.train[name].dropna().unique())
            rows[name] = pd.Categorical(rows[name], categories=levels)
            if missing is not None:
                rows[name] = rows[name].astype(object).fillna(missing)
        return rows

    def probabilities(self, of_classes: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Put columns in the order of `labels`; a label that train does not have gets 0."""
        ordered = pd.DataFrame(of_classes, columns=[str(each) for each in classes])
        return ordered.reindex(columns=self.labels, fill_value=0.0).to_numpy(np.float64)


Predict = Callable[[pd.DataFrame], np.ndarray]  # rows to values (n_rows,) or probabilities (n_rows, n_labels)
Fit = Callable[[Job], Predict]


def n_threads() -> int:
    """How many threads each method may take."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


def read_job(folder: Path) -> Job:
    """Read what `write_job` wrote, the same under each version of pandas."""
    parts = {}
    facts = json.loads((folder / "job.json").read_text())
    for part in ("train", "test"):
        rows = pyarrow.parquet.read_table(folder / f"{part}.parquet").to_pandas(ignore_metadata=True)
        for name in facts["categories"]:
            rows[name] = rows[name].astype(object).where(rows[name].notna(), None)
        parts[part] = rows
    return Job(**parts, **facts)


def write_job(folder: Path, job: Job) -> None:
    """Write the rows of a fold and the facts about them."""
    folder.mkdir(parents=True, exist_ok=True)
    job.train.to_parquet(folder / "train.parquet", index=False)
    job.test.to_parquet(folder / "test.parquet", index=False)
    facts = {name: getattr(job, name) for name in Job.__dataclass_fields__ if name not in ("train", "test")}
    (folder / "job.json").write_text(json.dumps(facts))


def keep(path: Path, found: dict) -> None:
    """Write JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(found))
    partial.replace(path)


def run_job(method: str, fit: Fit, settings: str, folder: Path) -> None:
    """Fit, time it, predict, and put the predictions into the folder of the fold, whole or not at all."""
    job = read_job(folder)
    started, used = time.perf_counter(), _processor_seconds()
    predict = fit(job)
    taken = {"seconds": time.perf_counter() - started, "processor_seconds": _processor_seconds() - used}
    prediction = np.asarray(predict(job.test_rows), dtype=np.float64)
    done = {"fingerprint": job.fingerprint, "settings": settings, **taken, "prediction": prediction.tolist()}
    keep(folder / f"{method}.json", done)


def _processor_seconds() -> float:
    """What this process and those that it started and waited for have used."""
    return sum(os.times()[:4])


def work(methods: Mapping[str, Fit]) -> None:
    """Do the jobs named on the command line; one that fails says why and leaves no predictions."""
    parser = argparse.ArgumentParser()
    parser.add_argument("method", choices=methods)
    parser.add_argument("--settings", required=True)
    parser.add_argument("folders", nargs="+", type=Path)
    arguments = parser.parse_args()
    for folder in arguments.folders:
        try:
            run_job(arguments.method, methods[arguments.method], arguments.settings, folder)
        except Exception:
            traceback.print_exc()
