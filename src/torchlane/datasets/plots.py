"""Kedro's dataset for figures, saved atomically. It stands alone because it imports plotly."""

from kedro.io import DatasetError
from kedro_datasets._typing import PlotlyPreview

from torchlane.datasets.figures_in_viz import fit_into_viz
from torchlane.datasets.previews import plain
from torchlane.datasets.stock import AtomicSave, importing_without

with importing_without("kedro_datasets.plotly.plotly_dataset"):  # it imports plotly.express
    from kedro_datasets import plotly


class PlotlyDataset(AtomicSave, plotly.JSONDataset):
    """plotly.JSONDataset, saved atomically."""

    def preview(self) -> PlotlyPreview:
        """Show the figure, as far as Kedro-Viz can.

        Raises:
            DatasetError: the file holds no figure.
        """
        figure = super().preview()
        if not isinstance(figure, dict):
            raise DatasetError(f"{self._filepath} holds no figure; run the stage report again")
        return PlotlyPreview(plain(fit_into_viz(figure)))
