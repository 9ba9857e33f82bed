from pathlib import Path

import pytest
import yaml

from torchlane.config import UseCaseConfigLoader
from torchlane.core.machine.files import replacing
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
        parameters = loader["parameters"]
        for reason in loader.broken_use_cases().values():
            raise ValueError(reason)
        return loader, parameters

    return read_parameters


def test_sections_left_out_are_there_with_their_defaults(read):
    loader, parameters = read()
    assert loader.use_cases() == ["prices"]
    assert list(parameters["prices"]) == list(SECTIONS)
    assert parameters["prices"]["training"] == {}


def test_parameters_that_are_being_written_are_no_use_case(read):
    loader, _ = read()
    with replacing(Path(loader.conf_source) / "base/parameters/houses.yml") as partial:
        partial.write_text("houses: {}")
        assert loader.use_cases() == ["prices"]


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
            r"'trainnig' in .*base/parameters/prices.yml.* is not a section of prices; did you mean 'training'",
        ),
        ("  training: {epoch: 3}", r"'epoch' in .* is not an option of prices.training; did you mean 'epochs'"),
        (
            "  training: {optimizer: {nam: SGD}}",
            r"'nam' in .* is not an option of prices.training.optimizer; did you mean 'name'.* choose from name, arguments",
        ),
        (
            "  training: {learning_rate: -1}",
            r"prices.training.learning_rate: a number above 0, or auto is needed, not -1; set it in .*prices.yml",
        ),
        (
            "  training: {epochs: many}",
            r"prices.training.epochs: a whole number, 1 or more, or auto is needed, not 'many'; set it in .*prices.yml",
        ),
        ("  training: {device: tpu}", r"prices.training.device: .*, not 'tpu'"),
        (
            "  training: {batch_size: 0}",
            r"prices.training.batch_size: a whole number, 1 or more, or auto is needed, not 0; set it in .*prices.yml",
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
        (
            "  encoding: [1]",
            r"'prices.encoding' in .*prices.yml must hold options by name, not \[1\]; its options are cat",
        ),
        (
            "  diagnosis: false",
            r"'prices.diagnosis' in .* not False; to switch it off, set diagnosis: {enabled: false}",
        ),
        (
            "  tuning: 0",
            r"'prices.tuning' in .* not 0; to switch it off, set tuning: {trials: 0}; its options are trials",
        ),
        ("  evaluation: {coverage: 90}", r"prices.evaluation.coverage: .* not 90; did you mean 0.9\?; set it in"),
        ("  model: {activation: GLU}", r"prices.model.activation: activation 'GLU' needs arguments or mixes elements"),
    ],
)
def test_fault_in_yaml_is_said_with_rule_value_and_place(read, line, message):
    with pytest.raises(ValueError, match=message):
        read(GOOD + line)


def test_options_of_a_column_are_listed_where_one_is_unknown(read):
    column = {"kind": "category", "levls": ["S"]}
    rule = (
        "'levls' in --params is not an option of prices.data.columns.size; did you mean 'levels'.* choose from kind, "
    )
    with pytest.raises(ValueError, match=rule):
        read(runtime={"prices": {"data": {"columns": {"size": column}}}})


@pytest.mark.parametrize("section", list(SECTIONS))
@pytest.mark.parametrize(
    ("in_params", "value"),
    [
        *((False, value) for value in ("false", "0", "[]", "''", "true", "3")),
        (True, "false"),
        (True, "0"),
        (True, "''"),
    ],
)
def test_section_that_is_no_block_is_refused(read, section, value, in_params):
    written = f"  {section}: {value}" if section == "data" else f"{GOOD.split('prices:')[1]}  {section}: {value}"
    runtime = {"prices": {section: yaml.safe_load(value)}} if in_params else None
    with pytest.raises(ValueError, match=f"'prices.{section}' in .* must hold options by name, not ") as caught:
        read(GOOD if in_params else f"prices:\n{written}", runtime=runtime)
    assert "\n" not in str(caught.value)


def test_section_that_is_null_has_its_defaults(read):
    _, parameters = read(GOOD + "  tuning:\n  diagnosis: null")
    assert parameters["prices"]["tuning"] == parameters["prices"]["diagnosis"] == {}


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        ("{kind: transformer}", "sharing tabm is for perceptrons, and model.kind is transformer; .* model.kind to mlp"),
        ("{widths: []}", "sharing tabm shares the weights of hidden layers, and model.widths names none; .*"),
    ],
)
def test_weights_are_not_shared_by_a_network_that_cannot(read, model, fault):
    with pytest.raises(ValueError, match=rf"^prices.training.sharing: {fault}, in .*prices.yml"):
        read(GOOD + f"  model: {model}\n  training: {{sharing: tabm}}")


def test_metric_that_does_not_suit_the_task_is_refused_where_it_is_set(read):
    with pytest.raises(ValueError) as refused:
        read(GOOD + "  evaluation: {metrics: [torchmetrics.AUROC]}")
    assert str(refused.value).startswith(
        "prices.evaluation.metrics: metric auroc: torchmetrics.AUROC does not suit regr"
    )
    assert "base/parameters/prices.yml" in str(refused.value)


@pytest.mark.parametrize("value", [False, 0, [], ""])
@pytest.mark.parametrize(
    ("section", "name"),
    [
        (section, name)
        for section, options in SECTIONS.items()
        for name, field in options.model_fields.items()
        if "Options" in str(field.annotation)
    ],
)
def test_block_within_a_section_is_refused_where_it_is_none(section, name, value):
    if (name, value) not in [("freeze", []), ("metrics", [])]:  # no layer, no metric
        with pytest.raises(ValueError, match=rf"(?m)^{name}"):
            SECTIONS[section].model_validate({name: value})


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        ({"price": {"training": {"epochs": 3}}}, "'price' in --params is not a use case; did you mean 'prices'"),
        ({"prices": {"traning": {"epochs": 3}}}, "'traning' in --params is not a section"),
        ({"prices": {"training": {"epochs": 0}}}, "prices.training.epochs: .*, not 0; set it in --params"),
        (
            {"prices": {"data": {"target": "size"}}},
            "prices.data: no column is declared besides the target 'size'; set it in",
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
        (
            "{task: regression, target: y, columns: {a: {kind: number, levels: [1]}}}",
            "levels is not an option of kind: number",
        ),
        (
            "{task: regression, target: y, columns: {a: {kind: category, minimum: 1}}}",
            "minimum is not an option of kind: category",
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


GROUPED = """
prices:
  data:
    task: regression
    target: price
    columns: {size: {kind: number}, owner: {kind: category}, price: {kind: number}, part: {kind: category}}
  split: {group_by: [owner], part_column: part}
"""


def test_columns_that_the_split_goes_by_are_no_features(read):
    _, parameters = read(GROUPED)
    assert parameters["prices"]["data"]["features"] == ["size"]


def test_column_that_orders_the_split_is_a_feature_like_any_other(read):
    _, parameters = read(GROUPED.replace("group_by: [owner], part_column: part", "order_by: size"))
    assert parameters["prices"]["data"].get("features", []) == []


def test_columns_that_the_split_goes_by_are_features_where_they_are_named(read):
    _, parameters = read(GROUPED, "prices: {data: {features: [size, owner]}}")
    assert parameters["prices"]["data"]["features"] == ["size", "owner"]


def test_use_case_without_another_feature_is_refused(read):
    with pytest.raises(
        ValueError, match="prices.data: no column is declared besides the target and owner, part, which"
    ):
        read(GROUPED.replace("size: {kind: number}, ", ""))


def test_part_column_beside_an_image_leaves_the_image_the_only_feature(read):
    _, parameters = read("""
prices:
  data:
    task: multiclass
    target: label
    columns: {image: {kind: image, size: [1, 8, 8]}, label: {kind: category}, part: {kind: category}}
  split: {part_column: part}
""")
    assert parameters["prices"]["data"]["features"] == ["image"]


def test_weight_of_rows_is_no_feature_beside_columns_that_the_split_goes_by(read):
    _, parameters = read(GROUPED, "prices: {data: {weight: size, columns: {area: {kind: number}}}}")
    assert parameters["prices"]["data"]["features"] == ["area"]


@pytest.mark.parametrize(("env", "named"), [("public", "public"), (None, "")])
def test_catalog_may_name_the_environment_of_the_run(tmp_path, env, named):
    for folder in ("base", "public", "local"):
        (tmp_path / folder).mkdir()
    (tmp_path / "base/catalog.yml").write_text("page: { environment: '${environment:}' }")
    UseCaseConfigLoader(str(tmp_path), env="other", base_env="base", default_run_env="local")
    loader = UseCaseConfigLoader(str(tmp_path), env=env, base_env="base", default_run_env="local")
    assert loader["catalog"]["page"] == {"environment": named}
