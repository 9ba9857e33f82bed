"""One training step: forward, backward and update, with the options that make it faster."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Variable
from torch.optim import Optimizer

from torchlane.core.machine.threads import torch_threads
from torchlane.core.options import FittedTraining
from torchlane.core.training.adaptation import Adaptation
from torchlane.core.training.joined import Joined, join
from torchlane.core.training.optimizers import make_optimizer

FUSED_DEVICES = ("cpu", "cuda")  # "mps" lacks some fused optimizers


class Stepper:
    """Trains one network batch by batch.

    With `options.exact` a step is that of the plain loop: zero_grad, forward, loss, backward, step.
    Without it images are stored channels last, and the optimizer is fused if torch has a fused form and the
    parameters cannot be joined (see `joined`), which is faster on the CPU. The options also set precision,
    compilation and clipping. With an `adaptation`, only its groups are trained, each at its rate, and pulled
    towards their present values.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: Callable[..., Tensor],
        options: FittedTraining,
        adaptation: Adaptation | None = None,
    ):
        if not options.exact:
            model.to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer(
            _groups_of(model, adaptation, options.learning_rate), options.optimizer, options.learning_rate
        )
        scaled = options.precision == "float16"
        joined = None
        if adaptation is None and not scaled:  # a scaler of gradients wants those of each parameter
            joined = join(self.optimizer, model, options.optimizer, exact=options.exact)
        if joined is None and not options.exact:
            self.optimizer = _fused(self.optimizer, model, options, adaptation)
        self._updates: Joined | Optimizer = joined or self.optimizer
        self._model = model
        self._adaptation = adaptation
        self._pulled = _pulled_parameters(model, adaptation)
        self._parameters = list(model.parameters())
        self._criterion = criterion
        self._clip_norm = options.clip_norm
        self._channels_last = not options.exact
        self._autocast = _autocast(options.precision, self._parameters[0].device)
        self._scaler = torch.amp.GradScaler(self._parameters[0].device.type) if scaled else None
        self._forward: Any = model
        if options.compile is not None:
            self._forward = torch.compile(model, mode=options.compile)

    def begin_epoch(self, epoch: int) -> None:
        """Put the network into training mode; an adaptation limits which parts train in this epoch."""
        self._model.train()
        if self._adaptation is not None:
            self._adaptation.begin_epoch(self._model, epoch)

    def step(self, features: Tensor, targets: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        """Take a step on one batch; give the outputs of the network and the result of the criterion, both detached.

        That is a loss (), or losses of members (members,), whose mean is minimised then. `weights` (n_rows,) are
        passed to the criterion, if there are any.
        """
        if self._channels_last and features.ndim == 4:
            features = features.contiguous(memory_format=torch.channels_last)
        self._updates.zero_grad()
        with self._autocast:
            outputs = self._forward(features)
            losses = self._criterion(outputs, targets, *weights)
            loss = losses.mean() if losses.ndim else losses
        if self._scaler is None:
            _backward(loss)
            self._pull()
            self._clip()
            self._updates.step()
        else:
            self._scaler.scale(loss).backward()
            self._scaler.unscale_(self.optimizer)
            self._pull()
            self._clip()
            self._scaler.step(self.optimizer)
            self._scaler.update()
        return outputs.detach(), losses.detach()

    def state_dict(self) -> dict[str, Any]:
        """Give the state of the optimizer and of gradient scaling."""
        return {
            "optimizer": self._updates.state_dict(),
            "scaler": None if self._scaler is None else self._scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._updates.load_state_dict(state["optimizer"])
        if self._scaler is not None:
            self._scaler.load_state_dict(state["scaler"])

    def _pull(self) -> None:
        for parameter, start, strength in self._pulled:
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - start, alpha=strength)

    def _clip(self) -> None:
        if self._clip_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)


def _backward(loss: Tensor) -> None:
    """Do what `loss.backward()` does, without the time that torch takes to tell this usual case from others.

    The engine is private to torch, whose version is pinned; tests compare the bits with those of `loss.backward()`.
    """
    usual = type(loss) is Tensor and loss.requires_grad and loss.is_floating_point() and not loss.ndim
    if usual and loss.device.type == "cpu":
        engine: Any = Variable._execution_engine
        engine.run_backward(
            (loss,), (torch.ones_like(loss),), False, False, (), allow_unreachable=True, accumulate_grad=True
        )
    else:
        loss.backward()


@contextmanager
def process_settings(options: FittedTraining, threads: int) -> Iterator[None]:
    """Set the number of threads and the precision of float32 arithmetic of the process, and restore them afterwards.

    `matmul_precision` applies to matrix products. cuDNN uses TF32 for convolutions and recurrent kernels only
    if it is below `highest`; torch's own default allows TF32 there always.
    """
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(options.matmul_precision)
    try:
        with torch_threads(threads), _cudnn_precision("ieee" if options.matmul_precision == "highest" else "tf32"):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


@contextmanager
def _cudnn_precision(precision: str) -> Iterator[None]:
    """Set how cuDNN multiplies float32 numbers, `ieee` or `tf32`, and restore the setting afterwards.

    Besides the precision of each kind of operation, torch has an older flag that covers them all. Reading the
    flag fails if it disagrees with them, so it is set too, unless the process had already made them disagree.
    """
    cudnn: Any = torch.backends.cudnn
    kinds = (cudnn.conv, cudnn.rnn)
    before = [kind.fp32_precision for kind in kinds]
    try:
        older = cudnn.allow_tf32
    except RuntimeError:
        older = None
    _set_cudnn(None if older is None else precision == "tf32", [precision] * len(kinds))
    try:
        yield
    finally:
        _set_cudnn(older, before)


def _set_cudnn(older: bool | None, precisions: list[str]) -> None:
    cudnn: Any = torch.backends.cudnn
    if older is not None:
        cudnn.allow_tf32 = older
    for kind, precision in zip((cudnn.conv, cudnn.rnn), precisions, strict=True):
        kind.fp32_precision = precision


def _pulled_parameters(model: nn.Module, adaptation: Adaptation | None) -> list[tuple[nn.Parameter, Tensor, float]]:
    """List the pulled parameters, each with its target and the strength of the pull."""
    parameters = dict(model.named_parameters())
    groups = () if adaptation is None else adaptation.groups
    return [
        (parameters[name], parameters[name].detach().clone(), group.pull)
        for group in groups
        if group.pull
        for name in group.names
    ]


def _groups_of(
    model: nn.Module, adaptation: Adaptation | None, learning_rate: float
) -> Iterable[nn.Parameter] | list[dict[str, Any]]:
    if adaptation is None:
        return model.parameters()
    parameters = dict(model.named_parameters())
    return [
        {"params": [parameters[name] for name in group.names], "lr": learning_rate * group.rate}
        for group in adaptation.groups
    ]


def _fused(plain: Optimizer, model: nn.Module, options: FittedTraining, adaptation: Adaptation | None) -> Optimizer:
    """Give the fused form of an optimizer, or the plain one if torch has no other for it."""
    device = next(model.parameters()).device
    if "fused" not in plain.defaults or device.type not in FUSED_DEVICES:
        return plain
    if not {"fused", "foreach"}.isdisjoint(options.optimizer.arguments):
        return plain  # the user chose one of them
    arguments = {**options.optimizer.arguments, "fused": True}
    fused = options.optimizer.model_copy(update={"arguments": arguments})
    try:
        return make_optimizer(_groups_of(model, adaptation, options.learning_rate), fused, options.learning_rate)
    except (ValueError, RuntimeError):  # some arguments, such as differentiable, exclude the fused form
        return plain


def _autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    return nullcontext() if precision == "float32" else torch.autocast(device.type, getattr(torch, precision))
