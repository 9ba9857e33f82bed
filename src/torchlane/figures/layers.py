"""Measurements inside a network, layer by layer."""

from typing import Any

import pandas as pd
from plotly.colors import sample_colorscale
from plotly.graph_objects import Figure, Scatter

from torchlane.figures.style import SEQUENCE, colour_of, escaped, finish, panels, shortened, words

PANELS = {
    "gradient_norm": "norm of the gradients",
    "update_ratio": "change of the weights in a step, as a share",
    "dead_share": "dead units, as a share",
    "saturated_share": "saturated outputs, as a share",
}
LOGARITHMIC = ("gradient_norm", "update_ratio")
MOST_NAMED = 12  # layers in the legend
DEPTHS = ["#0072B2", "#56B4E9", "#E69F00", "#D55E00"]  # from the first layer to the last, if there are many
LINE = 20  # pixels of a line of the legend on a narrow screen


def plot_layers(diagnosis: dict[str, Any], source: str) -> Figure:
    """Draw each measure of `diagnosis.json` over epochs, with a line per layer, in the same colour in every panel.

    If there are more layers than colours, they go from blue at the first to red at the last. The legend names each
    layer once, of many an even selection; hovering names each line.
    """
    title = "Inside the network, layer by layer"
    if not diagnosis["enabled"]:
        return words("The training was not observed: diagnosis.enabled is false.", title, source)
    seen = pd.DataFrame(diagnosis.get("layers", []), columns=["epoch", "layer", *PANELS])
    drawn = [measure for measure in PANELS if seen[measure].notna().any()]
    if not drawn:
        return words("Nothing was measured inside the network: it has no layer that can be observed.", title, source)
    figure = panels([PANELS[measure] for measure in drawn], height=200)
    seen = seen[seen[drawn].notna().any(axis=1)]
    layers = list(dict.fromkeys(seen["layer"]))
    shared = _shared(layers)
    named = {layers[place] for place in range(0, len(layers), -(-len(layers) // MOST_NAMED))}
    for row, measure in enumerate(drawn, start=1):
        for layer, lines in seen.dropna(subset=[measure]).groupby("layer", sort=False):
            line = _line(lines, measure, str(layer), _colour(layers.index(layer), len(layers)))
            line.update(showlegend=layer in named, name=shortened(str(layer).removeprefix(shared)))
            named.discard(layer)
            figure.add_trace(line, row=row, col=1)
        if measure in LOGARITHMIC:
            figure.update_yaxes(type="log", exponentformat="power", row=row, col=1)
        else:
            figure.update_yaxes(range=[-0.03, 1.03], tickformat=".0%", row=row, col=1)
    figure.update_xaxes(matches="x").update_layout(xaxis_matches=None)  # an axis that matched itself would warn
    figure.update_xaxes(title_text="epoch", row=len(drawn), col=1)
    figure.update_layout(height=figure.layout.height + LINE * min(len(layers), MOST_NAMED))
    return finish(figure, title, source, _note(diagnosis))


def _shared(layers: list[str]) -> str:
    """Return the module that all layers are in, with its dot, such as `network.`; empty if there is none."""
    modules = {layer.partition(".")[0] for layer in layers if "." in layer}
    return f"{modules.pop()}." if len(modules) == 1 and all("." in layer for layer in layers) else ""


def _line(lines: pd.DataFrame, measure: str, layer: str, colour: str) -> Scatter:
    shown = ".3~g" if measure in LOGARITHMIC else ".1%"
    return Scatter(
        x=lines["epoch"],
        y=lines[measure],
        legendgroup=layer,
        mode="lines+markers" if lines["epoch"].nunique() == 1 else "lines",
        line={"color": colour},
        hovertemplate=f"{escaped(layer)}, epoch %{{x}}: %{{y:{shown}}}<extra></extra>",
    )


def _colour(place: int, n_layers: int) -> str:
    if n_layers <= len(SEQUENCE):
        return colour_of(place)
    colour: str = sample_colorscale(DEPTHS, place / (n_layers - 1))[0]
    return colour


def _note(diagnosis: dict[str, Any]) -> str:
    """Count parameters and findings, which the page tells in full."""
    parameters = escaped(str(diagnosis["capacity"]).rsplit("; ", 1)[-1])
    n_findings = len(diagnosis["findings"])
    found = "no finding" if not n_findings else f"{n_findings} finding{'s' * (n_findings > 1)}, told in the diagnosis"
    return f"the first member, {parameters}; {found}"
