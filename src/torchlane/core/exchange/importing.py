"""Weights that others trained, put into the architecture and encoder of a model file."""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from torchlane.core.model.calibration import Calibration
from torchlane.core.model.trained import TrainedModel
from torchlane.core.networks.named import SCALE
from torchlane.core.networks.state_dicts import Shapes, Tensors, listed, mismatches, read_state_dict, shapes_of

logger = logging.getLogger(__name__)

OPTIONAL = ("num_batches_tracked", *SCALE)  # no weights: others' files may lack them


@dataclass(frozen=True)
class Import:
    """The model, and by name what came from the files, what stayed the base's, and what was left out of the files."""

    model: TrainedModel
    taken: tuple[str, ...]
    kept: tuple[str, ...]
    left_out: tuple[str, ...]

    def summary(self) -> str:
        """Say it in a line."""
        parts = {"from the files": self.taken, "kept": self.kept, "left out": self.left_out}
        shown = [f"{what} {listed(names)}" for what, names in parts.items() if names]
        calibrated = self.model.calibration != Calibration()
        return "; ".join([*shown, "calibration kept" if calibrated else "not calibrated"])


def import_weights(
    paths: Sequence[str | Path],
    base: TrainedModel,
    *,
    strip_prefix: str = "",
    rename: Mapping[str, str] | None = None,
    entry: str | None = None,
    partial: bool = False,
) -> Import:
    """Replace the weights of `base` by those of files: one member a file, or as many as its member axis has.

    A file is one of `torch.save`, read with `weights_only=True`, or of safetensors, a model file too.
    `strip_prefix` is taken off the names that start with it, `rename` maps names, or their first parts, to
    those of the network. A prefix that all names of a file share, such as `module.`, is put or left off
    where it helps. `partial` keeps the base's own weights (of member i for member i, starting over after
    the last) where the files have none of that name and shape: a head for other labels, for example.

    Metrics and calibration of the base speak of its own weights and are left out, unless they are these.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file cannot be read as weights, does not fit, or holds numbers that are not finite.
    """
    expected = {name: tuple(stacked.shape[1:]) for name, stacked in base.weights.items()}
    members: list[Tensors] = []
    left_out: dict[str, None] = {}
    for path in paths:
        found = _aligned(_mapped(read_state_dict(path, entry), strip_prefix, rename or {}), expected)
        for member in _members_of(found, expected):
            fitting = {name: each for name, each in member.items() if expected.get(name) == tuple(each.shape)}
            whole = len(fitting) == len(member) and set(_needed(expected)) <= set(fitting)
            if not (whole or (partial and _needed(fitting))):
                raise ValueError(_misfit(path, member, expected))
            left_out |= dict.fromkeys(name for name in member if name not in fitting)
            members.append(fitting)
    if not members:
        raise ValueError("there is no file to import weights from; name one or several")
    weights = {name: torch.stack([_filled(name, base, members, i) for i in range(len(members))]) for name in expected}
    _check_finite(weights)
    taken = tuple(name for name in expected if all(name in member for member in members))
    kept = tuple(name for name in _needed(expected) if name not in taken)
    return Import(_with_weights(base, weights, paths, kept), taken, kept, tuple(left_out))


def _mapped(found: Tensors, strip_prefix: str, rename: Mapping[str, str]) -> Tensors:
    """Take the prefix off, then rename what is named, or begins with, a key of `rename`."""
    unused, mapped = dict(rename), Tensors()
    for given, tensor in found.items():
        name = given.removeprefix(strip_prefix)
        old = next((old for old in rename if name == old or name.startswith(f"{old}.")), None)
        if old is not None:
            unused.pop(old, None)
            name = rename[old] + name.removeprefix(old)
        if name in mapped:
            raise ValueError(f"two tensors of the file would be named '{name}'; change the prefix or the renaming")
        mapped[name] = tensor
    if unused:
        raise ValueError(f"nothing in the file is named {listed(unused)}, to be renamed; it has {listed(found)}")
    return mapped


def _aligned(found: Tensors, expected: Shapes) -> Tensors:
    """Exchange the prefix that all names of the file share for that of the network's, where more names agree then."""

    def agreeing(pair: tuple[str, str]) -> tuple[int, int]:
        off, on = pair
        return sum(on + name.removeprefix(off) in expected for name in found), -len(off) - len(on)

    off, on = max(
        ((off, on) for off in _common_prefixes(found) for on in _common_prefixes(_needed(expected))), key=agreeing
    )
    return {on + name.removeprefix(off): tensor for name, tensor in found.items()}


def _common_prefixes(names: Iterable[str]) -> list[str]:
    """List what all names start with, up to a dot.

    >>> _common_prefixes(["module.net.1.weight", "module.net.2.weight"])
    ['', 'module.', 'module.net.']
    """
    first, *others = (name.split(".")[:-1] for name in names)
    prefixes, prefix = [""], ""
    for place, part in enumerate(first):
        if any(other[place : place + 1] != [part] for other in others):
            break
        prefix += f"{part}."
        prefixes.append(prefix)
    return prefixes


def _members_of(found: Tensors, expected: Shapes) -> list[Tensors]:
    """Part the tensors of a file by their member axis, where they have one."""
    common = [name for name in found if name in expected]
    lengths = {len(found[name]) for name in common if found[name].ndim == len(expected[name]) + 1}
    stacked = bool(common) and all(found[name].ndim == len(expected[name]) + 1 for name in common)
    if not stacked or len(lengths) != 1:
        return [found]
    return [
        {name: tensor[member] if name in expected else tensor for name, tensor in found.items()}
        for member in range(lengths.pop())
    ]


def _needed(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.endswith(OPTIONAL)]


def _filled(name: str, base: TrainedModel, members: Sequence[Tensors], number: int) -> torch.Tensor:
    own = base.weights[name][number % base.n_members]
    found = members[number].get(name)
    return own if found is None else found.to(own.dtype)


def _check_finite(weights: Mapping[str, torch.Tensor]) -> None:
    broken = [name for name, each in weights.items() if not each.isfinite().all()]
    if broken:
        raise ValueError(f"the files hold weights that are no finite numbers, in {listed(broken)}; train them again")


def _with_weights(
    base: TrainedModel, weights: Tensors, paths: Sequence[str | Path], kept: Sequence[str]
) -> TrainedModel:
    files = {Path(path).name: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths}
    imported = {"files": files, "base": base.fingerprint, "kept": list(kept)}
    same = all(torch.equal(weights[name], own) for name, own in base.weights.items())
    of_weights = ("metrics", "profile")  # and not of the rows
    details = {name: value for name, value in base.details.items() if same or name not in of_weights}
    n_members = len(next(iter(weights.values())))
    return replace(
        base,
        weights=weights,
        training=base.training.model_copy(update={"members": n_members}),
        details={**details, "imported": imported},
        calibration=base.calibration if same else Calibration(),
        fingerprint="",
    )


def _misfit(path: str | Path, found: Tensors, expected: Shapes) -> str:
    asked = {name: shape for name, shape in expected.items() if name in found or name in _needed(expected)}
    return (
        f"{path} does not fit the network: {mismatches(shapes_of(found), asked)}; map names with --strip-prefix and "
        f"--rename (strip_prefix, rename in Python), or keep the network's own weights there with --partial"
    )
