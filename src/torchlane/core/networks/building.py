"""The table of model kinds: how each is built, and whether it takes tables or images."""

from collections.abc import Callable, Mapping, Sequence

from torch import nn

from torchlane.core.networks.convolutional import build_convolutional
from torchlane.core.networks.initialisation import initialise
from torchlane.core.networks.named import ColourModel, build_own, build_torchvision
from torchlane.core.networks.perceptron import build_perceptron
from torchlane.core.networks.published import load_published
from torchlane.core.networks.recurrent import Recurrent
from torchlane.core.options import ModelOptions

BUILDERS: Mapping[str, Callable[[ModelOptions, Sequence[int], int], nn.Module]] = {
    "mlp": build_perceptron,
    "cnn": build_convolutional,
    "rnn": Recurrent,
    "torchvision": build_torchvision,
    "class": build_own,
}
OF_TABLES = ("mlp", "transformer", "class")
OF_IMAGES = ("mlp", "cnn", "rnn", "torchvision", "class")
FOREIGN = ("torchvision", "class")  # their constructors are not ours, so they may compute anything


def build_model(
    options: ModelOptions,
    shape: int | Sequence[int],
    n_outputs: int,
    code_counts: Mapping[int, int] | None = None,
    *,
    from_published: bool = True,
) -> nn.Module:
    """Build a model from (n_rows, *shape) to (n_rows, n_outputs), with weights from the global generator.

    `shape` is the shape of one row's features: n_features, or (channels, height, width). `code_counts` has the
    number of codes of each feature that holds codes; only a transformer uses it. Without `from_published`,
    published weights that `options` ask for are not loaded, because `load_state_dict` will replace them.

    Raises:
        ValueError: the kind of model does not take such features, or published weights are not available.
    """
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    fitting, given = (OF_TABLES, "a table") if len(sizes) == 1 else (OF_IMAGES, "an image")
    if options.kind not in fitting:
        raise ValueError(f"model.kind {options.kind} does not take {given}; choose one of {', '.join(fitting)}")
    if options.kind == "transformer":
        from torchlane.core.networks.transformer import TableTransformer

        model: nn.Module = TableTransformer(options, sizes[0], n_outputs, code_counts or {})
    else:
        model = BUILDERS[options.kind](options, sizes, n_outputs)
    initialise(model, options.initialisation)
    if options.weights is not None and from_published:
        assert isinstance(model, ColourModel)
        load_published(model.model, options)
    return model
