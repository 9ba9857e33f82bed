"""An option that is text is read as it was written, in files, in environments, by reference and in `--params`."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from torchlane.cli import cli
from torchlane.config import UseCaseConfigLoader
from torchlane.core.options import DataOptions, TrainingOptions
from torchlane.core.options.levels import plain_level
from torchlane.option_shapes import PARAMETERS, values_instead_of_text
from torchlane.yaml_text import load_parameters, read_params

WORDS = ("no", "NO", "on", "y", "true", "010", "0o10", "0x1F", "1_000", "12:30:45", "1E5", ".5", "1.0", "2024-01-01",
         "~", "null", ".nan", ".inf", "-0", "+1", "=", "<<", "007", "1.50")  # fmt: skip
MEANINGFUL = "noyesNOYtrufal0123456789_.:+-eExXo~<=> 'é"


@pytest.fixture
def conf(tmp_path: Path):
    """Read the block of `shop` from files of base and of the environment `other`."""

    def read(base: str, other: str = "", suffix: str = ".yml", globals_: str = "output_root: data", **runtime: Any):
        for env, content in (("base", base), ("other", other)):
            (tmp_path / env / "parameters").mkdir(parents=True)
            (tmp_path / env / "globals.yml").write_text(globals_)
            if content:
                (tmp_path / env / f"parameters/shop{suffix}").write_text(content)
        loader = UseCaseConfigLoader(
            str(tmp_path), env="other", base_env="base", runtime_params=runtime, merge_strategy={"parameters": "soft"}
        )
        block = loader["parameters"].get("shop")
        for reason in loader.broken_use_cases().values():
            raise ValueError(reason)
        return block

    return read


def shop(levels: str, rest: str = "") -> str:
    return (
        f"shop:\n  data: {{task: regression, target: y, columns: {{c: {{kind: category, levels: {levels}}}}}}}\n{rest}"
    )


def test_plain_words_in_a_level_list_stay_text(conf):
    data = conf(shop(f"[{', '.join(WORDS)}]"))["data"]
    assert data["columns"]["c"]["levels"] == list(WORDS)
    assert DataOptions.model_validate(data).columns["c"].levels == tuple(map(plain_level, WORDS))


@given(
    st.text(MEANINGFUL, min_size=1, max_size=8)
    | st.sampled_from(WORDS)
    | st.from_regex(r"[0-9:._+-]{1,8}", fullmatch=True)
)
def test_a_plain_scalar_is_the_level_that_was_written_or_is_refused(word):
    document = f"shop:\n  data:\n    columns:\n      c:\n        levels:\n        - {word}\n"
    try:
        events = [each for each in yaml.parse(document, Loader=yaml.SafeLoader) if isinstance(each, yaml.ScalarEvent)]
    except yaml.YAMLError:
        with pytest.raises(yaml.YAMLError):
            load_parameters(document)
        return
    data = {"task": "regression", "target": "y", **load_parameters(document)["shop"]["data"]}
    data["columns"] = {"c": {"kind": "category", "levels": list(data["columns"]["c"]["levels"])}}
    faults = [fault for _, fault in values_instead_of_text(data, PARAMETERS.under("shop").under("data"))]
    if faults:
        assert faults[0].endswith("quote it")
    elif events[-1].style is None and events[-1].anchor is None:
        assert DataOptions.model_validate(data).columns["c"].levels == (plain_level(word.partition(" #")[0]),)


def test_names_labels_sources_and_keys_stay_text(conf):
    block = conf(
        "shop:\n"
        "  data: {task: binary, target: yes, features: [no, 010], source: 2024-01-01, missing_values: [~, NA, 00],\n"
        "    columns: {no: {kind: number}, 010: {kind: number}, yes: {kind: category}}}\n"
        "  split: {group_by: [no], part_column: ~}\n"
        "  encoding: {columns: {no: min_max}}\n"
        "  training: {loss: {class_weights: {no: 2, 01: 3}}, learning_rate: 1e-3}\n"
        "  prediction: {keys: [on]}\n"
    )
    assert list(block["data"]["columns"]) == ["no", "010", "yes"]
    assert (block["data"]["target"], block["data"]["features"]) == ("yes", ["no", "010"])
    assert (block["data"]["source"], block["data"]["missing_values"]) == ("2024-01-01", ["~", "NA", "00"])
    assert block["split"] == {"group_by": ["no"], "part_column": None}
    assert block["encoding"]["columns"] == {"no": "min_max"}
    assert block["training"] == {"loss": {"class_weights": {"no": 2, "01": 3}}, "learning_rate": 0.001}
    assert block["prediction"]["keys"] == ["on"]


def test_numbers_booleans_and_null_are_still_those(conf):
    rest = "  training: {epochs: 3, learning_rate: 1e-3}\n  split: {stratify: off}\n  tuning: {epochs: ~}\n"
    block = conf(shop("[a]", rest))
    assert block["training"] == {"epochs": 3, "learning_rate": 0.001}
    assert block["split"] == {"stratify": False}
    assert block["tuning"] == {"epochs": None}


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_every_kind_of_parameter_file_keeps_text(conf, suffix):
    base = '{"shop": {"data": {"task": "regression", "target": "y", "columns": {"c": {"kind": "category", "levels": [false, 1.0, 1e5]}}}}}'
    assert conf(base, suffix=suffix)["data"]["columns"]["c"]["levels"] == ["false", "1.0", "1e5"]


def test_text_survives_environments_aliases_merges_and_references(conf):
    base = shop("&codes [no, 010]", "  training: {epochs: 3}\n")
    other = (
        "shop:\n  data:\n    source: 010\n    columns:\n      d: &d {kind: category, levels: [on, 1_0]}\n"
        "      e: {<<: *d, nullable: no}\n      f: {kind: category, levels: '${shop.data.columns.d.levels}'}\n"
    )
    data = conf(base, other)["data"]
    assert data["source"] == "010"
    assert [each["levels"] for each in data["columns"].values()] == [["no", "010"], *[["on", "1_0"]] * 3]
    assert data["columns"]["e"]["nullable"] is False


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ("'${globals:codes}'", r"shop.data.columns.c.levels.0: text is needed, not False .*; quote it, in .*shop.yml"),
        ("[a, {b: c}]", r"levels.1: text is needed, not {'b': 'c'}; quote it"),
        ("\n        - a\n        -\n", "levels.1: text is needed, not an empty value; quote it"),
    ],
)
def test_what_is_no_text_by_the_time_it_is_read_is_refused(conf, levels, message):
    base = f"shop:\n  data:\n    task: regression\n    target: y\n    columns:\n      c:\n        kind: category\n        levels: {levels}"
    with pytest.raises(ValueError, match=message):
        conf(base, globals_="output_root: data\ncodes: [no, 010]")


def test_a_folder_whose_name_yaml_takes_for_a_boolean_is_refused(conf):
    with pytest.raises(ValueError, match=r"output_root: text is needed, not False .*; quote it, in .*globals.yml"):
        conf(shop("[a]"), globals_="output_root: no")


def test_values_from_a_program_are_refused_where_text_is_needed(conf):
    with pytest.raises(ValueError, match=r"shop.data.columns.c.levels.0: .* not 8; quote it, in --params"):
        conf(shop("[a]"), shop={"data": {"columns": {"c": {"levels": [8]}}}})


@pytest.mark.parametrize(
    ("given_", "read"),
    [
        ("output_root=yes", {"output_root": "yes"}),
        ("a.model.hidden_sizes=[64,32],a.training.epochs=3", {"a": {"model": {"hidden_sizes": [64, 32]}, "training": {"epochs": 3}}}),
        ("a.model.hidden_sizes=[64, 32] , output_root=x", {"a": {"model": {"hidden_sizes": [64, 32]}}, "output_root": "x"}),
        ("a.data.columns.c.levels=[no,010,nan,1e-3,'x,y']", {"a": {"data": {"columns": {"c": {"levels": ["no", "010", "nan", "1e-3", "x,y"]}}}}}),
        ("a.data.target=no,a.data.source=010", {"a": {"data": {"target": "no", "source": "010"}}}),
        ('a.data.source="x, y",output_root=z', {"a": {"data": {"source": "x, y"}}, "output_root": "z"}),
        ("a.data.columns={no: {kind: number, nullable: no}}", {"a": {"data": {"columns": {"no": {"kind": "number", "nullable": False}}}}}),
        ("a.training.learning_rate=1e-3,a.split.stratify=no", {"a": {"training": {"learning_rate": 0.001}, "split": {"stratify": False}}}),
        (r"a.data.columns.b\.c.kind=number", {"a": {"data": {"columns": {"b.c": {"kind": "number"}}}}}),
        (" a.data.source = x=y ,", {"a": {"data": {"source": "x=y"}}}),
        ("", {}),
    ],
)  # fmt: skip
def test_params_hold_lists_and_text_as_written(given_, read):
    assert read_params(given_) == read


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ("a.model.hidden_sizes=64,32", r"'32' is not name=value; .* write a list as name=\[1,2\]"),
        ("=3", "'=3' is not name=value"),
        ("a.b=[64,32", r"a.b=\[64 is not valid YAML .*; close its brackets and quotes"),
    ],
)
def test_params_that_cannot_be_split_are_refused_with_a_way_out(given_, message):
    with pytest.raises(ValueError, match=message):
        read_params(given_)


def test_a_fault_in_params_is_one_line_of_the_command():
    result = CliRunner().invoke(cli, ["run", "--params=a.b=[1"])
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("Error: --params: a.b=[1 is not valid YAML")


def test_scheduler_and_loss_by_name_are_still_read(conf):
    block = conf(shop("[a]", "  training: {scheduler: {name: CosineAnnealingLR}, loss: {name: ~}}\n"))
    assert TrainingOptions.model_validate(block["training"]).scheduler.name == "CosineAnnealingLR"
