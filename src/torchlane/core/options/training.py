"""How the weights are found."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from torchlane.core.options.base import Level, Options
from torchlane.core.options.network import AugmentationOptions


class LossOptions(Options):
    """What training makes small: a loss of the task's row in `torchlane.core.tasks.tasks`; null takes its first.

    `class_weights` count the rows of some labels more than those of others: a weight a label (1 where
    none is given), or `balanced` for `n_rows / (n_labels * rows of the label)`. `label_smoothing` is
    the share of the truth that cross entropy spreads over all labels.
    """

    name: Annotated[str, Field(min_length=1)] | None = None
    class_weights: Literal["balanced"] | dict[Level, Annotated[float, Field(gt=0)]] | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0


def _named_loss(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class OptimizerOptions(Options):
    """A class of torch.optim by name, with its arguments beside the learning rate."""

    name: str = "AdamW"
    arguments: dict[str, Any] = {}

    @model_validator(mode="after")
    def _optimizer_fits(self) -> Self:
        from torchlane.core.options.torch_names import check_optimizer

        check_optimizer(self.name, self.arguments)
        return self


class SchedulerOptions(Options):
    """A class of torch.optim.lr_scheduler by name, with its arguments.

    Left out, the arguments that say how long the run is (`total_steps`, `T_max`, `total_iters`) and
    OneCycleLR's `max_lr` follow from the training options.
    """

    name: str
    step: Literal["epoch", "batch"] = "epoch"
    arguments: dict[str, Any] = {}

    @model_validator(mode="after")
    def _scheduler_fits(self) -> Self:
        from torchlane.core.options.torch_names import check_scheduler

        check_scheduler(self.name, self.step, self.arguments)
        return self


class TrainingOptions(Options):
    """How the weights are found.

    `members` networks, seeded `seed`, `seed + 1`, …, are trained; their mean predicts. Null is 16
    perceptrons on a table, where they cost little more than one, and 1 of all else. `stacked` trains
    them as one tensor program where that can be, within rounding of the plain loop; one member alone, or
    `stacked: false`, has the plain loop's bits.
    `patience_epochs` without a lower validation loss end a member's training, and its best weights
    are restored; null trains all `epochs`. A checkpoint is written after an epoch when
    `checkpoint_minutes` or `checkpoint_epochs` have passed since the last.

    `exact` keeps the bits of the plain PyTorch loop; without it, what is faster is used where it was
    measured to pay (fused optimizers, channels-last images). `precision` below float32 (autocast, with gradient
    scaling for float16), `matmul_precision` below highest (of matrix products, on a GPU of convolutions too) and
    `compile` (a mode of `torch.compile`; `reduce-overhead` records CUDA graphs) change bits too, so they need
    `exact: false`. `threads` fixes the CPU threads; null takes what torch takes. `clip_norm` bounds the norm of the
    gradients of a step. `loss` may be a name alone. A last batch of one row joins the one before for batch norm.
    """

    members: int | None = Field(None, ge=1)
    stacked: bool = True
    seed: int = Field(0, ge=0)
    epochs: int = Field(200, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    loss: Annotated[LossOptions, BeforeValidator(_named_loss)] = Field(default_factory=LossOptions)
    optimizer: OptimizerOptions = Field(default_factory=OptimizerOptions)
    scheduler: SchedulerOptions | None = None
    augmentation: AugmentationOptions | None = None
    patience_epochs: int | None = Field(20, ge=1)
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
