"""Curves over epochs."""

from typing import Any

import pandas as pd
from plotly.graph_objects import Figure, Scatter

from torchlane.figures.style import COLOURS, escaped, faint, finish, panels

KEPT = "weights kept"


def plot_history(history: pd.DataFrame, source: str) -> Figure:
    """Draw loss and primary metric of train and valid, with the spread over members and the epochs that are kept.

    `history` has a row per epoch, as `history.csv`: means over members. A diamond on the curve of valid (of train
    without one) marks an epoch whose weights some members keep, and an area reaches from the first to the last.

    Raises:
        ValueError: the table comes from an older version, which did not count members.
    """
    if "members_kept" not in history:
        raise ValueError("the history has no column 'members_kept': an older version wrote it; run the stage train")
    metric = next(str(name) for name in history if str(name).startswith("train_") and name != "train_loss")
    metric = metric.removeprefix("train_")
    figure = panels(["loss", metric])
    kept = history[history["members_kept"] > 0]
    for row, curve in enumerate(("loss", metric), start=1):
        drawn = [part for part in ("train", "valid") if history[f"{part}_{curve}"].notna().any()]
        for part in drawn:
            _add_curve(figure, row, part, history, f"{part}_{curve}")
        if drawn and len(kept):
            _mark_kept(figure, row, kept, f"{drawn[-1]}_{curve}")
    figure.update_xaxes(title_text="epoch", row=2, col=1)
    return finish(figure, f"Training: loss and {escaped(metric)}", source, _note(history, kept))


def _add_curve(figure: Figure, row: int, part: str, history: pd.DataFrame, name: str) -> None:
    """Add the line of a part, and its spread as a band."""
    spread, values = history[f"{name}_spread"], history[name]
    shared: dict[str, Any] = {"x": history["epoch"], "legendgroup": part, "mode": "lines"}
    if (spread > 0).any():
        band = {**shared, "line_width": 0, "showlegend": False, "hoverinfo": "skip"}
        figure.add_trace(Scatter(y=values - spread, **band), row=row, col=1)
        figure.add_trace(
            Scatter(y=values + spread, fill="tonexty", fillcolor=faint(COLOURS[part]), **band), row=row, col=1
        )
    n_members = int(history["members"].max())
    training = [
        "" if n_members == 1 else f"<br>{members} of {n_members} members train" for members in history["members"]
    ]
    line = Scatter(
        y=values,
        name=part,
        line_color=COLOURS[part],
        showlegend=row == 1,
        customdata=training,
        hovertemplate=f"{part}, epoch %{{x}}: %{{y:.4~g}}%{{customdata}}<extra></extra>",
        **shared,
    )
    figure.add_trace(line, row=row, col=1)


def _mark_kept(figure: Figure, row: int, kept: pd.DataFrame, name: str) -> None:
    """Mark the kept epochs on a curve, and the range from the first to the last."""
    ends = {"x0": kept["epoch"].min(), "x1": kept["epoch"].max()}
    if len(kept) == 1:
        line = {"color": COLOURS["guide"], "dash": "dot", "width": 1.5}
        figure.add_shape(type="line", **ends, y0=0, y1=1, yref="y domain", line=line, layer="below", row=row, col=1)
    else:
        area = {"fillcolor": faint(COLOURS["guide"]), "line_width": 0, "layer": "below"}
        figure.add_shape(type="rect", **ends, y0=0, y1=1, yref="y domain", **area, row=row, col=1)
    alone = int(kept["members_kept"].sum()) == 1
    points = Scatter(
        x=kept["epoch"],
        y=kept[name],
        mode="markers",
        name=KEPT,
        legendgroup=KEPT,
        showlegend=row == 1,
        marker={"symbol": "diamond", "size": 9, "color": COLOURS["test"], "line": {"width": 1, "color": "white"}},
        text=[
            f"the weights of epoch {epoch} are kept" + ("" if alone else f" by {number} member{'s' * (number > 1)}")
            for epoch, number in zip(kept["epoch"], kept["members_kept"], strict=True)
        ],
        hovertemplate="%{text}<extra></extra>",
    )
    figure.add_trace(points, row=row, col=1)


def _note(history: pd.DataFrame, kept: pd.DataFrame) -> str:
    """Say how to read the figure."""
    n_members = int(history["members"].max())
    first, last = (int(end) for end in (kept["epoch"].min(), kept["epoch"].max())) if len(kept) else (0, 0)
    epochs = f"epoch {first}" if first == last else f"epochs {first} to {last}"
    if n_members == 1:
        return f"the weights of {epochs} are kept"
    return f"mean of {n_members} members and their standard deviation; weights of {epochs} are kept"
