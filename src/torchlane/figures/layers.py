"""Measurements inside a network, layer by layer."""

from typing import Any

import pandas as pd
from plotly.graph_objects import Figure, Scatter
from plotly.subplots import make_subplots

from torchlane.figures.style import finish

PANELS = {
    "gradient_norm": "gradient norm",
    "update_ratio": "update a step / weights",
    "dead_share": "dead units",
    "saturated_share": "saturated outputs",
}
LOGARITHMIC = ("gradient_norm", "update_ratio")


def plot_layers(diagnosis: dict[str, Any], source: str) -> Figure:
    """Draw each measure of `diagnosis.json` over epochs, with a line per layer; the title has the findings."""
    seen = pd.DataFrame(diagnosis.get("layers", []), columns=["epoch", "layer", *PANELS])
    drawn = [measure for measure in PANELS if seen[measure].notna().any()]
    figure = make_subplots(rows=1, cols=max(1, len(drawn)), subplot_titles=[PANELS[measure] for measure in drawn])
    for column, measure in enumerate(drawn, start=1):
        for layer, lines in seen.dropna(subset=[measure]).groupby("layer", sort=False):
            figure.add_trace(Scatter(x=lines["epoch"], y=lines[measure], name=layer, mode="lines"), row=1, col=column)
        if measure in LOGARITHMIC:
            figure.update_yaxes(type="log", row=1, col=column)
    figure.update_xaxes(title_text="epoch")
    return finish(figure, f"Diagnosis: {_summary(diagnosis)}<br><sub>{diagnosis['capacity']}</sub>", source)


def _summary(diagnosis: dict[str, Any]) -> str:
    if not diagnosis["enabled"]:
        return "turned off"
    return "; ".join(each["finding"] for each in diagnosis["findings"]) or "nothing found"
