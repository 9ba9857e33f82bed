"""Import of weights that were trained elsewhere, into the architecture and encoder of a model file."""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from torchlane.core.encoding.storing import PREFIX
from torchlane.core.model.calibration import Calibration
from torchlane.core.model.trained import TrainedModel, labels_in
from torchlane.core.networks.named import SCALE
from torchlane.core.networks.state_dicts import Shapes, Tensors, listed, mismatches, read_state_dict, shapes_of

logger = logging.getLogger(__name__)

OPTIONAL = ("num_batches_tracked", *SCALE)  # not weights, so other programs' files may lack them


@dataclass(frozen=True)
class Import:
    """The model, and the names that were taken from the files, kept from the base, and left out of the files."""

    model: TrainedModel
    taken: tuple[str, ...]
    kept: tuple[str, ...]
    left_out: tuple[str, ...]

    def summary(self) -> str:
        """Describe the import in one line."""
        parts = {"from the files": self.taken, "kept": self.kept, "left out": self.left_out}
        shown = [f"{what} {listed(names)}" for what, names in parts.items() if names]
        positive = self.model.encoder.target.positive
        if positive is not None:
            shown.append(f"its output is the log-odds of the label {positive}")
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
    """Replace the weights of `base` by those of files. A file gives one member, or as many as its member axis has.

    A file was written by `torch.save` (it is read with `weights_only=True`) or by safetensors; a model file
    will do. `strip_prefix` is removed from the names that start with it. `rename` maps names, or the first
    parts of names, to those of the network. A prefix that all names of a file share, such as `module.`, is
    added or removed if more names match then. With `partial`, weights that the files do not have in that
    name and shape, such as a head for other labels, are kept from the base; new members take turns among
    the base's members.

    The metrics and calibration of the base, and what it says of a refit, are dropped, unless the imported weights
    equal the base's own.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: a file cannot be read as weights, does not fit, or contains numbers that are not finite; or a
            model file tells other labels than the base, or the same in another order, and `partial` is not set.
    """
    expected = {name: tuple(stacked.shape[1:]) for name, stacked in base.weights.items()}
    members: list[Tensors] = []
    left_out: dict[str, None] = {}
    for path in paths:
        _require_same_labels(path, base, partial=partial)
        read = {name: each for name, each in read_state_dict(path, entry).items() if not name.startswith(PREFIX)}
        found = _aligned(_mapped(read, strip_prefix, rename or {}), expected)
        for member in _members_of(found, expected):
            fitting = {name: each for name, each in member.items() if expected.get(name) == tuple(each.shape)}
            whole = len(fitting) == len(member) and set(_needed(expected)) <= set(fitting)
            if not (whole or (partial and _needed(fitting))):
                raise ValueError(_misfit(path, member, expected))
            left_out |= dict.fromkeys(name for name in member if name not in fitting)
            members.append(fitting)
    if not members:
        raise ValueError("no file was given to import weights from; name one or more")
    weights = {name: torch.stack([_filled(name, base, members, i) for i in range(len(members))]) for name in expected}
    _check_finite(weights)
    taken = tuple(name for name in expected if all(name in member for member in members))
    kept = tuple(name for name in _needed(expected) if name not in taken)
    return Import(_with_weights(base, weights, paths, kept), taken, kept, tuple(left_out))


def _require_same_labels(path: str | Path, base: TrainedModel, *, partial: bool) -> None:
    """Compare the labels of a model file with those of the base, since its outputs are in their order."""
    own, target = labels_in(path), base.encoder.target
    if own is None or own == target.labels:
        return
    said = (
        f"the outputs of {path} are for the labels {', '.join(own)}, those of the base for {', '.join(target.labels)}"
    )
    if not partial:
        raise ValueError(
            f"{said}, in these orders; train a base with the same labels (data.positive sets which is last), "
            f"or take the weights all the same with --partial"
        )
    logger.warning("%s; a head that fits is taken all the same", said)


def _mapped(found: Tensors, strip_prefix: str, rename: Mapping[str, str]) -> Tensors:
    """Remove the prefix, then rename each name that is a key of `rename` or has one as its first parts."""
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
        raise ValueError(f"the file has no tensor to rename named {listed(unused)}; it has {listed(found)}")
    return mapped


def _aligned(found: Tensors, expected: Shapes) -> Tensors:
    """Replace the common prefix of the file's names by that of the network's, if more names match then."""

    def agreeing(pair: tuple[str, str]) -> tuple[int, int]:
        off, on = pair
        return sum(on + name.removeprefix(off) in expected for name in found), -len(off) - len(on)

    off, on = max(
        ((off, on) for off in _common_prefixes(found) for on in _common_prefixes(_needed(expected))), key=agreeing
    )
    return {on + name.removeprefix(off): tensor for name, tensor in found.items()}


def _common_prefixes(names: Iterable[str]) -> list[str]:
    """List the prefixes, up to a dot, that all names share.

    >>> _common_prefixes(["module.net.1.weight", "module.net.2.weight"])
    ['', 'module.', 'module.net.']
    """
    first, *others = (name.split(".")[:-1] for name in names)
    prefixes, prefix = [""], ""
    for depth, part in enumerate(first):
        if any(other[depth : depth + 1] != [part] for other in others):
            break
        prefix += f"{part}."
        prefixes.append(prefix)
    return prefixes


def _members_of(found: Tensors, expected: Shapes) -> list[Tensors]:
    """Split the tensors of a file along their member axis, if they have one."""
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
        raise ValueError(f"the files contain weights that are not finite, in {listed(broken)}; train them again")


def _with_weights(
    base: TrainedModel, weights: Tensors, paths: Sequence[str | Path], kept: Sequence[str]
) -> TrainedModel:
    files = {Path(path).name: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths}
    imported = {"files": files, "base": base.fingerprint, "kept": list(kept)}
    same = all(torch.equal(weights[name], own) for name, own in base.weights.items())
    of_weights = ("metrics", "profile", "refit")  # they describe the weights, the other details the rows
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
        f"--rename (strip_prefix, rename in Python), or keep the base's own weights for the rest with --partial"
    )
