"""`torchlane init`: from a CSV file to a use case that runs."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from .commands import PROJECT, run_command

CSV = "data/01_raw/my.csv"
YAML = "conf/base/parameters/my.yml"


@pytest.fixture
def project(tmp_path, toy_rows) -> Path:
    for name in ("conf", "pyproject.toml", "src", ".telemetry"):
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        copy(PROJECT / name, tmp_path / name)
    (tmp_path / "data/01_raw").mkdir(parents=True)
    toy_rows.sample(frac=1, random_state=0).to_csv(tmp_path / "my.csv", index=False)
    return tmp_path


def init(project: Path, *arguments: str):
    return run_command("torchlane", "init", *arguments, folder=project)


def test_draft_is_a_use_case_that_runs(project):
    done = init(project, "my.csv", "--target", "price")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [
        "my.csv: 60 rows; regression of 'price' from 3 features (category 2, number 1)",
        f"wrote {YAML}: check it, then kedro run --pipeline=my",
    ]
    drafted = yaml.safe_load((project / YAML).read_text())["my"]["data"]
    assert drafted["task"] == "regression"
    assert drafted["columns"]["size"] == {"kind": "number", "minimum": 0}
    assert (project / CSV).read_bytes() == (project / "my.csv").read_bytes()
    quick = "--params=my.training.epochs=3"
    done = run_command("kedro", "run", "--pipeline=my", quick, folder=project)
    assert done.returncode == 0, done.stderr
    assert len(pd.read_parquet(project / "data/02_intermediate/my/clean_rows.parquet")) == 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("my.csv", "--target", "prise"), "target 'prise' is not a column of my.csv; its columns are size, place, "),
        (("none.csv", "--target", "price"), "none.csv does not exist; put a CSV file with a header there"),
        (("my.csv", "--target", "price", "--name", "1st"), "'1st' cannot be the name of a use case"),
        (("my.csv", "--target", "price", "--name", "zoo"), "conf/base/parameters/zoo.yml already exists; remove it"),
        (("my.csv", "--target", "price", "--name", "output_root"), "it is a setting that all use cases share; set ano"),
        (("my.csv", "--target", "price", "--name", "no"), "YAML reads it as something else; set another --name"),
        (("my.csv", "--target", "price", "--name", "catalogue"), "Kedro takes a file that is named so for a catalog"),
        (("my.csv", "--target", "price", "--name", "salaries_new"), "holds the rows that salaries is fine-tuned on"),
        (
            ("my.csv", "--target", "price", "--name", "salaries_2025"),
            "conf/public/parameters/salaries_2025.yml already",
        ),
        (
            ("my.csv",),
            "--target is missing: which column of my.csv is to be predicted? There are size, place, price, k",
        ),
        (("pyproject.toml", "--target", "price"), "pyproject.toml does not end in .csv, .tsv"),
        (("my.parquet", "--target", "price"), "my.parquet is not read by a training; make my.csv of it by python -c"),
        (("my.xlsx", "--target", "price"), "make my.csv of it by your spreadsheet program"),
    ],
)
def test_mistake_ends_in_one_line_and_writes_nothing(project, arguments, message):
    done = init(project, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert not (project / YAML).exists()
    assert not (project / CSV).exists()


def test_remarks_and_columns_left_out_are_a_line_each_before_the_summary(project):
    rows = pd.read_csv(project / "my.csv")
    rows.assign(number=range(1, 61), price="$" + rows["price"].astype("str"), kind="same").to_csv(
        project / "my.csv", index=False
    )
    done = init(project, "my.csv", "--target", "price")
    assert done.returncode == 0, done.stderr
    *remarks, summary, last = done.stdout.splitlines()
    assert summary == "my.csv: 60 rows; regression of 'price' from 2 features (number 1, category 1); 2 left out"
    starts = [remark.split(" (row")[0].split(",")[0].split(";")[0] for remark in remarks]
    assert {"'number': it numbers the rows", "'kind': it never changes"} <= set(starts)
    assert any(remark.startswith("'price': '$") and "look like amounts of money" in remark for remark in remarks)
    assert last.endswith("then kedro run --pipeline=my")


@pytest.mark.parametrize("name", ["my.tsv", "My File.csv.gz", "my.TXT"])
def test_packed_file_and_file_with_tabs_are_copied_as_the_pipeline_reads_them(project, name):
    rows = pd.read_csv(project / "my.csv", dtype="str")
    rows.to_csv(project / name, index=False, sep="\t")
    done = init(project, name, "--target", "price", "--name", "tabs")
    assert done.returncode == 0, done.stderr
    copied = pd.read_csv(project / "data/01_raw/tabs.csv", sep="\t", dtype="str")
    pd.testing.assert_frame_equal(copied, rows)


def test_another_file_in_its_place_is_not_overwritten(project):
    (project / CSV).write_text("precious")
    done = init(project, "my.csv", "--target", "price")
    assert done.returncode == 1
    assert f"{CSV} already exists and is another file" in done.stderr
    assert (project / CSV).read_text() == "precious"


def test_file_that_stands_in_its_place_already_is_drafted_from(project):
    shutil.move(project / "my.csv", project / CSV)
    assert init(project, CSV, "--target", "kind").returncode == 0
    assert yaml.safe_load((project / YAML).read_text())["my"]["data"]["task"] == "binary"
