"""How a network is trained."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from torchlane.core.options.automatic import AUTO, Automatic, AutomaticOrNone, AutomaticRate
from torchlane.core.options.base import Level, Options
from torchlane.core.options.familiar import OPTIMIZERS, SCHEDULERS, is_familiar
from torchlane.core.options.network import AugmentationOptions


class LossOptions(Options):
    """The loss that training minimises, by its `name` in `torchlane.core.tasks.tasks`; null means the task's first.

    `class_weights` make the rows of some labels count more than those of others. It holds a weight for each
    label (1 for labels without one), or is `balanced`, which means `n_rows / (n_labels * rows of the label)`,
    in which rows count by their weights.
    `label_smoothing` is the fraction of the probability that cross entropy spreads evenly over all labels.
    """

    name: Annotated[str, Field(min_length=1)] | None = None
    class_weights: Literal["balanced"] | dict[Level, Annotated[float, Field(gt=0)]] | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0


def _named_loss(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


def _auto_if_null(value: object) -> object:
    """Read an empty number of members as files of earlier versions meant it."""
    return AUTO if value is None else value


class OptimizerOptions(Options):
    """A class of torch.optim by name, with its arguments except the learning rate."""

    name: str = "AdamW"
    arguments: dict[str, Any] = {}

    @model_validator(mode="after")
    def _optimizer_fits(self) -> Self:
        if not is_familiar(self.name, self.arguments, OPTIMIZERS):
            from torchlane.core.options.torch_names import check_optimizer

            check_optimizer(self.name, self.arguments)
        return self


class SchedulerOptions(Options):
    """A class of torch.optim.lr_scheduler by name, with its arguments.

    The scheduler takes a step after each `epoch` or each `batch`. The arguments for the length of the run
    (`total_steps`, `T_max`, `total_iters`) and the `max_lr` of OneCycleLR follow from the training options
    unless they are given.
    """

    name: str
    step: Literal["epoch", "batch"] = "epoch"
    arguments: dict[str, Any] = {}

    @model_validator(mode="after")
    def _scheduler_fits(self) -> Self:
        if not is_familiar(self.name, self.arguments, SCHEDULERS):
            from torchlane.core.options.torch_names import check_scheduler

            check_scheduler(self.name, self.step, self.arguments)
        return self


class TrainingOptions(Options):
    """How a network is trained.

    What is `auto` follows from the kind of network and the number of rows of train; see
    `torchlane.core.options.by_rows`. The log says what was chosen.

    `members` networks are trained, with the seeds `seed`, `seed + 1`, …, and the mean of their predictions is
    used. With `sharing`, the members of a perceptron share the weights of its hidden layers while they train, and end
    together: as TabM and TabM-mini do (Gorishniy et al. 2024), or by `columns`, which is TabM with one scale for all
    features of a column; the bins of a number have one beside that of the number. Each is an ordinary perceptron
    afterwards. A single member shares nothing.
    `stacked` trains them together as one tensor program where that is possible; the result equals that of the
    plain loop up to rounding. With one member, or `stacked: false`, it equals the plain loop bit by bit.

    Training of a member stops early when the validation loss has not improved for `patience_epochs`, and its
    best weights are restored; null trains for all `epochs`. A checkpoint is written at the end of an epoch once
    `checkpoint_minutes` or `checkpoint_epochs` have passed since the last one. `loss` may be just a name.
    With `refit`, the networks are then trained once more from their seeds, on train and valid together. Each trains
    for the number of epochs that early stopping kept, on the same schedule, and its last weights are the model.
    `clip_norm` bounds the norm of the gradients of each step. If the network has batch norm and the last batch
    would have a single row, that row joins the batch before.

    `exact` gives the same bits as the plain PyTorch loop. Without it, faster code is used where measurements
    showed a gain (fused optimizers, channels-last images). Three more options change bits and so need
    `exact: false`: a `precision` below float32 (autocast, with gradient scaling for float16), a
    `matmul_precision` below highest (for matrix products, and on a GPU for convolutions) and `compile` (a mode
    of `torch.compile`; `reduce-overhead` records CUDA graphs). `threads` sets the number of CPU threads. Null
    means one for narrow steps and torch's number for wide ones, or torch's number always if the environment
    sets `OMP_NUM_THREADS` or `MKL_NUM_THREADS`.
    """

    members: Annotated[Automatic, BeforeValidator(_auto_if_null)] = AUTO
    sharing: Literal["auto", "none", "tabm", "tabm_mini", "columns"] = AUTO
    stacked: bool = True
    seed: int = Field(0, ge=0)
    epochs: Automatic = AUTO
    batch_size: Automatic = AUTO
    learning_rate: AutomaticRate = AUTO
    loss: Annotated[LossOptions, BeforeValidator(_named_loss)] = Field(default_factory=LossOptions)
    optimizer: OptimizerOptions = Field(default_factory=OptimizerOptions)
    scheduler: SchedulerOptions | None = None
    augmentation: AugmentationOptions | None = None
    patience_epochs: AutomaticOrNone = AUTO
    refit: bool | Literal["auto"] = AUTO
    clip_norm: float | None = Field(None, gt=0)
    exact: bool = True
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    compile: Literal["default", "reduce-overhead", "max-autotune"] | None = None
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    threads: int | None = Field(None, ge=1)
    checkpoint_minutes: float = Field(1.0, ge=0)
    checkpoint_epochs: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _exact_keeps_bits(self) -> Self:
        for name, plain in (("precision", "float32"), ("matmul_precision", "highest"), ("compile", None)):
            if self.exact and getattr(self, name) != plain:
                raise ValueError(
                    f"{name} {getattr(self, name)} changes bits, which exact: true forbids; set exact: false"
                )
        return self
