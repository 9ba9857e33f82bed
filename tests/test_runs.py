"""Real runs, as a user types them."""

import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import torchlane
from tests.figures.titles import title_of
from torchlane.cli import _require_runner
from torchlane.pipeline_registry import KINDS, compose, pipelines_with

from .commands import PROJECT, Started, noise, run_command

PREVIEWS = {  # of Kedro-Viz, by the ending of a file, if it is no figure; stores have none
    **dict.fromkeys((".csv", ".parquet", ".safetensors", ".sqlite", ""), "TablePreview"),
    **{".json": "JSONPreview", ".html": "TextPreview", ".md": "TextPreview"},
}
SALARIES = PROJECT / "data/01_raw/salaries.csv"
PUBLIC = PROJECT / "data/01_raw/public/ds_salaries.csv"
needs_public_file = pytest.mark.skipif(not PUBLIC.exists(), reason=f"the real rows are not in {PUBLIC.parent}")


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def digests(folder: Path) -> dict[str, bytes]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.parent.name != ".lineage"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}  # records have the times of files


Done = subprocess.CompletedProcess[str]


def run_into(folder: Path, params: str = "", env: str = "test") -> Done:
    settings = ",".join(filter(None, [f"output_root={folder}", params]))
    done = run_command("kedro", "run", "--pipeline=salaries", f"--env={env}", f"--params={settings}")
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> tuple[Path, Done]:
    """The outputs of a plain run, and what it said."""
    folder = tmp_path_factory.mktemp("plain")
    return folder, run_into(folder)


def test_run_leaves_every_artifact_and_the_python_api_predicts_the_same(plain):
    tmp_path, done = plain
    assert sorted(digests(tmp_path)) == [
        "02_intermediate/salaries/clean_rows.parquet",
        "02_intermediate/salaries/rejected_rows.csv",
        "03_primary/salaries/splits.parquet",
        "04_feature/salaries/encoder.safetensors",
        "05_model_input/salaries/test.safetensors",
        "05_model_input/salaries/train.safetensors",
        "05_model_input/salaries/valid.safetensors",
        "06_models/salaries/.lock",
        "06_models/salaries/chosen_options.json",
        "06_models/salaries/model.safetensors",
        "06_models/salaries/recipe.json",
        "07_model_output/salaries/fold_scores.csv",
        "07_model_output/salaries/mistakes.csv",
        "07_model_output/salaries/test_predictions.csv",
        "07_model_output/salaries/valid_outputs.safetensors",
        "08_reporting/salaries/augmentation.json",
        "08_reporting/salaries/baselines.json",
        "08_reporting/salaries/data_summary.json",
        "08_reporting/salaries/diagnosis.json",
        "08_reporting/salaries/distributions.json",
        "08_reporting/salaries/explanation.json",
        "08_reporting/salaries/facts.json",
        "08_reporting/salaries/failures.csv",
        "08_reporting/salaries/feature_importances.csv",
        "08_reporting/salaries/feature_importances.json",
        "08_reporting/salaries/filters.json",
        "08_reporting/salaries/history.csv",
        "08_reporting/salaries/history.json",
        "08_reporting/salaries/layers.json",
        "08_reporting/salaries/leaderboard.csv",
        "08_reporting/salaries/metrics.json",
        "08_reporting/salaries/mistakes.json",
        "08_reporting/salaries/model_card.md",
        "08_reporting/salaries/option_importances.json",
        "08_reporting/salaries/pairs.json",
        "08_reporting/salaries/partial_dependence.csv",
        "08_reporting/salaries/partial_dependence.json",
        "08_reporting/salaries/precision_recall.json",
        "08_reporting/salaries/predictions.json",
        "08_reporting/salaries/provenance.json",
        "08_reporting/salaries/reliability.json",
        "08_reporting/salaries/report.html",
        "08_reporting/salaries/residuals.json",
        "08_reporting/salaries/roc.json",
        "08_reporting/salaries/runs.jsonl",
        "08_reporting/salaries/search.json",
        "08_reporting/salaries/thresholds.json",
        "08_reporting/salaries/warnings.json",
    ]
    assert read_json(tmp_path / "08_reporting/salaries/metrics.json")["data"] == "bundled sample"
    assert "bundled sample" in title_of(read_json(tmp_path / "08_reporting/salaries/history.json"))
    assert noise(done.stderr) == []
    command = f"kedro viz run --env=test --params=output_root={tmp_path} shows them"
    assert done.stderr.splitlines()[-1].endswith(f"are in {tmp_path}/08_reporting/salaries; {command}")

    saved = pd.read_csv(tmp_path / "07_model_output/salaries/test_predictions.csv")
    raw = pd.read_csv(SALARIES, keep_default_na=False).iloc[saved["row"] - 1]
    np.testing.assert_array_equal(saved["truth"], raw["salary_in_usd"])
    predicted = torchlane.load(tmp_path / "06_models/salaries/model.safetensors").predict(raw)
    np.testing.assert_array_equal(predicted["prediction"], saved["prediction"])


def test_two_runs_write_the_same_bits_and_stages_run_alone(plain, run_kedro, tmp_path):
    shutil.copytree(plain[0], tmp_path, dirs_exist_ok=True)
    first = digests(tmp_path)
    for stage in ("prepare", "tune", "train", "evaluate", "report"):
        done = run_kedro(f"--tags={stage}")
        assert done.returncode == 0, done.stderr
    second = digests(tmp_path)
    # These hold times, and the folder.
    timed = {"history.csv", "provenance.json", "facts.json", "report.html", "model_card.md", "runs.jsonl"}
    assert set(first) == set(second)
    assert {Path(name).name for name in first if first[name] != second[name]} <= timed
    done = run_kedro("--tags=report")
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path) == second


def test_page_asked_for_before_the_training_or_over_an_older_folder_names_the_stage_to_run(plain, run_kedro, tmp_path):
    done = run_kedro("--tags=report")
    assert (done.returncode, "run the stage prepare first" in done.stderr) == (1, True), done.stderr
    shutil.copytree(plain[0], tmp_path, dirs_exist_ok=True)
    warnings = tmp_path / "08_reporting/salaries/warnings.json"
    warnings.unlink()
    done = run_kedro("--tags=report")
    message = "warnings does not exist; run the stage evaluate first: --tags=evaluate,report"
    assert (done.returncode, message in done.stderr) == (1, True), done.stderr
    shutil.copy(plain[0] / "08_reporting/salaries/warnings.json", warnings)
    (tmp_path / "08_reporting/salaries/baselines.json").write_text("{}")
    done = run_kedro("--tags=report")
    message = "warnings was not made from"
    assert (done.returncode, message in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize("runner", ["ThreadRunner", "ParallelRunner"])
def test_other_runners_write_the_same_model(plain, run_kedro, tmp_path, runner):
    model = "06_models/salaries/model.safetensors"
    done = run_kedro(f"--runner={runner}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / model).read_bytes() == (plain[0] / model).read_bytes()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            "salaries.training.epohs=3",
            "'epohs' in --params is not an option of salaries.training; did you mean 'epochs'?",
        ),
        ("salaries.training.device=cuda:99", "training.device 'cuda:99' is not on this machine"),
        ("salaries.training.optimizer.name=LBFGS", "optimizer LBFGS does not fit: it needs a closure"),
        ("raw_root=nowhere", "nowhere/salaries.csv does not exist; put a CSV file with a header there"),
        (
            "salaries.data.target=price",
            "target 'price' is not a column of data/01_raw/salaries.csv; its columns are work_year, ",
        ),
    ],
)
def test_mistake_ends_in_one_line_with_status_1_and_harms_nothing(run_kedro, tmp_path, params, message):
    kept = tmp_path / "06_models/salaries/model.safetensors"
    kept.parent.mkdir(parents=True)
    kept.write_text("an earlier model")
    done = run_kedro(params=params)
    assert done.returncode == 1
    (error,) = [line for line in done.stderr.splitlines() if " INFO " not in line]
    assert error.startswith("Error: ")
    assert message in error
    assert "Traceback" not in done.stdout + done.stderr
    assert kept.read_text() == "an earlier model"


def start_and_wait(tmp_path: Path, params: str, sign: Path) -> Started:
    """Start a run and wait until a file shows that it trains."""
    settings = f"--params=output_root={tmp_path},{params}"
    run = Started("kedro", "run", "--pipeline=salaries", "--env=test", settings)
    while not run.ended() and not sign.exists():
        time.sleep(0.02)
    return run


CHECKPOINTED = "salaries.training.epochs=40,salaries.training.checkpoint_minutes=0"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """The outputs of the run that is cut off below, not cut off."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run_into(folder, CHECKPOINTED)
    return folder


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)],
    ids=["kill", "term", "ctrl-c"],
)
def test_run_cut_off_goes_on_from_its_checkpoint_and_ends_with_the_same_model(
    undisturbed, run_kedro, tmp_path, number, status
):
    model = tmp_path / "06_models/salaries/model.safetensors"
    checkpoint = tmp_path / "06_models/salaries/checkpoints/latest.safetensors"
    with start_and_wait(tmp_path, CHECKPOINTED, checkpoint) as run:
        run.send(number)
        cut = run.wait()
    assert cut.returncode == status
    assert checkpoint.exists()
    assert not model.exists()
    if number != signal.SIGKILL:
        assert "the same command goes on from there" in cut.stderr
        assert cut.stderr.splitlines()[-1] == f"Error: ended by {number.name}"
    done = run_kedro(params=CHECKPOINTED)
    assert "goes on after epoch" in done.stderr
    assert not checkpoint.exists()
    assert model.read_bytes() == (undisturbed / "06_models/salaries/model.safetensors").read_bytes()


def test_checkpoint_of_another_network_is_set_aside(run_kedro, tmp_path):
    checkpoint = tmp_path / "06_models/salaries/checkpoints/latest.safetensors"
    with start_and_wait(tmp_path, CHECKPOINTED, checkpoint) as run:
        run.send(signal.SIGKILL)
        run.wait()
    done = run_kedro(params="salaries.model.dropout=0.3")
    assert done.returncode == 0, done.stderr
    assert "belongs to other data or options; set aside as" in done.stderr
    assert "goes on after" not in done.stderr
    assert "removed 1 checkpoints of other, interrupted trainings from" in done.stderr
    assert list(checkpoint.parent.iterdir()) == []


def test_debug_shows_the_traceback(run_kedro):
    done = run_kedro("--debug", params="salaries.training.epochs=0")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_unknown_pipeline_is_named_with_those_there_are():
    done = run_command("kedro", "run", "--pipelines=salary", "--env=test")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "Error: 'salary' is not a pipeline; did you mean 'salaries'? there are digits, digits.fine_tune, "
    )


@pytest.mark.parametrize("name", ["Typo", "ParalelRunner", "AbstractRunner", "run_node", "my.module.Runner", "."])
def test_runner_that_is_none_is_named_with_those_there_are(name):
    with pytest.raises(
        ValueError, match=rf"^--runner={re.escape(name)} is not a runner; .*SequentialRunner, ThreadRunner;"
    ):
        _require_runner(name)
    for known in ("ThreadRunner", "kedro.runner.ParallelRunner"):
        _require_runner(known)


@pytest.mark.parametrize(
    ("names", "pipelines"),
    [
        (["salaries.comparison_figure"], ["salaries.fine_tune"]),
        (["salaries.report.plot_comparison", "salaries.new_rows"], ["salaries.fine_tune"]),
        (["salaries.history_figure", "zoo.clean_rows"], ["salaries", "zoo"]),
        (["salaries.drift_by_file_figure"], ["salaries.predict"]),
        (["salaries.model", "salaries.prepare.check_rows", "salaries.raw_rows"], ["salaries"]),
        (["salaries.inbox"], ["salaries.predict"]),
        (["salaries.comparison_figura"], []),
        (["salaries.model", "nothing"], []),
        ([], []),
    ],
)
def test_nodes_and_datasets_lead_to_the_pipelines_that_have_them(names, pipelines):
    assert pipelines_with(names) == pipelines


def test_every_output_that_kedro_viz_offers_to_run_belongs_to_a_pipeline():
    for kind in KINDS:
        for name in compose("zoo", kind).all_outputs():
            assert pipelines_with([name]) == [f"zoo{kind}"]


def test_help_and_version():
    assert run_command("torchlane", "-h").stdout == run_command("torchlane", "--help").stdout
    assert run_command("torchlane", "init", "-h").stdout.startswith("Usage: torchlane init [OPTIONS] FILE")
    assert re.fullmatch(r"torchlane [0-9.]+\n", run_command("torchlane", "--version").stdout)


def test_output_of_another_pipeline_is_run_to_by_its_name_alone(tmp_path):
    done = run_command(
        "kedro", "run", "--to-outputs=zoo.drift_by_file_figure", "--env=test", f"--params=output_root={tmp_path}"
    )
    assert "zoo.model" in done.stderr and "does not contain" not in done.stderr  # there is no model yet


def test_new_use_case_needs_a_file_and_its_parameters_only(tmp_path, toy_rows):
    for name in ("conf", "pyproject.toml", "src"):
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        copy(PROJECT / name, tmp_path / name)
    (tmp_path / "data/01_raw").mkdir(parents=True)
    toy_rows.to_csv(tmp_path / "data/01_raw/houses.csv", index=False)
    (tmp_path / "conf/base/parameters/houses.yml").write_text(
        "houses:\n"
        "  data: {task: binary, target: kind, columns: {size: {kind: number}, place: {kind: category}}}\n"
        "  training: {epochs: 100, learning_rate: 0.01}\n"
    )
    done = run_command("kedro", "run", "--pipeline=houses", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    metrics = read_json(tmp_path / "data/08_reporting/houses/metrics.json")
    assert metrics["data"] == "data/01_raw/houses.csv"
    assert metrics["test"]["accuracy_score"] >= 0.8


def test_viz_builds_with_layers_and_previews(run_kedro, tmp_path):
    for name in ("conf", "pyproject.toml", "src"):
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        copy(PROJECT / name, tmp_path / name)
    (tmp_path / "data/01_raw").mkdir(parents=True)
    shutil.copy(SALARIES, tmp_path / "data/01_raw")
    quick = "--params=salaries.training.epochs=2,salaries.training.members=1"
    assert run_command("kedro", "run", "--pipeline=salaries", quick, folder=tmp_path).returncode == 0
    done = run_command("kedro", "viz", "build", "--include-previews", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    main = read_json(tmp_path / "build/api/main")
    assert main["layers"] == [
        "raw",
        "intermediate",
        "primary",
        "feature",
        "model input",
        "models",
        "model output",
        "reporting",
    ]
    there = {path.name for path in (tmp_path / "data").rglob("*")}
    figures = {name for kind in KINDS for name in compose("salaries", kind).all_outputs() if name.endswith("_figure")}
    previews = {}
    for path in (tmp_path / "build/api/nodes").iterdir():
        node = read_json(path)
        if "salaries" in str(node.get("filepath")) and "code" not in node:
            name = Path(node["filepath"]).name
            previews[name] = node.get("preview_type") if node.get("preview") else None
            stem, ending = Path(name).stem, Path(name).suffix
            is_figure = ending == ".json" and f"salaries.{stem}_figure" in figures
            kind = "PlotlyPreview" if is_figure else "TablePreview" if stem == "metrics" else PREVIEWS[ending]
            assert previews[name] == (kind if name in there or ending in ("", ".sqlite") else None), name
    assert {"clean_rows.parquet", "model.safetensors", "metrics.json", "history.json", "checkpoints"} <= set(previews)


@pytest.mark.parametrize(
    ("env", "source"), [("test", "bundled sample"), ("public", "water potability, 3,276 water bodies")]
)
def test_water_potability_runs_by_configuration_alone(tmp_path, env, source):
    if env == "public" and not (PUBLIC.parent / "water_potability.csv").exists():
        pytest.skip(f"the real rows are not in {PUBLIC.parent}")
    settings = f"--params=output_root={tmp_path},water_potability.training.members=1"
    done = run_command("kedro", "run", "--pipeline=water_potability", f"--env={env}", settings)
    assert done.returncode == 0, done.stderr
    metrics = read_json(tmp_path / "08_reporting/water_potability/metrics.json")
    assert metrics["data"] == source
    assert sum(metrics["rows"].values()) == 3276
    assert metrics["test"]["roc_auc_score"] > (0.6 if env == "public" else 0.5)
    predictions = pd.read_csv(tmp_path / "07_model_output/water_potability/test_predictions.csv")
    assert set(predictions["prediction"]) <= {0, 1}
    np.testing.assert_allclose(predictions[["probability_0", "probability_1"]].sum(axis=1), 1)


@pytest.mark.parametrize("env", ["base", "public"])
def test_zoo_runs_by_configuration_alone_and_its_labels_are_integers(tmp_path, env):
    settings = f"--params=output_root={tmp_path},zoo.training.members=1"
    done = run_command("kedro", "run", "--pipeline=zoo", f"--env={env}", settings)
    assert done.returncode == 0, done.stderr
    metrics = read_json(tmp_path / "08_reporting/zoo/metrics.json")
    assert metrics["data"] == "UCI Zoo, 101 animals"
    assert sum(metrics["rows"].values()) == 101
    assert metrics["test"]["accuracy_score"] > 0.85
    rows = pd.read_csv(PROJECT / "data/01_raw/zoo.csv").drop(columns="class_type")
    predicted = torchlane.load(tmp_path / "06_models/zoo/model.safetensors").predict(rows)["prediction"]
    assert set(predicted) == {1, 2, 3, 4, 5, 6, 7}


@pytest.mark.parametrize("use_case", ["salaries", "water_potability", "zoo", "digits"])
def test_diagnosis_finds_nothing_wrong_with_the_use_cases_as_they_come(tmp_path, use_case):
    done = run_command("kedro", "run", f"--pipeline={use_case}", f"--params=output_root={tmp_path}")
    assert done.returncode == 0, done.stderr
    diagnosis = read_json(tmp_path / f"08_reporting/{use_case}/diagnosis.json")
    assert diagnosis["enabled"]
    assert diagnosis["findings"] == []


def test_salaries_2025_runs_by_configuration_alone(tmp_path):
    if not (PUBLIC.parent / "salaries_2025.csv.gz").exists():
        pytest.skip(f"the real rows are not in {PUBLIC.parent}")
    settings = f"output_root={tmp_path},salaries_2025.training.members=1,salaries_2025.training.epochs=2"
    done = run_command("kedro", "run", "--pipeline=salaries_2025", "--env=public", f"--params={settings}")
    assert done.returncode == 0, done.stderr
    metrics = read_json(tmp_path / "08_reporting/salaries_2025/metrics.json")
    assert metrics["data"] == "ai-jobs.net salary survey, January 2025"
    assert sum(metrics["rows"].values()) == 74301
    assert metrics["test"]["r2_score"] > 0.2


@needs_public_file
def test_public_run_learns_from_the_real_rows(run_kedro, tmp_path):
    done = run_kedro(env="public")
    assert done.returncode == 0, done.stderr
    metrics = read_json(tmp_path / "08_reporting/salaries/metrics.json")
    assert metrics["data"] == "ai-jobs.net salary survey, 2020 to 2022"
    assert sum(metrics["rows"].values()) == 607
    assert metrics["test"]["r2_score"] > 0.3
    assert "ignored, since not declared: Unnamed: 0, salary, salary_currency" in done.stderr


@pytest.fixture(scope="module")
def notebook(tmp_path_factory) -> Path:
    """The outputs of a run with the settings of the notebook."""
    folder = tmp_path_factory.mktemp("notebook")
    run_into(folder, env="notebook")
    return folder


@needs_public_file
def test_notebook_run_prints_what_the_notebook_printed(notebook):
    metrics = read_json(notebook / "08_reporting/salaries/metrics.json")
    assert metrics["rows"] == {"train": 607, "valid": 0, "test": 607}
    assert metrics["test"]["loss"] == pytest.approx(0.0140564773, abs=1e-9)


@needs_public_file
def test_notebook_model_has_the_bits_of_the_plain_loop_and_the_pass_it_printed(notebook):
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    frame = pd.read_csv(PUBLIC)
    names = ["experience_level", "employment_type", "remote_ratio", "company_size"]
    columns = [frame[name] if name == "remote_ratio" else frame[name].astype("category").cat.codes for name in names]
    features = torch.tensor(np.stack(columns, 1), dtype=torch.float32)
    pay = frame["salary_in_usd"].to_numpy(float)
    targets = torch.tensor((pay - pay.min()) / (pay.max() - pay.min()), dtype=torch.float32)[:, None]
    torch.manual_seed(1)
    plain = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Linear(2, 1))
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.001)
    loader = DataLoader(TensorDataset(features, targets), batch_size=4, shuffle=True)
    for _ in range(10):
        for inputs, truth in loader:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(plain(inputs), truth).backward()
            optimizer.step()

    model = torchlane.load(notebook / "06_models/salaries/model.safetensors").network()
    for ours, theirs in zip(model.state_dict().values(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-7)  # targets differ in their last bits
    printed = [
        (0.148, 0.088),
        (0.253, 0.208),
        (0.280, 0.153),
        (0.205, 0.154),
        (0.179, 0.153),
        (0.213, 0.165),
        (0.093, 0.175),
    ]
    with torch.no_grad():
        rows = [pair for inputs, truth in loader for pair in zip(truth[:, 0], model(inputs)[:, 0], strict=True)]
    np.testing.assert_allclose(np.array(rows[:7]), printed, atol=5.1e-4)
