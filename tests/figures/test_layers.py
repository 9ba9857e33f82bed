import pytest

from tests.figures.titles import title_of
from torchlane.figures.layers import MOST_NAMED, plot_layers
from torchlane.figures.style import is_words


def diagnosis(layers: list[str], **changes) -> dict:
    lines = [
        {"epoch": epoch, "layer": layer, "gradient_norm": 0.1, "update_ratio": 0.01 if epoch else None,
         "dead_share": 0.5 if "activation" in layer else None, "saturated_share": None}
        for epoch in (0, 1) for layer in layers
    ]  # fmt: skip
    return {"enabled": True, "capacity": "Linear(3, 4) 16; 16 parameters", "findings": [], "layers": lines} | changes


@pytest.mark.parametrize("n_layers", [2, 5, 40])
def test_each_layer_has_one_colour_and_is_at_most_once_in_the_legend(n_layers):
    figure = plot_layers(diagnosis([f"network.activation_{n}" for n in range(n_layers)]), "the table")
    assert [title.text[:4] for title in figure.layout.annotations] == ["norm", "chan", "dead"]
    colours = {trace.legendgroup: set() for trace in figure.data}
    for trace in figure.data:
        colours[trace.legendgroup].add(trace.line.color)
    assert all(len(each) == 1 for each in colours.values())
    assert len(set(map(str, colours.values()))) == n_layers
    shown = [trace.name for trace in figure.data if trace.showlegend]
    assert shown[0] == "activation_0"
    assert len(shown) == len(set(shown)) <= min(n_layers, MOST_NAMED)


def test_findings_are_counted_not_printed_into_the_title():
    found = {"name": "x", "finding": "gradients vanish: " + "long " * 50, "remedies": []}
    title = title_of(plot_layers(diagnosis(["linear_1"], findings=[found]), "x"))
    assert "1 finding" in title
    assert "vanish" not in title
    assert "16 parameters" in title


def test_without_measurements_the_figure_says_so():
    assert "diagnosis.enabled is false" in plot_layers(diagnosis([], enabled=False), "x").layout.meta["words"]
    assert is_words(plot_layers(diagnosis([]), "x"))
