import pytest

from torchlane.core.encoders import CategoryEncoder, Encoder, NumberEncoder, TargetEncoder
from torchlane.core.images import ImageEncoder
from torchlane.core.learning import TABLE_MEMBERS, with_members
from torchlane.core.options import ModelOptions, TrainingOptions

TARGET = TargetEncoder(name="y", task="regression")
NUMBER = NumberEncoder(name="x", encoding="z_score", median=0.0, quantiles=(0.0, 1.0), missing=0, flagged=False)
CODES = CategoryEncoder(name="c", encoding="codes", levels=("a",), counts=(1, 0, 0))
IMAGE = ImageEncoder(name="image", encoding="unit", size=(1, 8, 8), means=(0.5,), deviations=(1.0,))
TABLE, PICTURES = Encoder(columns=(NUMBER, CODES), target=TARGET), Encoder(columns=(IMAGE,), target=TARGET)


@pytest.mark.parametrize(
    ("model", "encoder", "expected"),
    [
        ({}, TABLE, TABLE_MEMBERS),
        ({"kind": "transformer"}, TABLE, 1),
        ({"class": "package.Net"}, TABLE, 1),
        ({}, PICTURES, 1),
        ({"kind": "cnn"}, PICTURES, 1),
        ({"kind": "rnn"}, PICTURES, 1),
        ({"kind": "torchvision", "name": "resnet18"}, PICTURES, 1),
    ],
)
def test_perceptrons_on_tables_are_16_and_all_else_is_one_where_the_options_leave_it_open(model, encoder, expected):
    options = ModelOptions.model_validate(model)
    assert TABLE_MEMBERS == 16
    assert with_members(TrainingOptions(), options, encoder).members == expected
    assert with_members(TrainingOptions(members=3), options, encoder).members == 3
