"""The network, and how its images are distorted during training."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from torchlane.core.options.base import Options
from torchlane.core.options.familiar import ACTIVATIONS
from torchlane.core.options.numbers import NumbersOptions, named_kind

ModelKind = Literal["mlp", "cnn", "rnn", "transformer", "torchvision", "class"]
OPTIONS_OF_KIND: dict[str, tuple[str, ...]] = {  # in addition to kind and initialisation
    "mlp": ("widths", "activation", "dropout", "batch_norm", "numbers"),
    "cnn": ("widths", "activation", "dropout", "depth"),
    "rnn": ("widths", "dropout", "cell", "bidirectional"),
    "transformer": ("dropout", "blocks", "token_width", "heads"),
    "torchvision": ("name", "arguments", "weights", "weights_folder"),
    "class": ("module_class", "arguments"),
}
DEFAULTS_OF_KIND: dict[str, dict[str, Any]] = {  # where they are not those of the fields
    "mlp": {"widths": (128, 128), "dropout": 0.1, "numbers": "auto"},
}


class ModelOptions(Options):
    """The network: its kind, and the options of that kind. Options of other kinds are rejected.

    `mlp`, a multilayer perceptron, takes tables and images; its defaults differ: widths 128 and 128, a dropout of 0.1
    and the bins of numbers. `cnn` takes images, `rnn` reads an image row by
    row, and `transformer` attends over the features of a table. `widths` are the widths of the hidden layers,
    of the stages of a cnn (of `depth` convolutions each), or of the recurrent layers (of type `cell`).
    `activation` is a class of torch.nn that works element by element, or null for none. `numbers` says how a
    perceptron takes the numbers of a table.

    `torchvision` builds its model `name`, and `class: package.module.Class` builds the user's own `nn.Module`,
    each with `arguments`. `weights` starts a torchvision model from published weights: `DEFAULT`, or another
    name that torchvision has for them. Their file is read from `weights_folder`, or downloaded to it; null
    means the folder where torch keeps downloads. The head is initialised anew, and pixels are scaled as
    they were when the weights were trained.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    kind: ModelKind = "mlp"
    widths: tuple[Annotated[int, Field(ge=1)], ...] = (64, 64)
    activation: str | None = "GELU"
    dropout: float = Field(0.0, ge=0, lt=1)
    batch_norm: bool = False
    numbers: Annotated[NumbersOptions, BeforeValidator(named_kind)] = Field(
        default_factory=lambda: NumbersOptions.model_validate({})
    )
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
    def _kind_has_defaults(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        kind = given.get("kind", "mlp" if given.get("class") is None else "class")
        defaults = DEFAULTS_OF_KIND.get(kind if isinstance(kind, str) else "", {})
        full = {"kind": kind, **defaults, **given}
        if "numbers" in defaults and isinstance(full["numbers"], dict):
            full["numbers"] = {"kind": "bins", **full["numbers"]}
        return full

    @model_validator(mode="after")
    def _options_fit_kind(self) -> Self:
        fitting = OPTIONS_OF_KIND[self.kind]
        for name, field in type(self).model_fields.items():
            shown = field.alias or name
            usual = field.get_default(call_default_factory=True)
            if name not in ("kind", "initialisation", *fitting) and getattr(self, name) != usual:
                choices = ", ".join(type(self).model_fields[each].alias or each for each in fitting)
                raise ValueError(
                    f"{shown} is not an option of kind {self.kind}, which has {choices} and initialisation"
                )
        needed = {"torchvision": self.name, "class": self.module_class}
        if needed.get(self.kind, "") is None:
            raise ValueError(f"kind {self.kind} needs {OPTIONS_OF_KIND[self.kind][0].replace('module_', '')}")
        if self.weights_folder is not None and self.weights is None:
            raise ValueError("weights_folder is used only with weights; set weights too, such as to DEFAULT")
        if self.kind == "transformer" and self.token_width % self.heads:
            raise ValueError(f"token_width {self.token_width} must be a multiple of heads {self.heads}")
        if self.kind in ("cnn", "rnn") and not self.widths:
            raise ValueError(f"kind {self.kind} needs at least one width")
        return self

    @field_validator("activation")
    @classmethod
    def _activation_exists(cls, name: str | None) -> str | None:
        if name is not None and name not in ACTIVATIONS:
            from torchlane.core.options.torch_names import activation_class

            activation_class(name)
        return name


class AugmentationOptions(Options):
    """How far each image of a training batch is distorted at random, uniformly in both directions.

    `shift` is a fraction of the side of the image, `scale` a fraction of its size; `rotation` and `shear` are in
    degrees. `erasing` is the probability that a random rectangle of the image is set to black.
    """

    shift: float = Field(0.0, ge=0, lt=1)
    rotation: float = Field(0.0, ge=0, le=180)
    scale: float = Field(0.0, ge=0, lt=1)
    shear: float = Field(0.0, ge=0, lt=90)
    erasing: float = Field(0.0, ge=0, le=1)
