"""Leading frozen layers: their outputs depend on the row alone, so they are computed once."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.data import TensorDataset

from torchlane.core.layers.coded import CodedLinear, Indicators
from torchlane.core.layers.numbers import Numbers
from torchlane.core.machine.threads import multiply_adds, threads_for, torch_threads
from torchlane.core.networks.pixels import Pixels
from torchlane.core.training.adaptation import Adaptation
from torchlane.core.training.members import Member, Weights

BLOCK_ROWS = 1024  # rows that pass through the layers together
MOST_BYTES = 1 << 30  # limit of the stored outputs, all members together
DOT = "/"  # replaces the dot in names of the cut network, since names of modules may not contain one


def cut_prefix(members: list[Member]) -> list[Member]:
    """Cut the leading frozen layers from members, which then train on the outputs of these layers.

    The cut members draw the same random numbers and end with the same weights, within rounding. Members
    without leading frozen layers are returned unchanged, and so are all if the outputs would take more
    than 1 GiB.
    """
    split = [_split(member) for member in members]
    n_bytes = sum(_bytes_of(member, first) for member, (first, _) in zip(members, split, strict=True) if len(first))
    if n_bytes > MOST_BYTES:
        return members
    return [
        _cut(member, first, rest) if len(first) else member
        for member, (first, rest) in zip(members, split, strict=True)
    ]


def restored(weights: Weights, whole: Weights) -> Weights:
    """Insert the weights of a cut network into those of the whole network, in its order."""
    trained = {name.replace(DOT, "."): tensor for name, tensor in weights.items()}
    return {name: trained.get(name, tensor) for name, tensor in whole.items()}


def _split(member: Member) -> tuple[nn.Sequential, nn.Sequential]:
    """Split the chain of modules into a leading part that is constant and draws no random numbers, and the rest."""
    adaptation = member.adaptation
    assert adaptation is not None
    if type(member.model) is not nn.Sequential:
        return nn.Sequential(), nn.Sequential()
    chain = list(_chain(member.model, ""))
    trained = {name for group in adaptation.groups for name in group.names}
    length = 0
    for number, (name, module) in enumerate(chain):
        if not _is_still(name, module, trained, adaptation):
            break
        if next(module.parameters(), None) is not None:
            length = number + 1
            while length < len(chain) - 1 and _is_plain(chain[length][1]):
                length += 1
    parts = (chain[:length], chain[length:])
    first, rest = (
        nn.Sequential(OrderedDict((name.replace(".", DOT), module) for name, module in part)) for part in parts
    )
    return first, rest


def _chain(model: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    if type(model) is not nn.Sequential:
        yield prefix.removesuffix("."), model
        return
    for name, module in model.named_children():
        yield from _chain(module, f"{prefix}{name}.")


def _is_still(name: str, module: nn.Module, trained: set[str], adaptation: Adaptation) -> bool:
    for below, each in module.named_modules(prefix=name):
        if isinstance(each, _BatchNorm) and adaptation.norms.get(below, 1) is not None:
            return False
        if not _is_known(each):
            return False
    return not any(own in trained for own, _ in module.named_parameters(prefix=name))


def _is_plain(module: nn.Module) -> bool:
    return next(module.parameters(), None) is None and not isinstance(module, _BatchNorm) and _is_known(module)


def _is_known(module: nn.Module) -> bool:
    """Whether a module always gives the same output for a row. Modules of unknown origin do not count."""
    own = isinstance(module, Pixels | Indicators | CodedLinear | Numbers)
    known = own or type(module).__module__.startswith("torch.nn.modules.")
    return known and not isinstance(module, _DropoutNd) and not getattr(module, "dropout", 0)


def _bytes_of(member: Member, first: nn.Sequential) -> int:
    outputs = _through(first, member.train.tensors[0][:1])
    return outputs.nbytes * (len(member.train) + len(member.valid))


def _cut(member: Member, first: nn.Sequential, rest: nn.Sequential) -> Member:
    work = partial(_work_of_block, first, member.train.tensors[0])
    with torch_threads(threads_for(work, member.options.threads)):
        train, valid = (
            TensorDataset(_through(first, part.tensors[0]), *part.tensors[1:]) for part in (member.train, member.valid)
        )
    adaptation = member.adaptation
    assert adaptation is not None
    groups = tuple(
        replace(group, names=tuple(_within(rest, name) for name in group.names)) for group in adaptation.groups
    )
    names = dict(rest.named_modules())
    norms = {
        _within(rest, name): first_epoch
        for name, first_epoch in adaptation.norms.items()
        if _within(rest, name) in names
    }
    return replace(member, model=rest, train=train, valid=valid, adaptation=Adaptation(groups, norms))


def _within(rest: nn.Sequential, name: str) -> str:
    """Translate a name of the whole network to its name in the cut network."""
    for key in rest._modules:
        around = key.replace(DOT, ".")
        if name == around or name.startswith(f"{around}."):
            return key + name.removeprefix(around)
    return name


def _work_of_block(first: nn.Sequential, features: Tensor) -> int:
    return BLOCK_ROWS * multiply_adds(first, features[:1])


def _through(first: nn.Sequential, features: Tensor) -> Tensor:
    device = next(first.parameters()).device
    first.eval()
    with torch.no_grad():
        done = [first(block.to(device)).cpu() for block in features.split(BLOCK_ROWS)]
    return torch.cat(done) if done else features
