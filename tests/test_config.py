from pathlib import Path

import pytest

from torchlane.config import UseCaseConfigLoader
from torchlane.core.options import SECTIONS

GOOD = """
prices:
  data: {task: regression, target: price, columns: {size: {kind: number}}}
"""


@pytest.fixture
def read(tmp_path: Path):
    """Read parameters from files of base and env `other`, and from `--params`."""

    def read_parameters(base: str = GOOD, other: str = "", runtime: dict | None = None):
        for env, content in (("base", base), ("other", other)):
            (tmp_path / env / "parameters").mkdir(parents=True)
            (tmp_path / env / "globals.yml").write_text("output_root: data")
            if content:
                (tmp_path / env / "parameters" / "prices.yml").write_text(content)
        loader = UseCaseConfigLoader(
            str(tmp_path), env="other", base_env="base", runtime_params=runtime, merge_strategy={"parameters": "soft"}
        )
        return loader, loader["parameters"]

    return read_parameters


def test_sections_left_out_are_there_with_their_defaults(read):
    loader, parameters = read()
    assert loader.use_cases() == ["prices"]
    assert list(parameters["prices"]) == list(SECTIONS)
    assert parameters["prices"]["training"] == {}


def test_environment_and_params_change_single_options(read):
    _, parameters = read(
        GOOD + "  training: {epochs: 3, seed: 1}",
        "prices: {training: {epochs: 4}}",
        {"prices": {"training": {"seed": 2}}},
    )
    assert parameters["prices"]["training"] == {"epochs": 4, "seed": 2}


def test_search_leaves_alone_what_params_set(read):
    _, parameters = read(
        GOOD + "  tuning: {fixed: [model.dropout]}",
        runtime={
            "prices": {"training": {"learning_rate": 0.1, "epochs": 3, "optimizer": {"arguments": {"eps": 1e-7}}}}
        },
    )
    assert parameters["prices"]["tuning"] == {
        "fixed": ["model.dropout", "training.learning_rate", "training.optimizer.arguments.eps"]
    }


def test_params_fix_the_option_that_holds_what_they_set(read):
    _, parameters = read(
        runtime={"prices": {"training": {"loss": {"class_weights": {"dear": 2}}, "clip_norm": None, "epochs": 3}}}
    )
    assert parameters["prices"]["tuning"]["fixed"] == ["training.loss.class_weights", "training.clip_norm"]


def test_output_root_may_be_set_for_a_run(read):
    _, parameters = read(runtime={"output_root": "/tmp/x"})
    assert parameters["output_root"] == "/tmp/x"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "  trainnig: {epochs: 3}",
            r"'trainnig' in .*base/parameters/prices.yml.* is no section of prices; did you mean 'training'",
        ),
        ("  training: {epoch: 3}", r"'epoch' in .* is no option of prices.training; did you mean 'epochs'"),
        (
            "  training: {optimizer: {nam: SGD}}",
            r"'nam' in .* is no option of prices.training.optimizer; did you mean 'name'.* there are name, arguments",
        ),
        (
            "  training: {learning_rate: -1}",
            r"prices.training.learning_rate: input should be greater than 0, not -1; set it in .*prices.yml",
        ),
        ("  training: {epochs: many}", r"prices.training.epochs: input should be a valid integer.*, not 'many'"),
        ("  training: {device: tpu}", r"prices.training.device: .*, not 'tpu'"),
        (
            "  training: {batch_size: 0}",
            r"prices.training.batch_size: input should be greater than or equal to 1, not 0",
        ),
        (
            "  split: {valid_fraction: 0.6, test_fraction: 0.5}",
            r"prices.split: valid_fraction and test_fraction together",
        ),
        ("  model: {activation: Relu}", r"prices.model.activation: activation 'Relu' is not one of torch.nn"),
        (
            "  tuning: {space: {model.width: {low: 9, high: 3}}}",
            r"prices.tuning.space: model.width: low 9 must be below high 3.*; set it in .*prices.yml",
        ),
        ("  encoding: [1]", r"prices.encoding: input should be a valid dictionary"),
    ],
)
def test_fault_in_yaml_is_said_with_rule_value_and_place(read, line, message):
    with pytest.raises(ValueError, match=message):
        read(GOOD + line)


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        ({"price": {"training": {"epochs": 3}}}, "'price' in --params is no use case; did you mean 'prices'"),
        ({"prices": {"traning": {"epochs": 3}}}, "'traning' in --params is no section"),
        ({"prices": {"training": {"epochs": 0}}}, "prices.training.epochs: .*, not 0; set it in --params"),
        (
            {"prices": {"data": {"target": "size"}}},
            "prices.data: no feature is declared beside the target 'size'; set it in",
        ),
    ],
)
def test_fault_in_params_is_said_with_its_place(read, runtime, message):
    with pytest.raises(ValueError, match=message):
        read(runtime=runtime)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{target: price, columns: {size: {kind: number}}}", "prices.data.task: field required"),
        ("{task: regression, target: y, columns: {a: {kind: number, levels: [1]}}}", "levels are for a category"),
        (
            "{task: regression, target: y, columns: {a: {kind: category, minimum: 1}}}",
            "minimum and maximum are for a number",
        ),
        (
            "{task: regression, target: y, columns: {a: {kind: number, minimum: 2, maximum: 1}}}",
            "minimum 2 is above maximum 1",
        ),
        (
            "{task: regression, target: y, columns: {a: {kind: number}}, features: [b]}",
            "feature 'b' is not among columns: a",
        ),
        (
            "{task: binary, target: y, columns: {a: {kind: number}, y: {kind: number}}}",
            "target 'y' is a number, which a binary",
        ),
    ],
)
def test_data_section_that_contradicts_itself_is_refused(read, data, message):
    with pytest.raises(ValueError, match=message):
        read(f"prices: {{data: {data}}}")


def test_use_case_that_is_no_block_is_refused(read):
    with pytest.raises(ValueError, match="'prices' in .* must hold sections: data, split"):
        read("prices: 3")
