"""Networks from elsewhere: models of torchvision by name, and the user's own class."""

import inspect
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from torchlane.core.networks.published import implied_arguments, pixel_scale
from torchlane.core.options import ModelOptions

COLOURS = 3
SCALE = ("pixel_means", "pixel_deviations")  # buffers
_trusted: set[str] = set()


def trust(module_class: str) -> None:
    """Allow the import of a class that the configuration or a call has named."""
    _trusted.add(module_class)


class ColourModel(nn.Module):
    """A wrapper that lets a model for colour images take images with 1 channel, too.

    Images (n_rows, 1 or 3, height, width) become outputs (n_rows, n_outputs); a single channel is used for all
    colours. `scale` has the mean and deviation per colour, of pixels between 0 and 1, that published weights
    were trained with. It is part of the `state_dict`, so a model file does not depend on later versions of
    torchvision.
    """

    def __init__(self, model: nn.Module, scale: tuple[Sequence[float], Sequence[float]] | None = None):
        super().__init__()
        self.model = model
        self.pixel_means: Tensor | None
        self.pixel_deviations: Tensor | None
        for name, values in zip(SCALE, scale or (None, None), strict=True):
            self.register_buffer(name, None if values is None else torch.tensor(values)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        colours = images.expand(-1, COLOURS, -1, -1)
        if self.pixel_means is not None and self.pixel_deviations is not None:
            colours = (colours - self.pixel_means) / self.pixel_deviations
        outputs: Tensor = self.model(colours)
        return outputs


def build_torchvision(options: ModelOptions, shape: Sequence[int], n_outputs: int) -> nn.Module:
    """Build a model of torchvision for (n_rows, channels, height, width), with random weights.

    Raises:
        ValueError: the model or its weights do not exist, or it does not take the arguments or such images.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if options.name not in known:
        raise ValueError(f"model.name '{options.name}' is not a model of torchvision; it has {', '.join(known)}")
    if shape[0] not in (1, COLOURS):
        raise ValueError(f"models of torchvision take images with 1 or {COLOURS} channels, not {shape[0]}")
    what = f"{options.name} of torchvision"
    scale, implied = (None, {}) if options.weights is None else (pixel_scale(options), implied_arguments(options))
    arguments = {**implied, **options.arguments}
    made = _construct(what, lambda: models.get_model(options.name, weights=None, num_classes=n_outputs, **arguments))
    return _checked(what, ColourModel(made, scale), shape, n_outputs)


def build_own(options: ModelOptions, shape: Sequence[int], n_outputs: int) -> nn.Module:
    """Build the user's class. It gets `n_features` or `shape`, and `n_outputs`, if it has such parameters.

    Raises:
        ValueError: only a model file named the class, the class cannot be imported or constructed, or its
            outputs have another shape.
    """
    name = str(options.module_class)
    made = import_own(name)
    ours = {"n_features": shape[0] if len(shape) == 1 else None, "shape": tuple(shape), "n_outputs": n_outputs}
    taken = inspect.signature(made).parameters
    arguments = {key: value for key, value in ours.items() if key in taken and value is not None}
    network = _construct(f"model.class {name}", lambda: made(**{**arguments, **options.arguments}))
    return _checked(f"model.class {name}", network, shape, n_outputs)


def import_own(name: str) -> Any:
    """Import the user's class.

    Raises:
        ValueError: only a model file named the class, it cannot be imported, or it is not an `nn.Module`.
    """
    if name not in _trusted:
        raise ValueError(
            f"the model file names the class '{name}', and code is not imported because a file alone names it; "
            f"set model.class in the parameters, or load it with torchlane.load(path, trust='{name}')"
        )
    module_name, _, class_name = name.rpartition(".")
    try:
        made: Any = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model.class '{name}' cannot be imported: {error}; put its file into src/") from error
    if not (inspect.isclass(made) and issubclass(made, nn.Module)):
        raise ValueError(f"model.class '{name}' is not a class derived from torch.nn.Module")
    return made


def _construct(what: str, make: Any) -> nn.Module:
    try:
        made: nn.Module = make()
    except (TypeError, ValueError, AssertionError) as error:
        raise ValueError(f"{what} cannot be constructed with these model.arguments: {error}") from error
    return made


def _checked(what: str, network: nn.Module, shape: Sequence[int], n_outputs: int) -> nn.Module:
    """Run the network on two rows of zeros, in eval mode, which draws no random numbers."""
    network.eval()
    try:
        with torch.no_grad():
            found = tuple(network(torch.zeros(2, *shape)).shape)
    except Exception as error:  # a network may raise anything
        raise ValueError(f"{what} does not take features of shape {tuple(shape)}: {error}") from error
    if found != (2, n_outputs):
        raise ValueError(f"{what} gives outputs of shape {found} for 2 rows, not {(2, n_outputs)}")
    return network.train()
