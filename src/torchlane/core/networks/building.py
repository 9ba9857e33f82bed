"""The table of model kinds: how each is built, and whether it takes tables or images."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from torch import nn

from torchlane.core.layers.coded import Indicators
from torchlane.core.layers.layout import Layout
from torchlane.core.layers.numbers import start_bins_at_zero
from torchlane.core.networks.convolutional import build_convolutional
from torchlane.core.networks.initialisation import initialise
from torchlane.core.networks.named import ColourModel, build_own, build_torchvision
from torchlane.core.networks.perceptron import build_perceptron
from torchlane.core.networks.published import load_published
from torchlane.core.networks.recurrent import Recurrent
from torchlane.core.options import ModelOptions

BUILDERS: Mapping[str, Callable[[ModelOptions, Sequence[int], int], nn.Module]] = {
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
    layout: Layout | None = None,
    *,
    from_published: bool = True,
) -> nn.Module:
    """Build a model from (n_rows, *shape) to (n_rows, n_outputs), with weights from the global generator.

    `shape` is the shape of one encoded row: n_columns, or (channels, height, width). If columns hold codes, `layout`
    says which features they stand for. A perceptron looks up their weights, and other networks get the features.
    Without `from_published`, published weights that `options` ask for are not loaded, because `load_state_dict`
    will replace them.

    Raises:
        ValueError: the kind of model does not take such features, or published weights are not available.
    """
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    fitting, given = (OF_TABLES, "a table") if len(sizes) == 1 else (OF_IMAGES, "an image")
    if options.kind not in fitting:
        raise ValueError(f"model.kind {options.kind} does not take {given}; choose one of {', '.join(fitting)}")
    if options.kind == "mlp":
        model = build_perceptron(options, sizes, n_outputs, layout if len(sizes) == 1 else None)
    else:
        model = _build_other(options, sizes, n_outputs, None if layout is None or layout.is_plain else layout)
    initialise(model, options.initialisation)
    start_bins_at_zero(model)
    if options.weights is not None and from_published:
        assert isinstance(model, ColourModel)
        load_published(model.model, options)
    return model


def _build_other(options: ModelOptions, sizes: tuple[int, ...], n_outputs: int, layout: Layout | None) -> nn.Module:
    """Build a network that is no perceptron; `layout` is given if columns hold codes."""
    if options.kind == "transformer":
        from torchlane.core.networks.transformer import TableTransformer

        return TableTransformer(options, sizes[0], n_outputs, layout)
    if layout is not None:
        network = BUILDERS[options.kind](options, (layout.n_features,), n_outputs)
        return nn.Sequential(OrderedDict(indicators=Indicators(layout), network=network))
    return BUILDERS[options.kind](options, sizes, n_outputs)
