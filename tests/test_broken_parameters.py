"""A fault in the parameter file of a use case stops its own pipelines, and no others."""

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from torchlane.config import UseCaseConfigLoader
from torchlane.core.rows.drafting.writing import as_key, as_value
from torchlane.parameter_files import only_use_cases
from torchlane.pipeline_registry import Pipelines

from .commands import PROJECT, run_command

DATA = "data: {task: regression, target: price, columns: {size: {kind: number}}}"
FAULTS = {
    "syntax": ("houses:\n  data: {task: regression\n", r"houses.yml is not valid YAML: line 3, column 1: .*; correct or remove it"),
    "key twice": (f"houses:\n  {DATA}\n  data: {{}}\n", r"houses.yml is not valid YAML: line 3, column 3: found duplicate key data"),
    "unknown section": (f"houses:\n  {DATA}\n  trainnig: {{}}\n", "'trainnig' in .* did you mean 'training'"),
    "bad value": (f"houses:\n  {DATA}\n  training: {{epochs: 0}}\n", r"houses.training.epochs: .*, not 0; set it in .*houses.yml"),
    "truth for a number": (f"houses:\n  {DATA}\n  training: {{epochs: yes}}\n", "houses.training.epochs: a number is needed, not true"),
    "empty": ("", "houses.yml has no block 'houses'; write one, or remove the file"),
    "comments alone": ("# houses:\n", "houses.yml has no block 'houses'"),
    "block of nothing": ("houses:\n", "'houses' in .*houses.yml must hold sections: data, split"),
    "no data": ("houses: {training: {epochs: 3}}", "houses.data.task: field required"),
    "cut off": (f"houses:\n  {DATA}\n  training:\n    epo", "'houses.training' in .* must hold options by name, not 'epo'"),
    "cut off within a name": ("hous", "'hous' in .*houses.yml: the file may hold only the block of its own use case, houses"),
    "a list": ("[houses]", "houses.yml must hold options by name"),
    "a number": ("3", "houses.yml must hold options by name, not 3 alone"),
    "interpolation": (f"houses:\n  {DATA}\n  training: {{epochs: '${{none.epochs}}'}}\n", "'houses' in .* refers to something that does not exist: .*none"),
    "interpolation cut off": (f"houses:\n  {DATA}\n  training: {{epochs: '${{none'}}\n", "houses.yml"),
    "not UTF-8": ("houses: {data: {target: Größe}}".encode("latin-1"), "houses.yml is not UTF-8 at byte 26; save it as UTF-8"),
    "zeros of a crash": (b"\0" * 64, "houses.yml cannot be read"),
    "misspelt name": (f"house:\n  {DATA}\n", "'house' in .*houses.yml: .* own use case, houses; rename the block to houses"),
}  # fmt: skip


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    write_conf(tmp_path)
    return tmp_path


def write_conf(folder: Path) -> None:
    """Write parameters of the use case `prices`, and an environment `other`."""
    for env in ("base", "other"):
        (folder / env / "parameters").mkdir(parents=True)
        (folder / env / "globals.yml").write_text("output_root: data")
    (folder / "base/parameters/prices.yml").write_text(f"prices:\n  {DATA}\n")


def load(conf: Path, **runtime: Any) -> UseCaseConfigLoader:
    return UseCaseConfigLoader(
        str(conf), env="other", base_env="base", runtime_params=runtime, merge_strategy={"parameters": "soft"}
    )


@pytest.mark.parametrize("env", ["base", "other"])
@pytest.mark.parametrize(("content", "message"), FAULTS.values(), ids=FAULTS)
def test_fault_in_a_file_is_said_by_its_own_use_case_and_keeps_no_other(conf, env, content, message, caplog):
    path = conf / env / "parameters/houses.yml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    loader = load(conf)
    assert list(loader["parameters"]) == ["prices"]
    pipelines = Pipelines(lambda: loader)
    with pytest.raises(ValueError, match=message) as caught:
        pipelines["houses.predict"]
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=message):
        pipelines["__default__"]
    assert set(pipelines) == {"prices", "prices.fine_tune", "prices.predict"}
    assert {node.namespace for node in pipelines["prices.predict"].nodes} == {"prices.predict"}
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "houses.yml" in line.getMessage()


WHOLE = (PROJECT / "conf/base/parameters/salaries.yml").read_bytes().replace(b"salaries", b"houses")
DAMAGED = st.one_of(
    st.integers(0, len(WHOLE)).map(lambda end: WHOLE[:end]),  # saved half
    st.tuples(st.integers(0, len(WHOLE)), st.binary(max_size=3)).map(
        lambda at: WHOLE[: at[0]] + at[1] + WHOLE[at[0] :]
    ),
    st.tuples(st.integers(0, len(WHOLE)), st.integers(1, 30)).map(lambda at: WHOLE[: at[0]] + WHOLE[at[0] + at[1] :]),
    st.text("houses:{}[]$-&*!|>%@`'\"#\n ,?0~.", max_size=30).map(str.encode),
    st.binary(max_size=30),
)


@settings(max_examples=60, deadline=None, phases=(Phase.generate,))
@given(content=DAMAGED, env=st.sampled_from(["base", "other"]))
def test_whatever_stands_in_a_file_the_others_can_run(content, env):
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder)
        write_conf(conf)
        (conf / env / "parameters/houses.yml").write_bytes(content)
        loader = load(conf)
        pipelines = Pipelines(lambda: loader)
        assert "prices.predict" in pipelines
        assert ("houses" in loader["parameters"]) is ("houses" not in loader.broken_use_cases())


@pytest.mark.parametrize(
    ("n_columns", "n_levels", "level"),
    [(3000, 0, ""), (400, 20, "level {}"), (700, 3, "Dear ${{title}} {}"), (3, 3, "cut off ${{ {}")],
    ids=["columns", "levels", "references", "references cut off"],
)
def test_drafted_columns_and_levels_of_any_number_and_text_are_read_back_beside_other_use_cases(
    conf, n_columns, n_levels, level
):
    levels = [level.format(number) for number in range(n_levels)]
    columns = {
        f"${{c}} {number}": {"kind": "category", "levels": levels} if levels else {"kind": "number"}
        for number in range(n_columns)
    }
    lines = [f"      {as_key(name)}: {as_value(options)}" for name, options in columns.items()]
    text = "\n".join(["houses:", "  data:", "    task: regression", "    target: price", "    columns:", *lines])
    (conf / "base/parameters/houses.yml").write_text(text)
    (conf / "other/parameters/houses.yml").write_text("houses: {training: {epochs: 3}}")
    loader = load(conf)
    assert loader.broken_use_cases() == {}
    assert list(loader["parameters"]) == ["houses", "prices"]
    assert loader["parameters"]["houses"]["data"]["columns"] == columns
    assert loader["parameters"]["houses"]["training"] == {"epochs": 3}


def test_reference_is_resolved_through_other_blocks_and_a_broken_block_that_it_does_not_name_is_no_hindrance(conf):
    (conf / "base/parameters/houses.yml").write_text(
        f"houses:\n  {DATA}\n  training: {{epochs: '${{prices.training.epochs}}', patience_epochs: '${{.epochs}}'}}\n"
    )
    (conf / "base/parameters/prices.yml").write_text(
        f"prices:\n  {DATA}\n  training: {{epochs: '${{shed.training.epochs}}'}}\n"
    )
    (conf / "base/parameters/shed.yml").write_text(f"shed:\n  {DATA}\n  training: {{epochs: 7}}\n")
    (conf / "base/parameters/barn.yml").write_text(f"barn:\n  {DATA}\n  training: {{epochs: '${{shed'}}\n")
    loader = load(conf)
    assert set(loader.broken_use_cases()) == {"barn"}
    assert loader["parameters"]["houses"]["training"] == {"epochs": 7, "patience_epochs": 7}


def test_registry_describes_in_one_line_why_a_use_case_cannot_run(tmp_path):
    for name in ("conf", "pyproject.toml", "src", ".telemetry"):
        (shutil.copytree if (PROJECT / name).is_dir() else shutil.copy)(PROJECT / name, tmp_path / name)
    (tmp_path / "conf/base/parameters/houses.yml").write_text("houses: {")
    for asked in ("houses.predict", "__default__"):
        done = run_command("kedro", "registry", "describe", asked, folder=tmp_path)
        assert done.returncode == 1
        (error,) = done.stderr.splitlines()
        assert error.startswith("Error: ") and "houses.yml is not valid YAML: line 2" in error
    done = run_command("kedro", "registry", "describe", "zoo.predict", folder=tmp_path)
    assert done.returncode == 0 and "- zoo.predict.score_files (score_files)" in done.stdout


def test_run_of_some_use_cases_reads_only_their_files_unless_they_refer_to_others(conf, caplog):
    (conf / "base/parameters/houses.yml").write_text("houses: {")
    (conf / "base/parameters/shed.yml").write_text(f"shed:\n  {DATA}\n  training: {{epochs: 7}}\n")
    (conf / "base/parameters.yml").write_text("shed: {evaluation: {folds: 2}}")
    with only_use_cases(["prices"]):
        loader = load(conf)
    assert list(loader["parameters"]) == ["prices"] and loader.broken_use_cases() == {} and not caplog.records
    with only_use_cases(["prices"]):
        assert list(load(conf, shed={"training": {"epochs": 3}})["parameters"]) == ["prices", "shed"]
    reference = "{epochs: '${shed.training.epochs}'}"
    (conf / "base/parameters/prices.yml").write_text(f"prices:\n  {DATA}\n  training: {reference}\n")
    with only_use_cases(["prices"]):
        loader = load(conf)
    assert loader["parameters"]["prices"]["training"] == {"epochs": 7}
    assert list(load(conf)["parameters"]) == ["prices", "shed"]
    with only_use_cases(["garden"]):
        assert set(load(conf).broken_use_cases()) == {"houses"}


def test_fault_in_an_environment_is_its_own_use_case_s_although_base_is_sound(conf):
    (conf / "base/parameters/houses.yml").write_text(f"houses:\n  {DATA}\n")
    assert load(conf).broken_use_cases() == {}
    (conf / "other/parameters/houses.yml").write_text("houses: {training: {epochs")
    loader = load(conf)
    assert list(loader["parameters"]) == ["prices"]
    assert set(loader.broken_use_cases()) == {"houses"}


def test_registry_that_lives_on_goes_by_the_files_as_they_are_now(conf):
    path = conf / "base/parameters/houses.yml"
    path.write_text("houses: {")
    loaders = [load(conf)]
    pipelines = Pipelines(lambda: loaders[-1])
    assert len(pipelines) == 3
    path.write_text(f"houses:\n  {DATA}\n")
    loaders.append(load(conf))
    assert len(pipelines) == len(list(pipelines)) == 7
    assert pipelines["houses"].nodes


def test_registry_made_before_the_loader_of_its_project_names_the_use_cases_of_that(conf, tmp_path):
    (conf / "base/parameters/houses.yml").write_text(f"houses:\n  {DATA}\n")
    other = shutil.copytree(conf, tmp_path / "of another project")
    (other / "base/parameters/houses.yml").unlink()
    loaders = [load(other)]
    pipelines = Pipelines(lambda: loaders[-1])
    assert "houses" not in pipelines
    loaders.append(load(conf))
    assert "houses" in pipelines


def test_block_in_the_file_of_another_use_case_is_refused_by_both(conf):
    (conf / "base/parameters/houses.yml").write_text(f"houses:\n  {DATA}\nprices: {{training: {{epochs: 3}}}}\n")
    broken = load(conf).broken_use_cases()
    assert set(broken) == {"houses", "prices"}
    assert "'prices' in" in broken["prices"] and "move it to prices.yml" in broken["prices"]


def test_option_set_in_two_files_of_an_environment_is_refused_with_both(conf):
    (conf / "base/parameters.yml").write_text("prices: {data: {target: cost}}")
    (conf / "base/parameters/houses.yml").write_text(f"houses:\n  {DATA}\n")
    loader = load(conf)
    assert list(loader["parameters"]) == ["houses"]
    assert "prices.data.target is set in " in loader.broken_use_cases()["prices"]


def test_setting_for_all_use_cases_that_two_files_set_stops_all(conf):
    for name in ("prices", "houses"):
        (conf / f"base/parameters/{name}.yml").write_text(f"{name}:\n  {DATA}\noutput_root: {name}\n")
    with pytest.raises(ValueError, match="output_root is set in .*houses.yml and .*prices.yml; remove one of them"):
        load(conf)["parameters"]


def test_block_that_is_a_list_in_the_environment_is_refused_by_its_own_use_case(conf):
    (conf / "base/parameters/houses.yml").write_text(f"houses:\n  {DATA}\n")
    (conf / "other/parameters/houses.yml").write_text("houses: [1]")
    loader = load(conf)
    assert list(loader["parameters"]) == ["prices"]
    assert "houses.yml" in loader.broken_use_cases()["houses"]


def test_file_for_all_use_cases_that_cannot_be_read_stops_all(conf):
    (conf / "other/parameters.yml").write_text("prices: {training: {epochs: 3")
    with pytest.raises(ValueError, match=r"other/parameters.yml is not valid YAML: line 2"):
        load(conf)["parameters"]


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        ({"hause": {"training": {"epochs": 3}}}, "'hause' in --params is not a use case; did you mean 'houses'"),
        ({"prices": {"training": {"epochs": 0}}}, "prices.training.epochs: .*, not 0; set it in --params"),
        ({"prices": {"training": {"epochs": True}}}, "prices.training.epochs: a number is needed, not true"),
        (
            {"prices": {"training": {"epochs": "${none}"}}},
            "'prices' in --params refers to something that does not exist",
        ),
    ],
)
def test_fault_in_params_stops_the_run_whatever_the_files_say(conf, runtime, message):
    (conf / "base/parameters/houses.yml").write_text("houses: {")
    with pytest.raises(ValueError, match=message):
        load(conf, **runtime)["parameters"]


def test_scoring_goes_on_beside_a_file_that_is_not_finished_and_a_run_of_all_does_not(tmp_path):
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    (tmp_path / "conf/base/parameters/houses.yml").write_text("houses: {data: {task: regression")
    folders = f"--params=output_root={tmp_path}/out,raw_root={tmp_path}/raw"
    common = ("--env=test", f"--conf-source={tmp_path}/conf", folders)
    scored = run_command("kedro", "run", "--pipeline=zoo.predict", *common)
    assert scored.returncode == 5  # there is no model yet
    (error,) = scored.stderr.splitlines()  # the other file is not read
    assert "model.safetensors does not exist" in error
    everything = run_command("kedro", "run", *common)
    assert everything.returncode == 1
    (error,) = everything.stderr.splitlines()
    assert error.startswith("Error: not all use cases can run: ") and "houses.yml is not valid YAML" in error
    assert not (tmp_path / "out/06_models").exists()


def test_viz_shows_the_other_use_cases(conf):
    from kedro.io import DataCatalog
    from kedro_viz.data_access.managers import DataAccessManager

    (conf / "base/parameters/houses.yml").write_text("houses: {")
    loader = load(conf)
    manager = DataAccessManager()
    manager.add_catalog(DataCatalog(), dict(Pipelines(lambda: loader)))
    manager.add_pipelines(dict(Pipelines(lambda: loader)))
    assert manager.get_default_selected_pipeline().id == "prices"
