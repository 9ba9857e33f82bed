"""Dirty files, full disks, cut-off and doubled runs: one clear line, and nothing that existed is harmed."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from torchlane.cli import cli

from .commands import PROJECT, Started

SALARIES = (PROJECT / "data/01_raw/salaries.csv").read_text()
HEADER, *ROWS = SALARIES.splitlines()
QUICK = "salaries.training.epochs=2,salaries.training.members=1"
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The outputs of a good run."""
    folder = tmp_path_factory.mktemp("finished")
    done = start(folder)
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def outputs(finished, tmp_path) -> Path:
    """A copy of the outputs of a good run, for a bad one to meet."""
    return shutil.copytree(finished, tmp_path / "outputs")


@pytest.fixture
def run(outputs, tmp_path) -> Run:
    """Run the pipeline of salaries on a raw file of the test's own, in this process."""

    def run_on(raw: str | bytes = SALARIES, *arguments: str, params: str = "") -> Result:
        folder = tmp_path / "raw"
        folder.mkdir(exist_ok=True)
        content = raw.encode() if isinstance(raw, str) else raw
        (folder / "salaries.csv").write_bytes(content)
        return start(outputs, *arguments, params=f"raw_root={folder}" + (f",{params}" if params else ""))

    return run_on


def start(outputs: Path, *arguments: str, params: str = "") -> Result:
    settings = ",".join(filter(None, [f"output_root={outputs}", QUICK, params]))
    bootstrap_project(PROJECT)
    return CliRunner().invoke(cli, ["run", "--pipeline=salaries", "--env=test", f"--params={settings}", *arguments])


def assert_refused(done: Result, message: str, outputs: Path) -> None:
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert message in line
    assert_whole(outputs)


def assert_whole(outputs: Path) -> None:
    """Load every artifact."""
    bootstrap_project(PROJECT)
    with KedroSession.create(PROJECT, env="test", runtime_params={"output_root": str(outputs)}) as session:
        catalog = session.load_context().catalog
        for name in ("clean_rows", "rejected_rows", "splits", "encoder", "train_tensors", "valid_tensors", "test_tensors",
                     "chosen_options", "recipe", "model", "metrics", "test_predictions", "history", "history_figure"):  # fmt: skip
            catalog.load(f"salaries.{name}")
    assert not list(outputs.rglob(".partial-*"))


def changed(column: str, values: dict[int, str], rows: list[str] = ROWS) -> str:
    """The bundled file with other values in some rows (1 is the first) of a column."""
    position = HEADER.replace('"', "").split(",").index(column)
    lines = [row.split(",") for row in rows]
    for row, value in values.items():
        lines[row - 1][position] = value
    return "\n".join([HEADER, *map(",".join, lines)])


def everywhere(column: str, value: str) -> str:
    return changed(column, dict.fromkeys(range(1, len(ROWS) + 1), value))


def rejected(outputs: Path) -> pd.DataFrame:
    return pd.read_csv(outputs / "02_intermediate/salaries/rejected_rows.csv", dtype="str", keep_default_na=False)


REFUSED = {
    "empty": (b"", "salaries.csv is empty; it needs a header and rows"),
    "header only": (HEADER, "has a header but no rows; put at least one row under it"),
    "missing column": (SALARIES.replace("job_title", "title"), "column 'job_title' is not a column of"),
    "missing target": (SALARIES.replace("salary_in_usd", "usd"), "set data.target"),
    "target all text": (everywhere("salary_in_usd", "good"), "no row of"),
    "duplicate header": (
        SALARIES.replace("job_title", "company_size"),
        "column 'company_size' occurs 2 times in the header",
    ),
    "latin-1": (
        SALARIES.replace("Data Analyst", "Analyst für Daten").encode("latin-1"),
        "is not UTF-8: byte 0xfc in line",
    ),
    "utf-16": (SALARIES.encode("utf-16"), "is UTF-16; save it as UTF-8 text"),
    "part without rows": ("\n".join([HEADER, *ROWS[:3]]), "the split leaves no row for"),
    "identical rows": ("\n".join([HEADER, *ROWS[:1] * 50]), "give more rows that differ"),
    "a pickle": (pickle.dumps({"a": 1}), "salaries.csv"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_file_is_refused_in_one_line_and_earlier_artifacts_stay_whole(run, outputs, name):
    raw, message = REFUSED[name]
    assert_refused(run(raw), message, outputs)


def test_missing_file_is_refused(outputs, tmp_path):
    done = start(outputs, params=f"raw_root={tmp_path}")
    assert_refused(done, "salaries.csv does not exist; put a CSV file with a header there", outputs)


WORKS = {
    "as it is": SALARIES,
    "byte-order mark": b"\xef\xbb\xbf" + SALARIES.encode(),
    "crlf": SALARIES.replace("\n", "\r\n"),
    "semicolons": SALARIES.replace(",", ";"),
    "tabs": SALARIES.replace(",", "\t"),
    "stray spaces": SALARIES.replace(',"FT",', " , FT ,"),
    "empty lines": SALARIES.replace("\n", "\n\n"),
    "no quotes": SALARIES.replace('"', ""),
}


@pytest.mark.parametrize("name", WORKS)
def test_other_spellings_of_the_same_table_give_the_same_model(run, outputs, finished, name):
    model = "06_models/salaries/model.safetensors"
    done = run(WORKS[name])
    assert done.exit_code == 0, done.output
    assert rejected(outputs).empty
    first, other = ((folder / "02_intermediate/salaries/clean_rows.parquet") for folder in (finished, outputs))
    pd.testing.assert_frame_equal(pd.read_parquet(first), pd.read_parquet(other))
    details = [
        json.loads((folder / "08_reporting/salaries/metrics.json").read_text()) for folder in (finished, outputs)
    ]
    assert details[0]["test"] == details[1]["test"]
    assert (outputs / model).stat().st_size > 0


IN_USD = "a number in USD, such as 1.5 USD"
BROKEN_RULES = [
    ("salary_in_usd", "much", IN_USD),
    ("salary_in_usd", "", "not missing"),
    ("salary_in_usd", "5 EUR", IN_USD),
    ("salary_in_usd", '"79,833"', IN_USD),  # thousands separators are never misread
    ("remote_ratio", "inf", "a finite number"),
    ("remote_ratio", "1'000", "a number"),
    ("work_year", "1815", "at least 2015"),
    ("company_size", "XXL", "one of S, M, L"),
]


def test_rows_that_break_a_rule_are_set_apart_and_the_run_goes_on(run, outputs, caplog):
    lines, expected = ROWS, []
    for number, (column, value, rule) in enumerate(BROKEN_RULES):
        rows = (3 + 10 * number, 7 + 10 * number)
        lines = changed(column, dict.fromkeys(rows, value), lines).splitlines()[1:]
        expected += [{"row": str(row), "column": column, "value": value.strip('"'), "rule": rule} for row in rows]
    done = run("\n".join([HEADER, *lines]))
    assert done.exit_code == 0, done.output
    by_row = rejected(outputs).sort_values("row", key=lambda row: row.astype("int64"))
    assert by_row.to_dict("records") == expected
    place = outputs / "02_intermediate/salaries/rejected_rows.csv"
    assert f"with the rules that they break, are in {place}" in caplog.text


def test_rows_with_too_many_or_too_few_fields_are_set_apart_with_their_numbers(run, outputs):
    lines = [HEADER, *ROWS]
    lines[2] = '2022,"SE"'
    lines[5] += ",1,2"
    done = run("\n".join(lines))
    assert done.exit_code == 0, done.output
    found = rejected(outputs)
    assert found["row"].tolist() == ["2", "5"]
    assert [rule.partition(":")[0] for rule in found["rule"]] == [
        f"11 fields, as the header has, and not {number}" for number in (2, 13)
    ]
    assert found["value"][0] == '2022,"SE"'


def test_unseen_levels_of_an_open_column_are_kept(run, outputs):
    done = run(changed("job_title", {4: "Wizard"}))
    assert done.exit_code == 0, done.output
    assert rejected(outputs).empty


def test_constant_feature_works(run):
    assert run(everywhere("remote_ratio", "50")).exit_code == 0
    assert run(everywhere("company_location", '"US"')).exit_code == 0


def test_class_of_a_single_row_works(run, outputs):
    raw = everywhere("employment_type", '"FT"').replace('"FT"', '"PT"', 1)
    done = run(raw, params="salaries.data.task=binary,salaries.data.target=employment_type")
    assert done.exit_code == 0, done.output
    metrics = json.loads((outputs / "08_reporting/salaries/metrics.json").read_text())
    assert metrics["test"]["roc_auc_score"] is None
    assert metrics["test"]["accuracy_score"] == 1.0


def test_too_many_rejected_rows_stop_the_run_with_the_commonest_rules(run, outputs):
    raw = changed("salary_in_usd", dict.fromkeys(range(1, 200), "?"))
    raw = changed("work_year", dict.fromkeys(range(150, 160), "1"), raw.splitlines()[1:])
    done = run(raw)
    assert_refused(done, "199 of 607 rows are rejected, more than data.max_rejected_fraction 0.2 allows: ", outputs)
    assert (
        "'salary_in_usd' must be not missing (199 rows, first row 1); 'work_year' must be at least 2015 (10 rows, "
        in done.stderr
    )
    assert len(rejected(outputs)) == 209
    assert run(raw, params="salaries.data.max_rejected_fraction=0.5").exit_code == 0


def test_loss_that_is_no_number_stops_with_epoch_and_causes(run, outputs):
    params = "salaries.training.learning_rate=1e30,salaries.training.optimizer.name=SGD,salaries.encoding.numbers=none"
    assert_refused(run(params=params), "loss is nan after epoch 1 at learning rate 1e+30: most often", outputs)


@pytest.mark.parametrize(
    ("artifact", "stage"),
    [
        ("02_intermediate/salaries/clean_rows.parquet", "train"),
        ("03_primary/salaries/splits.parquet", "evaluate"),
        ("05_model_input/salaries/train.safetensors", "evaluate"),
        ("06_models/salaries/chosen_options.json", "train"),
        ("06_models/salaries/recipe.json", "evaluate"),
        ("06_models/salaries/model.safetensors", "evaluate"),
        ("07_model_output/salaries/valid_outputs.safetensors", "evaluate"),
        ("08_reporting/salaries/metrics.json", "report"),
    ],
)
def test_cut_off_artifact_is_refused_by_name(run, outputs, artifact, stage):
    path = outputs / artifact
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = run(SALARIES, f"--tags={stage}")
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert artifact in line


def test_pickle_in_place_of_the_model_is_refused_and_not_loaded(run, outputs):
    path = outputs / "06_models/salaries/model.safetensors"
    path.write_bytes(pickle.dumps(pytest.fail))
    done = run(SALARIES, "--tags=evaluate")
    assert done.exit_code == 1
    assert "is not a whole safetensors file" in done.stderr


def test_raw_file_changed_after_prepare_is_noticed(run, caplog):
    assert run(SALARIES).exit_code == 0
    assert "has changed" not in caplog.text
    done = run(changed("salary_in_usd", {3: "1000"}), "--tags=train")
    assert done.exit_code == 0, done.output
    assert "salaries.csv has changed since the stage prepare; this run uses the rows as they were then" in caplog.text


def test_output_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    done = start(tmp_path / "file")
    assert done.exit_code == 1
    assert "file/06_models/salaries cannot be written (Not a directory); set output_root" in done.stderr


@pytest.mark.parametrize("kilobytes", [1, 8, 30])
def test_full_disk_is_said_in_one_line_and_harms_nothing(outputs, kilobytes):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, limits[1]))
    try:
        done = start(outputs, params="salaries.split.seed=5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_refused(done, "File too large", outputs)
    again = start(outputs, "--only-missing-outputs", params="salaries.split.seed=5")
    assert again.exit_code == 0, again.output


def test_second_run_of_a_use_case_says_so_and_leaves(run, outputs):
    from filelock import FileLock

    with FileLock(outputs / "06_models/salaries/.lock"):
        assert_refused(run(), "another run of salaries is writing to", outputs)
    assert run().exit_code == 0


KILLED = """
import os, signal, sys
from torchlane.pipelines.supervised import nodes, report_nodes
from torchlane.core.machine import files
from torchlane.cli import main
name, moment = sys.argv[1:3]
nodes = nodes if hasattr(nodes, name) else report_nodes
plain = getattr(nodes, name)
if moment == "before":
    def killed(*arguments, **named): os.kill(os.getpid(), signal.SIGKILL)
else:
    def killed(*arguments, **named):
        result = plain(*arguments, **named)
        files.os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)
        return result
killed.__name__, killed.__annotations__, killed.__wrapped__ = plain.__name__, plain.__annotations__, plain
setattr(nodes, name, killed)
sys.argv = ["torchlane", *sys.argv[3:]]
main()
"""
NODES = [
    "check_rows",
    "split_rows",
    "fit_encoder",
    "build_tensors",
    "choose_options",
    "train_model",
    "evaluate_model",
    "plot_history",
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """The outputs of the run that is killed below, not killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert start(folder, params="salaries.split.seed=3").exit_code == 0
    return folder


@pytest.mark.parametrize("node", NODES)
def test_kill_in_any_node_leaves_what_was_and_the_next_run_ends_as_if_nothing_had_happened(outputs, undisturbed, node):
    moment = "before" if NODES.index(node) % 2 else "saving"
    settings = f"output_root={outputs},raw_root={PROJECT}/data/01_raw,{QUICK},salaries.split.seed=3"
    arguments = ["run", "--pipeline=salaries", "--env=test", f"--params={settings}"]
    with Started("-c", KILLED, node, moment, *arguments) as run:
        killed = run.wait()
    assert killed.returncode == -9, killed.stderr
    assert not any(outputs.rglob("latest.safetensors"))

    done = start(outputs, "--only-missing-outputs", params=f"raw_root={PROJECT}/data/01_raw,salaries.split.seed=3")
    assert done.exit_code == 0, done.output
    assert_whole(outputs)
    for artifact in (
        "06_models/salaries/model.safetensors",
        "08_reporting/salaries/metrics.json",
        "07_model_output/salaries/test_predictions.csv",
        "07_model_output/salaries/valid_outputs.safetensors",
    ):
        assert (outputs / artifact).read_bytes() == (undisturbed / artifact).read_bytes(), artifact
    assert not (outputs / "06_models/salaries/.unfinished.json").exists()
