"""Normalisation layers that need more than one row or more than one pixel."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from torchlane.core.machine.randomness import own_randomness
from torchlane.core.options import FittedTraining
from torchlane.core.training.adaptation import Adaptation

ONE_ROW = "Expected more than 1 value per channel"  # start of torch's message for a batch norm
ONE_PIXEL = "Expected more than 1 spatial element"  # and for an instance norm


def smallest_batch(
    model: nn.Module, features: Tensor, options: FittedTraining, adaptation: Adaptation | None = None
) -> int:
    """Give the number of rows that each batch of an epoch over `features` (n_rows, …) needs: 1, or 2 for batch norm.

    The answer comes from a forward pass of a copy in training mode, so it also holds for users' own
    networks. A batch norm over images of several pixels accepts one row, and so does one whose statistics
    fine-tuning does not update.

    Raises:
        ValueError: batch norm needs 2 rows, but `batch_size` is 1 or train has 1 row; or an instance norm has
            one pixel to normalise.
    """
    n_rows, batch_size = len(features), options.batch_size
    if any(isinstance(module, _InstanceNorm) for module in model.modules()):
        complaint = _complaint(model, features[:2], options, adaptation)
        if complaint.startswith(ONE_PIXEL):
            raise ValueError(
                f"an instance norm of the network needs more than one pixel in each channel of an image, and it has "
                f"one pixel there: {complaint}; give larger images, or remove it from the network that model names"
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


def _complaint(model: nn.Module, features: Tensor, options: FittedTraining, adaptation: Adaptation | None) -> str:
    """Give torch's error for a batch that a norm does not accept in training; empty if there is none."""
    probe, device = copy.deepcopy(model).train(), next(model.parameters()).device
    if adaptation is not None:
        adaptation.begin_epoch(probe, options.epochs)  # in the last epoch most norms train
    try:
        with own_randomness(device), torch.no_grad():
            probe(features.to(device))
    except ValueError as error:
        return str(error)
    return ""
