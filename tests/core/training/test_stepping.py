from typing import Any

import pytest
import torch
from torch import nn

from tests.core.fitted import fitted
from torchlane.core.options import FittedTraining
from torchlane.core.training.stepping import Stepper, process_settings


def options(**changes: Any) -> FittedTraining:
    return fitted({"learning_rate": 0.01, **changes})


def take_steps(chosen: FittedTraining, steps: int = 30) -> tuple[list[float], nn.Module]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
    features = torch.randn(32, 6)
    targets = features.sum(1, keepdim=True)
    with process_settings(chosen, 1):
        stepper = Stepper(model, nn.MSELoss(), chosen)
        return [float(stepper.step(features, targets)[1]) for _ in range(steps)], model


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "NAdam"])
def test_free_steps_are_fused_where_torch_can_and_stay_close_to_exact_ones(name):
    exact, _ = take_steps(options(optimizer={"name": name}))
    free, model = take_steps(options(optimizer={"name": name}, exact=False))
    assert free == pytest.approx(exact, rel=1e-3)
    stepper = Stepper(model, nn.MSELoss(), options(optimizer={"name": name}, exact=False))
    assert bool(stepper.optimizer.defaults.get("fused")) == (name in ("SGD", "Adam", "AdamW", "Adagrad"))


def test_own_choice_of_foreach_is_kept():
    chosen = options(exact=False, optimizer={"name": "Adam", "arguments": {"foreach": True}})
    assert not Stepper(nn.Linear(2, 1), nn.MSELoss(), chosen).optimizer.defaults["fused"]


def test_two_free_trainings_have_the_same_bits():
    assert take_steps(options(exact=False))[0] == take_steps(options(exact=False))[0]


@pytest.mark.parametrize(
    "changes",
    [{"precision": "bfloat16"}, {"precision": "float16"}, {"matmul_precision": "medium"}],
    ids=lambda changes: next(iter(changes.values())),
)
def test_lower_precision_learns_too(changes):
    losses, _ = take_steps(options(exact=False, **changes), steps=200)
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_steps_stay_close_to_plain_ones(mode):
    exact, _ = take_steps(options())
    compiled, _ = take_steps(options(exact=False, compile=mode))
    assert compiled == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("changes", [{"precision": "bfloat16"}, {"matmul_precision": "high"}, {"compile": "default"}])
def test_what_changes_bits_is_refused_where_bits_are_to_be_kept(changes):
    with pytest.raises(ValueError, match="changes bits, which exact: true forbids; set exact: false"):
        options(**changes)


def test_images_are_laid_out_channels_last_only_where_free():
    for exact in (True, False):
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 2))
        stepper = Stepper(model, nn.CrossEntropyLoss(), options(exact=exact))
        outputs, _ = stepper.step(torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 0, 1]))
        assert outputs.shape == (4, 2)
        assert model[0].weight.is_contiguous(memory_format=torch.channels_last) != exact


def test_clipping_bounds_the_norm_of_the_gradients():
    model = nn.Linear(3, 1)
    before = model.weight.detach().clone()
    chosen = options(clip_norm=0.5, learning_rate=1.0, optimizer={"name": "SGD"})
    Stepper(model, nn.MSELoss(), chosen).step(torch.full((4, 3), 100.0), torch.zeros(4, 1))
    moved = torch.cat([(model.weight - before).flatten(), model.bias.grad])
    assert float(moved.detach().norm()) <= 0.5 + 1e-5
    assert float(moved.detach().norm()) > 0.4


@pytest.fixture
def cudnn() -> Any:
    """The flags of cuDNN; torch's defaults are restored afterwards."""
    flags: Any = torch.backends.cudnn
    yield flags
    flags.allow_tf32 = True


def cudnn_precision() -> tuple[object, ...]:
    cudnn: Any = torch.backends.cudnn
    return cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, cudnn.allow_tf32


@pytest.mark.parametrize(
    ("chosen", "expected"), [("highest", ("ieee", False)), ("high", ("tf32", True)), ("medium", ("tf32", True))]
)
@pytest.mark.parametrize("allowed", [True, False])
def test_matmul_precision_governs_convolutions_too_and_is_put_back(cudnn, chosen, expected, allowed):
    cudnn.allow_tf32 = allowed
    before = cudnn_precision()
    with pytest.raises(KeyError), process_settings(options(exact=False, matmul_precision=chosen), 1):
        assert cudnn_precision() == (expected[0], *expected)
        raise KeyError
    assert cudnn_precision() == before


def test_precisions_of_cudnn_that_a_process_has_parted_are_put_back(cudnn):
    cudnn.conv.fp32_precision = "ieee"
    with process_settings(options(), 1):
        assert cudnn.rnn.fp32_precision == "ieee"
    assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == ("ieee", "tf32")
    with pytest.raises(RuntimeError, match="mix of the legacy and new APIs"):
        _ = cudnn.allow_tf32


def test_process_settings_hold_inside_and_are_put_back():
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    with process_settings(options(exact=False, matmul_precision="medium"), 1):
        assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (1, "medium")
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before
