"""The whole network of a use case: augmentation and pixel scaling in front of the model, for images."""

from collections import OrderedDict

from torch import nn

from torchlane.core.encoding.encoder import Encoder
from torchlane.core.layers.layout import Layout
from torchlane.core.networks.augmentation import Augmentation
from torchlane.core.networks.building import build_model
from torchlane.core.networks.pixels import Pixels
from torchlane.core.options import AugmentationOptions, ModelOptions, fitting_network
from torchlane.core.options.by_rows import MOST_BINNED, ROWS_OF_BINNED
from torchlane.core.tasks.tasks import TASKS


def build_layout(options: ModelOptions, encoder: Encoder) -> Layout:
    """Say which features a network with these options makes of the rows of an encoder; none of an image."""
    return encoder.layout(embeds=options.kind == "transformer")


def fit_options(options: ModelOptions, encoder: Encoder, n_rows: int) -> tuple[ModelOptions, str]:
    """Set what the options of a network leave to its `n_rows` rows of train.

    The second result says why numbers have no bins, if that was left open; it is empty if they have.
    """
    n_numbers = 0 if encoder.image is not None else len(build_layout(options, encoder).measured)
    fitted = fitting_network(options, n_numbers, n_rows)
    if fitted is options or fitted.numbers.kind != "plain":
        return fitted, ""
    return fitted, (
        f"model.numbers: plain, since bins are for at most {MOST_BINNED} numbers, with {ROWS_OF_BINNED} rows of train "
        f"for each; here are {n_numbers:,} and {n_rows:,} rows"
    )


def build_network(
    options: ModelOptions,
    encoder: Encoder,
    augmentation: AugmentationOptions | None = None,
    *,
    from_published: bool = True,
) -> nn.Module:
    """Build the network for the features and target of an encoder, with weights from the global generator.

    Images pass through `augmentation`, which acts in training mode only, then `pixels`, then `network`.
    With `from_published`, published weights that `options` ask for are loaded.

    Raises:
        ValueError: the kind of model does not take such features, augmentation is set for a table, or
            published weights are not available or do not fit the encoding of pixels.
    """
    width = TASKS[encoder.target.task].width(len(encoder.target.labels))
    if options.weights is not None and encoder.image is not None and encoder.image.encoding != "unit":
        raise ValueError(
            f"published weights bring their own scale of pixels, and encoding.pixels {encoder.image.encoding} "
            f"would change it; set encoding.pixels to unit"
        )
    layout = build_layout(options, encoder)
    network = build_model(options, encoder.feature_shape, width, layout, from_published=from_published)
    if encoder.image is None:
        if augmentation is not None:
            raise ValueError("training.augmentation is for images, but the features are a table; leave it out")
        return network
    steps: OrderedDict[str, nn.Module] = OrderedDict()
    if augmentation is not None:
        steps["augmentation"] = Augmentation(augmentation)
    steps["pixels"] = Pixels(encoder.image)
    steps["network"] = network
    return nn.Sequential(steps)
