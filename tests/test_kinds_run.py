"""A table of dates, money, per cents, decimal commas and units, from its file to predictions."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

import torchlane

from .commands import PROJECT, run_command

OPTIONS = """
goods:
  data:
    task: regression
    target: price
    columns:
      sold: { kind: date, minimum: 2000-01-01 }
      seen: { kind: date, format: "%d.%m.%Y %H:%M", zone: Europe/Amsterdam }
      cost: { kind: number, format: money }
      rate: { kind: number, decimal: comma }
      share: { kind: number, format: percent }
      load: { kind: number, unit: kg }
      price: { kind: number, format: money, decimal: comma }
  model: { widths: [4] }
  training: { epochs: 2, members: 2 }
  prediction: { settle_seconds: 0 }
"""


@pytest.fixture
def project(tmp_path) -> Path:
    for name in ("conf", "pyproject.toml", "src", ".telemetry"):
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        copy(PROJECT / name, tmp_path / name)
    (tmp_path / "conf/base/parameters/goods.yml").write_text(OPTIONS)
    (tmp_path / "data/01_raw/goods_inbox").mkdir(parents=True)
    return tmp_path


def goods(n_rows: int) -> pd.DataFrame:
    numbers = range(n_rows)
    return pd.DataFrame(
        {
            "sold": ["" if n % 9 == 4 else f"{2021 + n % 3}-{1 + n % 12:02}-{1 + n % 28:02}" for n in numbers],
            "seen": [f"{1 + n % 28}.{1 + n % 12}.2024 {n % 24}:30" for n in numbers],
            "cost": [f"${1000 + 7 * n:,}.50" if n % 5 else f"({n}.00)" for n in numbers],
            "rate": [f"{n % 7},{n % 10}" for n in numbers],
            "share": [f"{n % 100}.5%" for n in numbers],
            "load": [f"{n % 30} kg" for n in numbers],
            "price": [f"{1 + n // 10}.{100 + n},50 \u20ac" for n in numbers],
        }
    )


@pytest.mark.slow
def test_table_of_formats_and_dates_runs_from_its_file_to_predictions(project):
    raw = goods(60)
    raw.loc[7, "cost"] = "1,5"
    raw.to_csv(project / "data/01_raw/goods.csv", index=False)
    for stage in ("prepare", "tune,train"):
        done = run_command("kedro", "run", "--pipeline=goods", f"--tags={stage}", folder=project)
        assert done.returncode == 0, done.stderr
    clean = pd.read_parquet(project / "data/02_intermediate/goods/clean_rows.parquet")
    assert len(clean) == 59 and str(clean["seen"].dtype) == "datetime64[us, Europe/Amsterdam]"
    assert clean.loc[0, ["cost", "rate", "share", "load", "price"]].tolist() == [0, 0, 0.5, 0, 1100.5]
    rejected = pd.read_csv(project / "data/02_intermediate/goods/rejected_rows.csv")
    assert rejected.to_dict("records") == [
        {"row": 8, "column": "cost", "value": "1,5", "rule": "an amount of money such as $1,234.50"}
    ]
    new = goods(12)
    new.to_csv(project / "data/01_raw/goods_inbox/a.csv", index=False)
    new.to_json(project / "data/01_raw/goods_inbox/b.jsonl", orient="records", lines=True)
    dates = {"sold": pd.to_datetime(new["sold"]), "seen": pd.to_datetime(new["seen"], format="%d.%m.%Y %H:%M")}
    new.assign(**dates).to_parquet(project / "data/01_raw/goods_inbox/c.parquet")
    done = run_command("kedro", "run", "--pipeline=goods.predict", folder=project)
    assert done.returncode == 0, done.stderr
    files = sorted((project / "data/07_model_output/goods/predictions").glob("*.csv"))
    expected = torchlane.load(next((project / "data/06_models/goods").glob("model*"))).predict(new)["prediction"]
    assert [pd.read_csv(file, float_precision="round_trip")["prediction"].tolist() for file in files] == [
        expected.tolist()
    ] * 3
