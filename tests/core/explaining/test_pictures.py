import pandas as pd
import pytest
import torch
from torch.utils.data import TensorDataset

from tests.core.explaining.models import case
from torchlane.core.encoding.encoder import Encoder
from torchlane.core.encoding.images import ImageEncoder
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.explaining.pictures import MOST_FILTERS, augment_some, first_filters, images_of
from torchlane.core.model.trained import TrainedModel
from torchlane.core.networks import build_network
from torchlane.core.options import AugmentationOptions, DataOptions, ModelOptions, TrainingOptions

IMAGES = TensorDataset(torch.arange(4 * 2 * 3 * 3, dtype=torch.uint8).reshape(4, 2, 3, 3), torch.zeros(4))
PREDICTIONS = pd.DataFrame({"row": [12, 5, 9, 30]})
TARGET = TargetEncoder(name="label", task="multiclass", labels=("a", "b"), counts=(5, 5))


def test_images_are_those_of_the_rows_asked_for():
    images = images_of(pd.Series([9, 12]), PREDICTIONS, IMAGES)
    assert torch.equal(images, IMAGES.tensors[0][[2, 0]])
    assert images_of(pd.Series([9]), PREDICTIONS, TensorDataset(torch.zeros(4, 3), torch.zeros(4))) is None


@pytest.mark.parametrize(("rows", "predictions"), [([9, 13], PREDICTIONS), ([9], PREDICTIONS[:3])])
def test_artifacts_of_different_runs_are_refused(rows, predictions):
    with pytest.raises(ValueError, match="of different runs; run the stages train and evaluate again"):
        images_of(pd.Series(rows), predictions, IMAGES)


def test_distorted_images_stand_behind_their_originals_and_come_from_the_seed_alone():
    tensors = TensorDataset(torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8), torch.zeros(6))
    options, before = AugmentationOptions(shift=0.25, erasing=1.0), torch.get_rng_state()
    shown = augment_some(tensors, options, 7, 3, 4)
    assert (shown.shape, shown.dtype) == ((3, 5, 1, 8, 8), torch.uint8)
    assert torch.equal(shown[:, 0], tensors.tensors[0][:3])
    assert all((shown[:, number] != shown[:, 0]).any() for number in range(1, 5))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(augment_some(tensors, options, 7, 3, 4), shown)
    assert not torch.equal(augment_some(tensors, options, 8, 3, 4), shown)


def of_images(channels: int, **network) -> TrainedModel:
    size = (channels, 8, 8)
    image = ImageEncoder(
        name="image", encoding="unit", size=size, means=(0.5,) * channels, deviations=(1.0,) * channels
    )
    encoder, options = Encoder(columns=(image,), target=TARGET), ModelOptions.model_validate(network)
    states = [build_network(options, encoder).state_dict() for _ in range(2)]
    weights = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    columns = {"image": {"kind": "image", "size": size}, "label": {"kind": "category"}}
    data = DataOptions.model_validate({"task": "multiclass", "target": "label", "columns": columns})
    return TrainedModel(weights, encoder, data, options, TrainingOptions())


@pytest.mark.parametrize("channels", [1, 3])
def test_filters_are_the_first_convolution_of_the_first_member(channels):
    model = of_images(channels, kind="cnn", widths=[4, 6])
    first = next(weight for weight in model.weights.values() if weight.ndim == 5)
    assert first.shape == (2, 4, channels, 3, 3)
    assert torch.equal(first_filters(model), first[0])


def test_filters_of_a_perceptron_have_the_shape_of_the_image_and_those_of_a_table_do_not_exist():
    model = of_images(3, kind="mlp", widths=[100])
    first = next(weight for weight in model.weights.values() if weight.ndim == 3)
    assert torch.equal(first_filters(model), first[0, :MOST_FILTERS].reshape(MOST_FILTERS, 3, 8, 8))
    assert first_filters(of_images(3, kind="rnn", widths=[4])) is None
    assert first_filters(case().model) is None
