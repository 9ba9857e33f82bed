"""Derive the statistics that bundled samples are drawn from.

    python benchmarks/sample_statistics.py salaries data/01_raw/public/ds_salaries.csv \
        src/torchlane/core/rows/samples/salaries.json
    python benchmarks/sample_statistics.py water_potability data/01_raw/public/water_potability.csv \
        src/torchlane/core/rows/samples/water_potability.json

Prints nothing; the JSON holds frequencies, effects, quantiles and correlations, and no row of the file.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import OneHotEncoder

TARGET = "salary_in_usd"
BANDS = 6  # noise differs between low and high salaries
GIVEN = {  # each column is drawn given another one that it depends on
    "company_location": "",
    "employee_residence": "company_location",
    "salary_currency": "company_location",
    "work_year": "company_location",
    "experience_level": "company_location",
    "job_title": "experience_level",
    "employment_type": "experience_level",
    "remote_ratio": "work_year",
    "company_size": "work_year",
}


LABEL = "Potability"
LEVELS = 41  # quantiles of a number
SCORE_RANGE = (-3.5, 3.5)  # their normal scores, evenly spaced, so that they are dense in the tails
DECIMALS = 3  # of a number at most


def main(use_case: str, source: Path, destination: Path) -> None:
    """Read the public file, write its statistics."""
    raw = pd.read_csv(source, keep_default_na=False, na_values=[""])
    raw = raw.loc[:, ~raw.columns.str.startswith("Unnamed")]
    statistics = {
        "rows": len(raw),
        "repeated_share": round(float(raw.duplicated().mean()), 4),
        "order": list(raw.columns),
        **DESCRIPTIONS[use_case](raw),
    }
    destination.write_text(json.dumps(statistics, indent=1) + "\n", encoding="utf-8")


def describe_effects(raw: pd.DataFrame) -> dict:
    """Describe categories that depend on one another, and a target that depends on them."""
    return {
        "generator": "effects",
        "columns": {name: count_levels(raw, name, given) for name, given in GIVEN.items()},
        "target": estimate_target(raw),
        "derived": {"salary": {"by": "salary_currency", "factors": median_rates(raw)}},
    }


def describe_copula(raw: pd.DataFrame) -> dict:
    """Describe numbers that are distributed otherwise with each label."""
    numbers = raw.drop(columns=LABEL)
    return {
        "generator": "copula",
        "label": {"name": LABEL, **count_levels(raw, LABEL, "")},
        "decimals": dict.fromkeys(numbers, DECIMALS),
        "numbers": {str(level): describe_numbers(part) for level, part in numbers.groupby(raw[LABEL])},
    }


def describe_numbers(numbers: pd.DataFrame) -> dict:
    """Give quantiles (columns, levels), shares of missing values (columns,), correlations of normal scores."""
    scores = ndtri((numbers.rank() - 0.5) / numbers.count())
    return {
        "missing_shares": numbers.isna().mean().round(4).tolist(),
        "score_range": SCORE_RANGE,
        "quantiles": numbers.quantile(ndtr(np.linspace(*SCORE_RANGE, LEVELS))).round(DECIMALS).T.to_numpy().tolist(),
        "correlations": scores.corr().round(4).to_numpy().tolist(),
    }


def count_levels(raw: pd.DataFrame, name: str, given: str) -> dict:
    """Count the levels of a column for each level of another."""
    groups = raw[given].astype(str) if given else pd.Series("", index=raw.index)
    counts = {
        level: {str(value): int(count) for value, count in part.value_counts().sort_index().items()}
        for level, part in raw[name].groupby(groups)
    }
    return {"given": given, "dtype": "int64" if raw[name].dtype.kind == "i" else "str", "counts": counts}


def estimate_target(raw: pd.DataFrame) -> dict:
    """Estimate effects on the log target by ridge regression, the noise from its residuals."""
    features = raw[[name for name in GIVEN if name != "salary_currency"]].astype(str)
    logarithm = np.log(raw[TARGET].to_numpy(float))
    encoder = OneHotEncoder(sparse_output=False)
    one_hot = encoder.fit_transform(features)
    ridge = Ridge(alpha=1.0).fit(one_hot, logarithm)
    # Residuals are too small where the model saw the row and too large where it did not: take the middle.
    fitted = (ridge.predict(one_hot) + cross_val_predict(Ridge(alpha=1.0), one_hot, logarithm, cv=20)) / 2
    edges = np.quantile(fitted, np.linspace(0, 1, BANDS + 1)[1:-1])
    residuals = pd.Series(logarithm - fitted).groupby(np.searchsorted(edges, fitted))
    ends = np.cumsum([len(levels) for levels in encoder.categories_])
    effects = {
        name: dict(zip(levels.tolist(), part.round(4).tolist(), strict=True))
        for name, levels, part in zip(features, encoder.categories_, np.split(ridge.coef_, ends[:-1]), strict=True)
    }
    return {
        "name": TARGET,
        "intercept": round(float(ridge.intercept_), 4),
        "effects": effects,
        "band_edges": edges.round(4).tolist(),
        "residual_quantiles": [np.quantile(part, np.linspace(0, 1, 21)).round(4).tolist() for _, part in residuals],
        "minimum": int(raw[TARGET].min()),
        "maximum": int(raw[TARGET].max()),
    }


def median_rates(raw: pd.DataFrame) -> dict[str, float]:
    """Give units of each currency for a dollar."""
    return (raw["salary"] / raw[TARGET]).groupby(raw["salary_currency"]).median().round(4).to_dict()


DESCRIPTIONS = {"salaries": describe_effects, "water_potability": describe_copula}

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
