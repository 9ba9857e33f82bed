"""Published weights of torchvision: found or downloaded, verified by their hash, and loaded into a network."""

import hashlib
import logging
import re
import shutil
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from torchlane.core.machine.files import replacing
from torchlane.core.networks.state_dicts import Tensors, listed, read_state_dict
from torchlane.core.options import ModelOptions

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 30.0  # longest time without a byte
AUXILIARY = re.compile(r"^(aux\d|AuxLogits)\.")  # classifiers of GoogLeNet and Inception that only their training uses
# Old names, which torchvision renames, too.
OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")


def pixel_scale(options: ModelOptions) -> tuple[Sequence[float], Sequence[float]]:
    """Look up the mean and deviation of each colour, of pixels between 0 and 1, that the weights were trained with.

    Raises:
        ValueError: torchvision does not publish such weights.
    """
    preset = _weights(options).transforms()
    return preset.mean, preset.std


def implied_arguments(options: ModelOptions) -> dict[str, Any]:
    """Give the arguments that torchvision's own builders set for published weights."""
    if options.name not in ("googlenet", "inception_v3"):
        return {}
    return {"transform_input": True, "aux_logits": False, "init_weights": False}


def load_published(network: nn.Module, options: ModelOptions) -> None:
    """Load published weights into a model of torchvision, except into its head, which keeps its random weights.

    The head is every tensor with an entry for each category that the weights were trained on.

    Raises:
        ValueError: the weights are not available, their file does not have the hash in its name, or they do
            not fit because `model.arguments` changed the network.
    """
    weights = _weights(options)
    path = _find(weights, options)
    state = _renamed(read_state_dict(path))
    n_categories = len(weights.meta["categories"])
    head = [name for name, tensor in state.items() if tensor.ndim and len(tensor) == n_categories]
    own = network.state_dict()
    for name in [*head, *filter(AUXILIARY.match, state)]:
        if name in head or name not in own:
            state.pop(name, None)
    try:
        unfilled = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise ValueError(_misfit(weights, listed(lines))) from error
    missing = [name for name in unfilled.missing_keys if name not in head and not name.endswith("num_batches_tracked")]
    if missing or unfilled.unexpected_keys:
        raise ValueError(_misfit(weights, listed([*missing, *unfilled.unexpected_keys])))
    logger.info("weights: %s from %s; random weights for the head: %s", weights, path, ", ".join(head))


def _weights(options: ModelOptions) -> Any:
    """Find the entry of torchvision's enum that `model.weights` names."""
    from torchvision import models

    published = models.get_model_weights(options.name)
    name = str(options.weights).removeprefix(f"{published.__name__}.")
    known = [each for each, weights in published.__members__.items() if weights.meta["categories"]]
    if name not in known:  # VGG-16 has one whose classifier is all NaN
        raise ValueError(
            f"model.weights '{options.weights}' are not published for a classifier {options.name}; "
            f"published are {', '.join(known) or 'none'}"
        )
    return published[name]


def _find(weights: Any, options: ModelOptions) -> Path:
    """Find or download the file of the weights, and verify the hash in its name."""
    default = Path(torch.hub.get_dir()) / "checkpoints"
    folder = default if options.weights_folder is None else Path(options.weights_folder)
    path = folder / Path(weights.url).name
    if path.is_file():
        fault = _hash_fault(path, path.name)
        if fault:
            raise ValueError(
                f"{path} does not have the hash in its name: {fault}; remove it, or put the right file there"
            )
        return path
    logger.info("weights: downloading %s to %s", weights.url, folder)
    try:
        with replacing(path) as partial:
            with urllib.request.urlopen(weights.url, timeout=TIMEOUT_SECONDS) as source, partial.open("wb") as file:
                shutil.copyfileobj(source, file)
            fault = _hash_fault(partial, path.name)
            if fault:
                raise OSError(fault)
    except OSError as error:
        raise ValueError(
            f"the weights {weights} cannot be downloaded to {path} ({error}); put {path.name}, from {weights.url}, "
            f"into {folder}, or name the folder that has it in model.weights_folder"
        ) from error
    return path


def _hash_fault(content: Path, name: str) -> str:
    """Compare the first digits of the SHA-256 with those in a published name, such as `resnet18-f37072fd.pth`."""
    promised = re.search(r"-([0-9a-f]{8,})\.\w+$", name)
    if promised is None:
        return "the name contains no digits of a SHA-256"
    with content.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[: len(promised[1])]
    return "" if digest == promised[1] else f"the SHA-256 starts with {digest}, not {promised[1]}"


def _renamed(state: Tensors) -> Tensors:
    for name in list(state):
        old = OLD_DENSENET.match(name)
        if old is not None:
            state[f"{old[1]}{old[2]}"] = state.pop(name)
    return state


def _misfit(weights: Any, what: str) -> str:
    return f"the weights {weights} do not fit the network: {what}; leave out the model.arguments that change its layers"
