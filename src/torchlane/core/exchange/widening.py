"""The layer `numbers` of a perceptron in words, for callers who compute with the weights alone."""

from typing import Any

from torchlane.core.model.trained import TrainedModel
from torchlane.core.networks import build_layout

ROW = (
    "all inputs that the layer does not take, in their order, with a column for each code in indicators in place of a "
    "category that has them; then a block of width columns for each input in takes, in this order"
)
BINS = (
    "bin i goes from edge i to edge i + 1: (x - edge i) / (edge i + 1 - edge i), cut to 0 … 1, but not below 0 in the "
    "first bin, and not above 1 in the last one, which ends at the last edge; where the last edge is repeated there "
    "is no bin, and its column is 0"
)
BLOCKS = {
    "bins": f"x, then a column for each bin; {BINS}",
    "piecewise_linear": f"the products of numbers.weight with 1, x and a value for each bin; {BINS}",
    "periodic": (
        "the products of numbers.weight with 1, then cos(2 pi f x) for each f of numbers.frequencies, then "
        "sin(2 pi f x) for each f; 0 where a product is below 0"
    ),
}
WEIGHT = "what the values of an input are multiplied by: (inputs, values, width), summed over the values"
EDGES = "the edges of the bins of an input, ascending, the last one repeated where it has fewer: (inputs, edges)"
TENSORS = {
    "bins": {"numbers.edges": EDGES},
    "piecewise_linear": {"numbers.edges": EDGES, "numbers.weight": WEIGHT},
    "periodic": {"numbers.frequencies": "f of an input: (inputs, frequencies)", "numbers.weight": WEIGHT},
}


def describe_widening(model: TrainedModel) -> dict[str, Any] | None:
    """Describe how the layer `numbers` makes the row that the first linear layer takes; None if there is no such layer.

    `takes` are the places of its inputs among all inputs of a row, from 0, and `block` says what an input x becomes.
    `tensors` are the layer's own in the state dict. The shapes leave out the axis of members, which a state dict of
    several has in front.
    """
    numbers, layout = model.model.numbers, build_layout(model.model, model.encoder)
    kind = "bins" if numbers.is_binned else numbers.kind
    if kind == "plain" or not len(layout.measured):
        return None
    kind = "bins" if numbers.is_binned else numbers.kind
    return {
        "kind": kind,
        "takes": layout.measured.tolist(),
        "width": numbers.n_out,
        "row": ROW,
        "block": BLOCKS[kind],
        "tensors": TENSORS[kind],
    }
