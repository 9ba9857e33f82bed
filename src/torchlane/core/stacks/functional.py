"""Networks of any kind as one program, through `torch.func.vmap`."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from torchlane.core.layers.coded import CodedLinear
from torchlane.core.stacks.layout import (
    Noise,
    NotStackableError,
    Slot,
    Tensors,
    padded_length,
    stack_members,
    views_of,
)


class FunctionalProgram:
    """The program of any network that `vmap` takes.

    `nn.Dropout` is the only random layer that is supported, and recurrent kernels are not supported.

    Raises:
        NotStackableError: the network cannot be run this way; the message gives the reason.
    """

    def __init__(self, model: nn.Module, features: Tensor):
        self.n_columns: int | None = None
        self.table: str | None = None
        self.n_taken = 0
        self.still_norms: frozenset[str] = frozenset()
        self.slots: list[Slot] = []
        for name, parameter in model.named_parameters():
            start = padded_length(self.slots[-1].end) if self.slots else 0
            self.slots.append(Slot(name, tuple(parameter.shape), start))
        self.noise_shapes: list[tuple[int, ...]] = []
        self._dropouts: list[str] = []  # names of the layers, one for each mask
        self._template = copy.deepcopy(model)
        if len({(parameter.dtype, parameter.device) for parameter in model.parameters()}) > 1:
            raise NotStackableError("the parameters are of several types, or on several devices")
        for name, layer in self._template.named_modules():
            if type(layer) is nn.Dropout:
                self._template.set_submodule(name, _GivenNoise())
            elif isinstance(layer, CodedLinear):
                layer.portable = True
        self._watch_dropout(features)
        self._try_out(model, features)

    def forward(self, parameters: Tensors, buffers: Tensors, features: Tensor, noise: Noise) -> Tensor:
        self._template.train(noise is not None)
        for name in self.still_norms:
            self._template.get_submodule(name).eval()

        def of_member(tensors: dict[str, Tensor], features: Tensor) -> Tensor:
            outputs: Tensor = functional_call(self._template, tensors, (features,))
            return outputs

        masks = {} if noise is None else dict(zip((f"{name}.noise" for name in self._dropouts), noise, strict=True))
        return vmap(of_member)({**parameters, **buffers, **masks}, features)

    def dropout_rates(self, model: nn.Module) -> list[float]:
        layers = dict(model.named_modules())
        return [layers[name].p for name in self._dropouts]

    def table_rows(self, model: nn.Module, name: str) -> Tensor | None:
        return None

    def places_in(self, buffers: Tensors, features: Tensor) -> Tensor:
        raise NotImplementedError("there is no table")

    def constants(self, models: Sequence[nn.Module]) -> dict[str, Tensor]:
        return {}

    def _watch_dropout(self, features: Tensor) -> None:
        """Find the order and the shapes of the dropout masks that a network uses.

        Raises:
            NotStackableError: a mask is used twice, or its rows are not those of the batch.
        """
        few, more = features, torch.cat([features, features[:1]])
        seen = self._asked_for(few), self._asked_for(more)
        for (name, shape), (_, longer) in zip(*seen, strict=True):
            if name in self._dropouts:
                raise NotStackableError("a dropout layer is used twice in one pass")
            blocks = shape[0] // len(few)  # more than 1 where attention puts its heads into the first dimension
            if (shape[0], *longer) != (blocks * len(few), blocks * len(more), *shape[1:]):
                raise NotStackableError(f"dropout '{name}' acts on a tensor whose first dimension is not the rows")
            self._dropouts.append(name)
            self.noise_shapes.append((blocks, *shape[1:]))

    def _asked_for(self, features: Tensor) -> list[tuple[str, tuple[int, ...]]]:
        """List the dropout layers in the order of their use in one pass, with the shapes of their inputs."""
        layers = [(layer, name) for name, layer in self._template.named_modules() if isinstance(layer, _GivenNoise)]
        names: dict[nn.Module, str] = dict(layers)
        asked: list[tuple[str, tuple[int, ...]]] = []

        def note(layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            if not arguments[0].is_contiguous():  # torch draws masks in memory order
                raise NotStackableError(f"dropout '{names[layer]}' acts on a transposed tensor")
            asked.append((names[layer], tuple(arguments[0].shape)))

        handles = [layer.register_forward_pre_hook(note) for layer in names]
        try:
            with torch.no_grad():
                self._template.eval()(features)
        finally:
            for handle in handles:
                handle.remove()
        return asked

    def _try_out(self, model: nn.Module, features: Tensor) -> None:
        numbers, buffers = stack_members(self, [model, model])
        noise = [features.new_ones(2, len(features), *shape) for shape in self.noise_shapes]
        try:
            parameters = {name: view.clone().requires_grad_() for name, view in views_of(self, numbers).items()}
            outputs = self.forward(parameters, buffers, torch.stack([features, features]), noise)
            torch.autograd.grad(outputs.sum(), list(parameters.values()))
        except (RuntimeError, ValueError, NotImplementedError) as error:
            raise NotStackableError(str(error).strip().partition("\n")[0]) from error


class _GivenNoise(nn.Module):
    """A dropout layer whose mask is a buffer, so that `functional_call` can set it."""

    def __init__(self) -> None:
        super().__init__()
        self.noise: Tensor
        self.register_buffer("noise", torch.empty(0), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        return features * self.noise.reshape(features.shape) if self.training else features
