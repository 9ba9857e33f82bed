"""The promises of training on a CPU, kept on a GPU; without a GPU these tests are skipped."""

import copy

import pytest
import torch
from torch.utils.data import TensorDataset

from tests.core.fitted import fitted, plain_model
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.networks import build_model
from torchlane.core.options import ModelOptions
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit
from torchlane.core.training.members import Member, Outcome, make_members
from torchlane.core.training.plain_run import PlainRun

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
PLAIN = plain_model(widths=(24, 10))
DROPOUT = plain_model(widths=(24, 10), dropout=0.3)  # a GPU's own kernel draws other masks for a network alone
PIXELS = ModelOptions(kind="cnn", widths=(4, 8), depth=1)


def make_parts(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[TensorDataset, TensorDataset]:
    features = torch.randn(150, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    flat = features.flatten(1)
    targets = flat[:, :1].sin() + flat[:, 1:2] * flat[:, 2:3]
    return TensorDataset(features[:110], targets[:110]), TensorDataset(features[110:], targets[110:])


def member(seed: int, dtype: torch.dtype, model: ModelOptions = DROPOUT, shape: tuple[int, ...] = (13,)) -> Member:
    settings = {"epochs": 10, "batch_size": 16, "seed": seed, "learning_rate": 0.001 * (1 + seed)}
    train, valid = make_parts(shape, dtype)
    objective = Objective.of(TargetEncoder.model_validate({"name": "y", "task": "regression"}), None)
    build = lambda: build_model(model, shape if len(shape) > 1 else shape[0], 1).to(dtype)  # noqa: E731
    (made,) = make_members(build, train, valid, objective, fitted(settings), torch.device("cuda"))
    return made


def train(*members: Member) -> list[Outcome]:
    return fit(copy.deepcopy(members), NoCheckpoints())


def same_bits(one: Outcome, other: Outcome) -> bool:
    return all(torch.equal(one["weights"][name], other["weights"][name]) for name in one["weights"])


def distance(one: Outcome, other: Outcome) -> float:
    return max(float((one["weights"][name] - other["weights"][name]).abs().max()) for name in one["weights"])


@pytest.mark.parametrize(
    ("model", "shape", "dtype", "tolerance"),
    [
        (PLAIN, (13,), torch.float64, 1e-8),
        (PLAIN, (13,), torch.float32, 1e-4),
        (PIXELS, (1, 8, 8), torch.float64, 1e-8),
        (PIXELS, (1, 8, 8), torch.float32, 1e-2),  # convolutions may round to TF32
    ],
)
def test_stacked_member_ends_where_it_ends_alone(model, shape, dtype, tolerance):
    members = [member(seed, dtype, model, shape) for seed in range(4)]
    stacked, alone = train(*members), [train(each)[0] for each in members]
    assert max(map(distance, stacked, alone)) < tolerance


@pytest.mark.parametrize("company", [(1,), (1, 2, 3), tuple(range(1, 16))], ids=["2", "4", "16"])
def test_same_seed_gives_the_same_bits(company):
    members = [member(seed, torch.float32) for seed in (0, *company)]
    assert all(map(same_bits, train(*members), train(*members)))


def test_training_goes_on_to_the_same_bits():
    run = PlainRun([member(0, torch.float32)], None, keep_going=False)
    states = [copy.deepcopy(run.last_state) for _ in run.epochs()]
    resumed = PlainRun([member(0, torch.float32)], None, keep_going=False)
    resumed.load_state_dict(states[3])
    assert len(list(resumed.epochs())) == 6
    assert same_bits(run.outcomes()[0], resumed.outcomes()[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_of_a_member_do_not_depend_on_who_else_is_stacked(dtype):
    first = member(0, dtype)
    ends = [train(first, *(member(seed, dtype) for seed in range(1, n)))[0] for n in (2, 3, 5, 16, 17)]
    assert all(same_bits(ends[0], other) for other in ends[1:])
