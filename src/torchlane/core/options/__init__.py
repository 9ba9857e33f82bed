"""What a use case may set: one frozen model a section, in the order of the flow.

Each model forbids unknown keys and holds the defaults, so YAML states only what differs.
Nothing here imports torch until a name of a torch class has to be checked.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from torchlane.core.options.levels import plain_level
from torchlane.core.options.truth import require_no_truth

Part = Literal["train", "valid", "test"]
TaskName = Literal["regression", "binary", "multiclass"]
CategoryEncoding = Literal["codes", "one_hot"]
NumberEncoding = Literal["none", "min_max", "z_score", "quantile"]
PixelEncoding = Literal["unit", "z_score"]
Fraction = Annotated[float, Field(ge=0, lt=1)]

Level = Annotated[str, BeforeValidator(plain_level)]


class Options(BaseModel):
    """Frozen, with no key that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        require_no_truth(value, cls.model_fields[str(info.field_name)].annotation)
        return value


def require_coverage(coverage: float) -> float:
    """Let a share of new rows through that intervals can be made to cover.

    Raises:
        ValueError: it is not between 0 and 1.
    """
    if not 0 < coverage < 1:
        hint = f"; did you mean {coverage / 100:g}?" if 1 < coverage < 100 else ""
        raise ValueError(
            f"coverage is the share of new rows within an interval, between 0 and 1, not {coverage:g}{hint}"
        )
    return coverage


class ColumnOptions(Options):
    """One column of the raw file and the rules its values keep; `size` is (channels, height, width) in pixels."""

    kind: Literal["category", "number", "image"]
    nullable: bool = True
    levels: tuple[Level, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None

    @model_validator(mode="after")
    def _rules_fit_kind(self) -> Self:
        if (self.kind == "image") != (self.size is not None):
            raise ValueError("size: [channels, height, width] is for an image, and an image needs it")
        if self.kind == "image" and (self.levels, self.minimum, self.maximum) != (None, None, None):
            raise ValueError("levels, minimum and maximum are not for an image; it has a size")
        if self.kind == "number" and self.levels is not None:
            raise ValueError("levels are for a category; a number has minimum and maximum")
        if self.kind == "category" and (self.minimum, self.maximum) != (None, None):
            raise ValueError("minimum and maximum are for a number; a category has levels")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is above maximum {self.maximum:g}")
        return self


class DataOptions(Options):
    """The task, the columns, and what reports say of where the rows come from.

    Columns of the raw file that are not declared are ignored. `features` picks and orders the
    inputs; without it they are all declared columns but the target, and in a use case but those that
    its split goes by. `digest` is the SHA-256 that `torchlane.core.rows.checking.rows_digest` gives for the file
    meant by `source`. A larger share of rejected rows than `max_rejected_fraction` stops the run.
    """

    task: TaskName
    target: str
    columns: dict[str, ColumnOptions]
    features: tuple[str, ...] = ()
    source: str = ""
    digest: str = ""
    missing_values: tuple[str, ...] = ("",)
    max_rejected_fraction: float = Field(0.2, ge=0, le=1)

    @model_validator(mode="after")
    def _features_are_declared(self) -> Self:
        if "row" in (*self.columns, self.target):
            raise ValueError("'row' is the name of the row number; rename that column in the file")
        for name in self.features:
            if name not in self.columns:
                raise ValueError(f"feature '{name}' is not among columns: {', '.join(self.columns)}")
        if not self.feature_columns:
            raise ValueError(f"no feature is declared beside the target '{self.target}'")
        if self.target in self.features:
            raise ValueError(f"the target '{self.target}' cannot be a feature too")
        if len(set(self.features)) < len(self.features):
            raise ValueError(f"features name a column twice: {', '.join(self.features)}")
        kinds = [column.kind for column in self.feature_columns.values()]
        if "image" in kinds and len(kinds) > 1:
            raise ValueError(
                f"an image is a model's only feature; set features to it alone, not {', '.join(self.feature_columns)}"
            )
        kind = self.target_column.kind
        if kind != ("number" if self.task == "regression" else "category"):
            raise ValueError(f"target '{self.target}' is a {kind}, which a {self.task} task does not predict")
        return self

    @property
    def feature_columns(self) -> dict[str, ColumnOptions]:
        """The inputs of the model, in order."""
        names = self.features or tuple(name for name in self.columns if name != self.target)
        return {name: self.columns[name] for name in names}

    @property
    def target_column(self) -> ColumnOptions:
        """The target's kind and rules; it is never missing."""
        kind: Any = "number" if self.task == "regression" else "category"
        declared = self.columns.get(self.target, ColumnOptions(kind=kind))
        return declared.model_copy(update={"nullable": False})


class SplitOptions(Options):
    """Which rows train, which choose, which are only looked at in the end.

    Rows that repeat each other, target included, may be copies of one row, which stay `together`, or
    coincidences, which are dealt one by one: `apart`. `auto` tells them by the table, see
    `torchlane.core.rows.repeats`. Rows that agree in all columns of `group_by` share a part.

    `all_rows_in` puts every row into each of the parts it names, and splits nothing. `part_column`
    names a column that says train, valid or test for each row: these parts are kept, and
    `valid_fraction` is cut from train where the column says valid nowhere.

    Columns of `group_by` and `part_column` are no features unless `data.features` names them.
    """

    valid_fraction: Fraction = 0.15
    test_fraction: Fraction = 0.15
    seed: int = Field(0, ge=0)
    stratify: bool = True
    repeats: Literal["auto", "together", "apart"] = "auto"
    group_by: tuple[str, ...] = ()
    all_rows_in: tuple[Part, ...] = ()
    part_column: str | None = None

    @model_validator(mode="after")
    def _something_is_left_to_train(self) -> Self:
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError("valid_fraction and test_fraction together must stay below 1")
        if self.all_rows_in and "train" not in self.all_rows_in:
            raise ValueError("all_rows_in must name train")
        if self.all_rows_in and self.part_column is not None:
            raise ValueError("all_rows_in and part_column exclude each other")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the split goes by."""
        return (*self.group_by, self.part_column) if self.part_column is not None else self.group_by


class EncodingOptions(Options):
    """How columns become float32 features and the target becomes what the loss sees.

    A level seen fewer than `min_level_count` times in train shares the code of unseen levels.
    `columns` sets the encoding of single columns. Images stay uint8; the network's first step scales
    their pixels to 0 … 1 (`unit`), or further to mean 0 and deviation 1 a channel (`z_score`).
    """

    categories: CategoryEncoding = "one_hot"
    numbers: NumberEncoding = "z_score"
    pixels: PixelEncoding = "unit"
    target: Literal["none", "min_max", "z_score"] = "min_max"
    min_level_count: int = Field(2, ge=1)
    columns: dict[str, CategoryEncoding | NumberEncoding] = {}


ModelKind = Literal["mlp", "cnn", "rnn", "transformer", "torchvision", "class"]
OPTIONS_OF_KIND: dict[str, tuple[str, ...]] = {  # beside kind and initialisation
    "mlp": ("widths", "activation", "dropout", "batch_norm"),
    "cnn": ("widths", "activation", "dropout", "depth"),
    "rnn": ("widths", "dropout", "cell", "bidirectional"),
    "transformer": ("dropout", "blocks", "token_width", "heads"),
    "torchvision": ("name", "arguments", "weights", "weights_folder"),
    "class": ("module_class", "arguments"),
}


class ModelOptions(Options):
    """The network.

    `mlp`, a perceptron, takes tables and images, `cnn` and `rnn` (over the rows of an image) take
    images, `transformer` (over the features of a table) takes tables. `widths` are those of the hidden
    layers, of the stages of a cnn (`depth` convolutions each), or of the recurrent layers (of
    `cell`s). `activation` is a class of torch.nn that works on each number by itself, or null for none.
    `torchvision` builds the model of `name` there, and `class: package.module.Class` the user's own
    `nn.Module`, each with `arguments`. An option that the kind does not have is refused.
    `weights` starts a model of torchvision from published ones, `DEFAULT` or another name there: of the
    file that stands in `weights_folder` (null: the folder where torch keeps downloads), or is downloaded
    to it. The head is drawn anew, and pixels are brought to the scale that the weights were trained with.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    kind: ModelKind = "mlp"
    widths: tuple[Annotated[int, Field(ge=1)], ...] = (64, 64)
    activation: str | None = "GELU"
    dropout: float = Field(0.0, ge=0, lt=1)
    batch_norm: bool = False
    initialisation: Literal["default", "uniform", "xavier", "kaiming"] = "default"
    depth: int = Field(2, ge=1)
    cell: Literal["LSTM", "GRU"] = "LSTM"
    bidirectional: bool = False
    blocks: int = Field(2, ge=1)
    token_width: int = Field(64, ge=1)
    heads: int = Field(8, ge=1)
    name: str | None = None
    weights: str | None = None
    weights_folder: str | None = None
    module_class: str | None = Field(None, alias="class", pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")
    arguments: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _class_is_a_kind(cls, given: Any) -> Any:
        named = isinstance(given, dict) and given.get("class") is not None
        return {"kind": "class", **given} if named else given

    @model_validator(mode="after")
    def _options_fit_kind(self) -> Self:
        fitting = OPTIONS_OF_KIND[self.kind]
        for name, field in type(self).model_fields.items():
            shown = field.alias or name
            if name not in ("kind", "initialisation", *fitting) and getattr(self, name) != field.default:
                choices = ", ".join(type(self).model_fields[each].alias or each for each in fitting)
                raise ValueError(f"{shown} is no option of kind {self.kind}, which has {choices} and initialisation")
        needed = {"torchvision": self.name, "class": self.module_class}
        if needed.get(self.kind, "") is None:
            raise ValueError(f"kind {self.kind} needs {OPTIONS_OF_KIND[self.kind][0].replace('module_', '')}")
        if self.weights_folder is not None and self.weights is None:
            raise ValueError("weights_folder is where weights are; set weights too, such as DEFAULT")
        if self.kind == "transformer" and self.token_width % self.heads:
            raise ValueError(f"token_width {self.token_width} must be a multiple of heads {self.heads}")
        if self.kind in ("cnn", "rnn") and not self.widths:
            raise ValueError(f"kind {self.kind} needs at least one width")
        return self

    @field_validator("activation")
    @classmethod
    def _activation_exists(cls, name: str | None) -> str | None:
        if name is not None:
            from torchlane.core.networks import activation_class

            activation_class(name)
        return name


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
        from torchlane.core.training.optimizers import check_optimizer

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
        from torchlane.core.training.optimizers import check_scheduler

        check_scheduler(self.name, self.step, self.arguments)
        return self


class AugmentationOptions(Options):
    """How far each image of a training batch is moved at random, uniformly to both sides.

    `shift` is in sides of the image, `rotation` and `shear` in degrees, `scale` a share of the size.
    `erasing` is the probability that a rectangle becomes black.
    """

    shift: float = Field(0.0, ge=0, lt=1)
    rotation: float = Field(0.0, ge=0, le=180)
    scale: float = Field(0.0, ge=0, lt=1)
    shear: float = Field(0.0, ge=0, lt=90)
    erasing: float = Field(0.0, ge=0, le=1)


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


class RangeOptions(Options):
    """Numbers from `low` to `high`; `log` spreads their logarithm evenly, and a `step` leaves one each step."""

    low: float
    high: float
    log: bool = False
    step: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _range_holds_something(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}; for one value set the option itself")
        if self.log and self.low <= 0:
            raise ValueError(f"a log range starts above 0, not at {self.low:g}; raise low, or leave log out")
        if self.log and self.step is not None:
            raise ValueError("a log range has no step; leave one of them out, or give choices")
        if self.step is not None and self.step > self.high - self.low:
            raise ValueError(f"step {self.step:g} is longer than the range from {self.low:g} to {self.high:g}")
        return self


class ChoicesOptions(Options):
    """Values to choose from, each as the option itself would take it."""

    choices: tuple[Any, ...] = Field(min_length=1)

    @field_validator("choices")
    @classmethod
    def _choices_differ(cls, choices: tuple[Any, ...]) -> tuple[Any, ...]:
        for place, value in enumerate(choices):
            if value in choices[:place]:
                raise ValueError(f"choices name {value!r} twice")
        return choices


Dimension = RangeOptions | ChoicesOptions


class TuningOptions(Options):
    """The search for better options; with no trials what the last search chose is taken, if it fits.

    `space` says what is searched: names of options with their section, dotted or nested, each with
    `low` and `high` (`log`, `step`) or `choices`; empty is the space that fits the model, see
    `torchlane.core.search.space`. Options named in `fixed` stay as they are; those set with `--params` always do.
    The first trial takes the options as given, also where the space does not hold them, and is never given up.

    `random` draws all trials at once and `grid` takes every combination (`grid_points` values of a range
    without a step), `tpe` asks for `round_trials` at a time and learns from those before. `round_trials`
    makes the others go in rounds too, for several machines that share a storage. Trials are `members`
    networks of at most `epochs` (null: as training). After `prune_epochs`, and whenever the epochs have
    doubled, the worse half of those trained together is given up; null gives up none.

    `storage` is a database of SQLAlchemy that remembers the trials; null is a file in the folder of the model.
    """

    trials: int = Field(0, ge=0)
    sampler: Literal["random", "grid", "tpe"] = "random"
    space: dict[str, Dimension] = {}
    fixed: tuple[str, ...] = ()
    seed: int = Field(0, ge=0)
    members: int = Field(1, ge=1)
    epochs: int | None = Field(None, ge=1)
    prune_epochs: int | None = Field(10, ge=1)
    round_trials: int | None = Field(None, ge=1)
    grid_points: int = Field(3, ge=2)
    storage: str | None = None

    @field_validator("space", mode="before")
    @classmethod
    def _space_is_known(cls, given: Any) -> Any:
        from torchlane.core.search.space import flatten_space

        return flatten_space(given)

    @field_validator("fixed")
    @classmethod
    def _fixed_is_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        from torchlane.core.search.space import require_option

        for name in names:
            require_option(name)
        return names

    @field_validator("storage")
    @classmethod
    def _storage_holds_no_pickle(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"^(?!redis)[a-z]\w*(\+\w+)?://", url):
            raise ValueError(
                f"'{url}' is no URL of an SQL database such as sqlite:///search.sqlite or postgresql://host/name; "
                f"other storages of Optuna hold pickles"
            )
        return url


class EvaluationOptions(Options):
    """How a model is judged beside its test part.

    Intervals are made to cover `coverage` of new rows. `folds` trains a model for each of so many
    splits, `repeats` times over, so that every row is tested; 0 leaves that out.
    """

    coverage: Annotated[float, AfterValidator(require_coverage)] = 0.9
    folds: int = Field(0, ge=0)
    repeats: int = Field(1, ge=1)

    @field_validator("folds")
    @classmethod
    def _one_fold_is_none(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one fold leaves no row to train on; set 0 for none, or at least 2")
        return folds


class DiagnosisOptions(Options):
    """Whether the training is watched, and how many steps may be taken to learn one batch by heart (0: none)."""

    enabled: bool = True
    overfit_steps: int = Field(100, ge=0)


class DriftOptions(Options):
    """How far a file to score may be from the rows of train before the run warns, or stops.

    `max_psi` is for the population stability index of a column or of the predictions, beyond what
    chance alone brings; `max_missing` and `max_unseen` for what the shares of missing values and
    unseen levels may gain on those of train. Files with fewer rows than `min_rows` are beyond nothing.
    With `action: stop` such a file is set aside instead of scored, and the run ends.
    """

    max_psi: float = Field(0.25, gt=0)
    max_missing: float = Field(0.1, ge=0, le=1)
    max_unseen: float = Field(0.1, ge=0, le=1)
    min_rows: int = Field(100, ge=1)
    action: Literal["warn", "stop"] = "warn"


class PredictionOptions(Options):
    """How the files of the inbox are scored.

    `keys` are columns that go into the predictions as they are. A file counts as settled when it is
    `settle_seconds` old. A job that does not renew its claim for `lease_seconds` counts as dead, and
    its file is taken up again; a file is tried `max_attempts` times. Files that are done stay where
    they are unless `archive` names a folder. A larger share of rejected rows in a file than
    `max_rejected_fraction` does not keep the others from being scored, but shows in the exit status.
    """

    keys: tuple[str, ...] = ()
    settle_seconds: float = Field(10.0, ge=0)
    lease_seconds: float = Field(120.0, gt=0)
    max_attempts: int = Field(3, ge=1)
    max_rejected_fraction: float = Field(0.2, ge=0, le=1)
    archive: str | None = None
    drift: DriftOptions = Field(default_factory=lambda: DriftOptions.model_validate({}))

    @field_validator("keys")
    @classmethod
    def _keys_are_no_predictions(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        taken = {"row", "prediction", "spread", "low", "high", "model", "scored_at"}
        for key in keys:
            if key in taken or key.startswith("probability_"):
                raise ValueError(f"key '{key}' has the name of a column of the predictions; rename it in the files")
        if len(set(keys)) < len(keys):
            raise ValueError(f"keys name a column twice: {', '.join(keys)}")
        return keys


class FreezeOptions(Options):
    """Which layers keep the parent's weights.

    `layers` names them: a name as the log lists it, one of a module around it, or of a parameter; `*`, `?`
    and `[…]` stand for what they do in file names, and after `re:` stands a regular expression for the whole
    name. `first` takes so many layers from the input on; `all_but` takes all but those it names, where
    `head` is the last layer, whatever its name. A batch norm goes with the layer before it.
    """

    layers: tuple[str, ...] = ()
    first: int = Field(0, ge=0)
    all_but: Annotated[
        tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)
    ] = ()

    @field_validator("layers", "all_but")
    @classmethod
    def _patterns_are_sound(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            _check_pattern(pattern)
        return patterns

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> Self:
        if self.all_but and (self.layers or self.first):
            raise ValueError("all_but says what is not frozen, so it goes without layers and first")
        return self


def _check_pattern(pattern: str) -> None:
    if not pattern:
        raise ValueError("'' names no layer; leave it out")
    if pattern.startswith("re:"):
        try:
            re.compile(pattern.removeprefix("re:"))
        except re.error as error:
            raise ValueError(f"'{pattern}' is no regular expression: {error}") from error


def _named_layers(value: object) -> object:
    return {"layers": [value] if isinstance(value, str) else value} if isinstance(value, (str, list, tuple)) else value


class FineTuningOptions(Options):
    """How a trained model is adapted to new rows; what is not here is as in `training`.

    `parent` is a model file, also of another use case; null takes the use case's own. The new rows have a
    valid part to stop on and a test part of their own, cut as `split` says but for the fractions and the
    seed; `source` and `digest` say what they are, as in `data`.

    The layer before the head trains at `layer_decay` times the head's rate, the one before at its square, and
    so on (Howard & Ruder 2018); `learning_rates` sets rates of its own for layers by name or pattern. With
    `thaw_epochs` the head alone trains at first, and every so many epochs the next layer joins in.
    `pull` is the strength a of the L2 pull a/2 |w - w0|² towards the weights w0 where the tuning starts
    (L2-SP, Li et al. 2018).

    `head` is for classes, or a task, that differ from the parent's: `grow` keeps its classes and adds those
    of the new rows, `trim` has the classes of the new rows alone, both with the weights of classes that stay;
    `replace` draws a new head. `head_layer` names the head where it is not the last layer. `rescale` learns
    the scales of numbers and target anew; without it they stay the parent's. `repeats` splits and tunes so
    many times, to say whether it paid; 1 judges the one model alone.
    """

    parent: str | None = None
    source: str = ""
    digest: str = ""
    valid_fraction: Fraction = 0.2
    test_fraction: Fraction = 0.2
    seed: int = Field(0, ge=0)
    repeats: int = Field(5, ge=1)
    epochs: int = Field(100, ge=1)
    patience_epochs: int | None = Field(20, ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    layer_decay: float = Field(1.0, gt=0, le=1)
    learning_rates: dict[str, Annotated[float, Field(gt=0)]] = {}
    freeze: Annotated[FreezeOptions, BeforeValidator(_named_layers)] = Field(
        default_factory=lambda: FreezeOptions.model_validate({})
    )
    thaw_epochs: int | None = Field(None, ge=1)
    pull: float = Field(0.03, ge=0)
    head: Literal["grow", "trim", "replace"] = "grow"
    head_layer: str | None = None
    rescale: bool = False
    optimizer: OptimizerOptions = Field(
        default_factory=lambda: OptimizerOptions(name="AdamW", arguments={"weight_decay": 0.0})
    )
    scheduler: SchedulerOptions | None = None

    @field_validator("learning_rates")
    @classmethod
    def _patterns_are_sound(cls, rates: dict[str, float]) -> dict[str, float]:
        for pattern in rates:
            _check_pattern(pattern)
        return rates

    @model_validator(mode="after")
    def _something_is_left_to_train(self) -> Self:
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError("valid_fraction and test_fraction together must stay below 1")
        return self


SECTIONS: dict[str, type[Options]] = {
    "data": DataOptions,
    "split": SplitOptions,
    "encoding": EncodingOptions,
    "model": ModelOptions,
    "training": TrainingOptions,
    "tuning": TuningOptions,
    "evaluation": EvaluationOptions,
    "diagnosis": DiagnosisOptions,
    "fine_tuning": FineTuningOptions,
    "prediction": PredictionOptions,
}
