"""Synthetic rows with the statistics of real files, for runs without a network and for load tests.

`<use_case>.json` holds statistics of the real file, written by `benchmarks/sample_statistics.py`, but none of its
rows. Its entry `generator` names the function in `GENERATORS` that draws rows from them.
"""

import json
import logging
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from torchlane.core.machine.files import replacing

logger = logging.getLogger(__name__)

CHUNK_ROWS = 1_000_000
Statistics = dict[str, Any]
Columns = dict[str, np.ndarray]  # one value per row


def use_cases() -> list[str]:
    """Name the use cases that have statistics to draw from."""
    return sorted(path.name.removesuffix(".json") for path in _folder().iterdir() if path.name.endswith(".json"))


def draw_rows(use_case: str, n_rows: int | None = None, seed: int = 0) -> pd.DataFrame:
    """Draw rows with the columns of the real file; by default as many as it has.

    Numbers have the units of the file, and missing ones are NaN. As in the real file, a share of the rows
    repeats others.

    Raises:
        ValueError: there are no statistics for this use case.
    """
    statistics = _read_statistics(use_case)
    random = np.random.default_rng(seed)
    n_rows = statistics["rows"] if n_rows is None else n_rows
    n_new = max(1, n_rows - round(n_rows * statistics["repeated_share"]))
    columns = GENERATORS[statistics["generator"]](statistics, n_new, random)
    rows = pd.DataFrame({name: columns[name] for name in statistics["order"]})
    repeats = random.integers(0, n_new, n_rows - n_new)
    return rows.iloc[random.permutation(np.concatenate([np.arange(n_new), repeats]))].reset_index(drop=True)


def write_sample(use_case: str, n_rows: int | None, seed: int, path: Path) -> None:
    """Draw rows and write them atomically as CSV or Parquet, by the ending of `path`.

    Rows are drawn in chunks of `CHUNK_ROWS` with the seeds `seed`, `seed + 1`, …, so memory is bounded.

    Raises:
        ValueError: there are no statistics for this use case, or the ending is another.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    writers = {".csv": csv.CSVWriter, ".parquet": parquet.ParquetWriter}
    if path.suffix not in writers:
        raise ValueError(f"{path} ends in '{path.suffix}'; write a sample as {' or '.join(writers)}")
    total = _read_statistics(use_case)["rows"] if n_rows is None else n_rows
    with replacing(path) as partial:
        writer = None
        for number, start in enumerate(range(0, total, CHUNK_ROWS)):
            rows = draw_rows(use_case, min(CHUNK_ROWS, total - start), seed + number)
            table = pa.Table.from_pandas(rows, preserve_index=False)
            writer = writer or writers[path.suffix](partial, table.schema)
            writer.write_table(table)
        assert writer is not None
        writer.close()
    logger.info("sample: %d rows of %s, seed %d, in %s", total, use_case, seed, path)


def _folder() -> Any:
    return resources.files(__name__)


def _read_statistics(use_case: str) -> Statistics:
    if use_case not in use_cases():
        raise ValueError(f"there is no sample of '{use_case}'; there are samples of {', '.join(use_cases())}")
    statistics: Statistics = json.loads((_folder() / f"{use_case}.json").read_text(encoding="utf-8"))
    return statistics


def _draw_effects(statistics: Statistics, n_rows: int, random: np.random.Generator) -> Columns:
    """Draw each category given one other column, then the target, then numbers proportional to the target.

    The logarithm of the target is a sum of effects, one per level, plus noise with the quantiles of the real
    residuals.
    """
    columns: Columns = {}
    for name, table in statistics["columns"].items():
        columns[name] = _draw_levels(table, columns, n_rows, random)
    target = _draw_target(statistics["target"], columns, n_rows, random)
    columns[statistics["target"]["name"]] = target
    for name, ratio in statistics["derived"].items():
        factors = pd.Series(columns[ratio["by"]]).map(ratio["factors"]).to_numpy(np.float64)
        columns[name] = np.maximum(1, (target * factors).round(-2)).astype(np.int64)
    return columns


def _draw_copula(statistics: Statistics, n_rows: int, random: np.random.Generator) -> Columns:
    """Draw labels, then numbers with the quantiles and the Gaussian copula of the rows with each label."""
    label = statistics["label"]
    labels = _draw_levels(label, {}, n_rows, random)
    decimals = statistics["decimals"]  # of each number, by name
    numbers = np.empty((n_rows, len(decimals)))
    for level, where in pd.Series(labels).groupby(labels).indices.items():
        numbers[where] = _draw_numbers(statistics["numbers"][str(level)], len(where), random)
    rounded = {name: column.round(places) for (name, places), column in zip(decimals.items(), numbers.T, strict=True)}
    return {**rounded, label["name"]: labels}


def _draw_levels(table: dict[str, Any], columns: Columns, n_rows: int, random: np.random.Generator) -> np.ndarray:
    """Draw levels in proportion to `counts`, the rows per level for each level of the column `given` (or "")."""
    counts = pd.DataFrame.from_dict(table["counts"], orient="index").fillna(0.0)
    given = columns[table["given"]].astype(str) if table["given"] else np.full(n_rows, "")
    codes = np.empty(n_rows, dtype=np.int64)
    for level, where in pd.Series(given).groupby(given).indices.items():
        weights = counts.loc[str(level)].to_numpy(np.float64)
        codes[where] = random.choice(len(weights), size=len(where), p=weights / weights.sum())
    return counts.columns.to_numpy(str).astype(table["dtype"])[codes]


def _draw_target(table: dict[str, Any], columns: Columns, n_rows: int, random: np.random.Generator) -> np.ndarray:
    """Add effects and noise; the quantiles of the noise depend on the band that the sum of effects falls into."""
    logarithm = np.full(n_rows, table["intercept"])
    for name, effects in table["effects"].items():
        logarithm += pd.Series(columns[name].astype(str)).map(effects).to_numpy(np.float64)
    bands = np.searchsorted(table["band_edges"], logarithm)
    quantiles = np.array(table["residual_quantiles"])  # (bands, levels)
    position = random.random(n_rows) * (quantiles.shape[1] - 1)
    below = position.astype(np.int64)
    low, high = quantiles[bands, below], quantiles[bands, below + 1]
    logarithm += low + (high - low) * (position - below)
    return np.clip(np.exp(logarithm), table["minimum"], table["maximum"]).round().astype(np.int64)


def _draw_numbers(table: dict[str, Any], n_rows: int, random: np.random.Generator) -> np.ndarray:
    """Draw float64 (n_rows, n_columns), NaN where missing: correlated normal scores, mapped to `quantiles`."""
    quantiles = np.array(table["quantiles"])  # (columns, levels)
    low, high = table["score_range"]  # normal scores of the first and the last of the evenly spaced levels
    levels = np.linspace(low, high, quantiles.shape[1])
    root = np.linalg.cholesky(np.array(table["correlations"]))
    scores = random.standard_normal((n_rows, len(quantiles))) @ root.T
    drawn = np.column_stack([np.interp(of, levels, to) for of, to in zip(scores.T, quantiles, strict=True)])
    return np.where(random.random(drawn.shape) < table["missing_shares"], np.nan, drawn)


GENERATORS: Mapping[str, Callable[[Statistics, int, np.random.Generator], Columns]] = {
    "effects": _draw_effects,
    "copula": _draw_copula,
}
