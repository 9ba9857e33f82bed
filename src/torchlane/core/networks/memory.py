"""The memory that networks take where categories have many levels, estimated before anything is allocated."""

from collections.abc import Callable, Mapping

import torch

from torchlane.core.encoding.columns import CategoryEncoder
from torchlane.core.encoding.encoder import Encoder
from torchlane.core.layers.coded import indicator_bytes, product_bytes
from torchlane.core.layers.layout import Layout
from torchlane.core.layers.numbers import numbers_bytes
from torchlane.core.machine.devices import total_bytes
from torchlane.core.networks.network import build_layout
from torchlane.core.networks.transformer import attention_bytes, token_bytes
from torchlane.core.options import FittedTraining, ModelOptions
from torchlane.core.tasks.tasks import TASKS

COPIES = 10  # of the weights of a training: networks, stack, gradients, two moments, best weights, 3 to resume from, …
PREDICTED_ROWS = 256  # pass through a network at once after training
NUMBER_BYTES = 4
MOST_SHARE = 0.8  # of the memory; the rest is for the rows and for other programs
GIB = 1 << 30

FEWER_LEVELS = "raise encoding.min_level_count, so that rare levels share a code, or leave the column out"
WAYS_OUT: Mapping[str, str] = {
    "mlp": "lower training.members or model.widths, " + FEWER_LEVELS,
    "transformer": "set encoding.columns.{column} to codes, which the transformer embeds, " + FEWER_LEVELS,
    "class": "set encoding.columns.{column} to ordinal if its levels have an order, " + FEWER_LEVELS,
}
FEWER_FEATURES = "lower training.batch_size, training.members or the size of the model, or declare fewer columns"


def require_memory(options: ModelOptions, encoder: Encoder, training: FittedTraining, device: torch.device) -> None:
    """Check that the memory of the device can hold the features or tokens, and the weights for them, of a table.

    The estimate counts only what grows with the number of features, so what it refuses could not be trained.

    Raises:
        ValueError: it cannot; the message names the column with most levels.
    """
    if encoder.image is not None or options.kind not in _NEEDS:
        return
    layout = build_layout(options, encoder)
    n_weights, training_row, predicted_row = _NEEDS[options.kind](options, encoder, layout)
    members, sharing = training.members, training.members > 1 and training.sharing != "none"
    together = members if training.stacked and not sharing else 1
    copies = members + (COPIES - 1) * together
    if sharing:
        copies = 2 * members + COPIES  # of the module, and of each perceptron as it starts and as it ends
    if sharing and training.sharing == "columns":
        training_row += product_bytes(_n_several(options, layout), options.widths[0])
    rows = max(training.batch_size * training_row, PREDICTED_ROWS * predicted_row)
    needed = NUMBER_BYTES * n_weights * copies + together * rows
    total = total_bytes(device)
    if needed > MOST_SHARE * total:
        size = f"training takes at least {needed / GIB:,.1f} GiB for its features, and {device} has {total / GIB:,.1f}"
        raise ValueError(f"{size}: {_way_out(options, encoder, layout)}")


def _way_out(options: ModelOptions, encoder: Encoder, layout: Layout) -> str:
    """Name the column with most levels, and what to do about it."""
    categories = [each for each in encoder.tabular if isinstance(each, CategoryEncoder) and each.encoding != "ordinal"]
    largest = max(categories, key=lambda each: len(each.levels), default=None)
    if largest is None:
        plain = ", or set model.numbers to plain" if options.numbers.kind != "plain" else ""
        return f"there are {layout.n_features:,} of them; {FEWER_FEATURES}{plain}"
    advice = WAYS_OUT[options.kind].format(column=largest.name)
    if options.kind == "transformer" and largest.encoding == "codes":
        advice = FEWER_LEVELS
    return f"column '{largest.name}' has {len(largest.levels):,} levels; {advice}"


Needs = tuple[int, int, int]  # weights of a member, and bytes of a row in training and in prediction


def _of_perceptron(options: ModelOptions, encoder: Encoder, layout: Layout) -> Needs:
    width = TASKS[encoder.target.task].width(len(encoder.target.labels))
    first = (*options.widths, width)[0]
    if options.numbers.kind == "plain" or not len(layout.measured):
        return layout.n_features * first, 0, 0
    n_numbers, n_basis, n_out = len(layout.measured), options.numbers.n_basis, options.numbers.n_out
    embedded = 0 if options.numbers.is_binned else n_numbers * n_basis * n_out
    of_row = numbers_bytes(n_numbers, n_basis, n_out)
    return embedded + layout.widened(n_out).n_features * first, of_row, of_row


def _n_several(options: ModelOptions, layout: Layout) -> int:
    """Count the columns that become several features."""
    return len(layout.coded) + (0 if options.numbers.kind == "plain" else len(layout.measured))


def _of_transformer(options: ModelOptions, encoder: Encoder, layout: Layout) -> Needs:
    n_weights = (2 * layout.n_features + sum(layout.embedded.values())) * options.token_width
    n_tokens = 1 + layout.n_features + len(layout.embedded)
    of_block = attention_bytes(n_tokens, options.heads) + token_bytes(n_tokens, options.token_width)
    return n_weights, options.blocks * of_block, of_block


def _of_own_class(options: ModelOptions, encoder: Encoder, layout: Layout) -> Needs:
    of_row = 0 if layout.is_plain else indicator_bytes(layout.n_features)
    return 0, of_row, of_row


_NEEDS: Mapping[str, Callable[[ModelOptions, Encoder, Layout], Needs]] = {
    "mlp": _of_perceptron,
    "transformer": _of_transformer,
    "class": _of_own_class,
}
