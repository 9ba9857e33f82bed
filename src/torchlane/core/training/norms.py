"""Norms that need more than one row, or more than one pixel, to have anything to normalise."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from torchlane.core.machine.randomness import own_randomness
from torchlane.core.options import TrainingOptions
from torchlane.core.training.adaptation import Adaptation

ONE_ROW = "Expected more than 1 value per channel"  # so begins what torch says of a batch norm
ONE_PIXEL = "Expected more than 1 spatial element"  # and of an instance norm


def smallest_batch(
    model: nn.Module, features: Tensor, options: TrainingOptions, adaptation: Adaptation | None = None
) -> int:
    """Say how many rows each batch of an epoch over `features` (n_rows, …) must have: 1, or 2 for batch norm.

    A copy of the network is tried in training mode, so that norms count which see one value a channel and
    those of users' own networks too. A batch norm over images of several pixels takes one row, and one that
    fine-tuning keeps still takes any.

    Raises:
        ValueError: batch norm needs 2 rows, and batches of 1 are asked for or train has no more; or an
            instance norm has one pixel to normalise.
    """
    n_rows, batch_size = len(features), options.batch_size
    if any(isinstance(module, _InstanceNorm) for module in model.modules()):
        complaint = _complaint(model, features[:2], options, adaptation)
        if complaint.startswith(ONE_PIXEL):
            raise ValueError(
                f"an instance norm of the network normalises each channel of each image, and it has one pixel there: "
                f"{complaint}; give larger images, or take it out of the network that model names"
            )
    if 1 not in (n_rows, batch_size, n_rows % batch_size):
        return 1
    if not _complaint(model, features[:1], options, adaptation).startswith(ONE_ROW):
        return 1
    section, way_out = "training", "take batch norm out of the network (model.batch_norm: false, or another network)"
    if adaptation is not None:
        section, way_out = "fine_tuning", "freeze the layers that batch norm follows (fine_tuning.freeze)"
    if batch_size == 1:
        raise ValueError(
            f"batch norm needs at least 2 rows in a batch of training, and {section}.batch_size is 1; "
            f"set it to 2 or more, or {way_out}"
        )
    if n_rows == 1:
        raise ValueError(
            f"batch norm needs at least 2 rows in a batch of training, and train has 1 row; "
            f"give more rows, or {way_out}"
        )
    return 2


def _complaint(model: nn.Module, features: Tensor, options: TrainingOptions, adaptation: Adaptation | None) -> str:
    """What torch says of a batch that a norm does not take in training; empty where there is none such."""
    probe, device = copy.deepcopy(model).train(), next(model.parameters()).device
    if adaptation is not None:
        adaptation.begin_epoch(probe, options.epochs)  # the last, in which most norms train
    try:
        with own_randomness(device), torch.no_grad():
            probe(features.to(device))
    except ValueError as error:
        return str(error)
    return ""
