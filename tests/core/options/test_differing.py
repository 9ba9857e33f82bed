import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchlane.core.options import DataOptions, ModelOptions, TrainingOptions
from torchlane.core.options.differing import differing

NUMBERS = st.sampled_from(["plain", "bins", "periodic", {"kind": "bins", "bins": 8}, {"kind": "bins", "bins": 16}])
MODELS = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "widths": st.sampled_from([[], [64, 64], [128, 128]]),
            "dropout": st.sampled_from([0.0, 0.1, 0.5]),
            "numbers": NUMBERS,
            "activation": st.sampled_from(["GELU", "ReLU", None]),
        },
    ),
    st.sampled_from([{"kind": "transformer"}, {"kind": "cnn", "widths": [64, 64]}, {"class": "mine.Net"}]),
)


@given(MODELS)
def test_options_that_differ_make_the_same_network_and_the_defaults_are_none_of_them(asked):
    options = ModelOptions.model_validate(asked)
    found = {name: value for name, value, _ in differing(options)}
    assert ModelOptions.model_validate(found) == options
    kind = {name: asked[name] for name in ("kind", "class") if name in asked}
    usual = ModelOptions.model_validate(kind)
    assert {name for name in found if name not in ("kind", "class")} == {
        name
        for name in ModelOptions.model_fields
        if name != "module_class" and dict(options)[name] != dict(usual)[name]
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ModelOptions(), []),
        (ModelOptions(dropout=0.0), [("dropout", 0.0, 0.1)]),
        (ModelOptions.model_validate({"numbers": "plain"}), [("numbers", {"kind": "plain"}, {"kind": "auto"})]),
        (TrainingOptions.model_validate({"loss": "huber"}), [("loss", {"name": "huber"}, {})]),
        (
            DataOptions.model_validate({"task": "regression", "target": "y", "columns": {"x": {"kind": "number"}}}),
            [("task", "regression", None), ("target", "y", None), ("columns", {"x": {"kind": "number"}}, None)],
        ),
    ],
)
def test_options_that_differ_are_written_as_in_yaml_beside_their_defaults(options, expected):
    assert list(differing(options)) == expected
