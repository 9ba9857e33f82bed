"""The drift of scored files from the rows of train."""

from typing import Any

from plotly.graph_objects import Figure, Heatmap

from torchlane.figures.style import finish


def plot_drift(drift: dict[str, Any]) -> Figure:
    """Draw the stability index of each column in each file; `drift` is the content of `drift.json`.

    The average index under chance is subtracted. The darkest colour starts at the limit.
    """
    files = drift["files"]
    names = list(dict.fromkeys(name for file in files for name in [*file["columns"], "prediction"]))
    found = [{**file["columns"], "prediction": file.get("prediction")} for file in files]
    excess = [[_excess(each.get(name)) for each in found] for name in names]
    figure = Figure(
        Heatmap(
            x=list(range(len(files))),
            y=names,
            z=excess,
            zmin=0,
            zmax=drift["limits"]["max_psi"],
            colorscale="Reds",
            colorbar_title="index",
            hovertemplate="%{y}: %{z:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(tickvals=list(range(len(files))), ticktext=[file["file"] for file in files], type="linear")
    figure.update_yaxes(autorange="reversed", type="category")  # 2019 may be a column's name
    return finish(figure, "Drift: population stability index beyond chance", f"the latest {len(files)} files scored")


def _excess(measured: dict[str, float] | None) -> float | None:
    return None if measured is None else max(0.0, measured["psi"] - measured["chance"])
