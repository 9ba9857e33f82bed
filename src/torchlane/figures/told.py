"""What a table of predictions tells, read the same way by all figures."""

import numpy as np
import pandas as pd

PROBABILITY = "probability_"
NO_ROWS = "The test part has no rows, so nothing can be drawn of it; set split.test_fraction above 0."
NOT_CLASSES = "This is drawn for classes only; the target is a number."


def known_labels(test_predictions: pd.DataFrame) -> list[str]:
    """List the labels that the model knows, in its order; there are none if it predicts numbers."""
    return [str(name).removeprefix(PROBABILITY) for name in test_predictions if str(name).startswith(PROBABILITY)]


def texts(test_predictions: pd.DataFrame, name: str) -> np.ndarray:
    """Give `truth` or `prediction` of classes as text, an array of objects (n_rows,)."""
    return test_predictions[name].map(str).to_numpy(object)


def probabilities(test_predictions: pd.DataFrame) -> np.ndarray:
    """Give the probabilities of the known labels, float64 (n_rows, n_labels)."""
    return test_predictions[[f"{PROBABILITY}{label}" for label in known_labels(test_predictions)]].to_numpy(np.float64)


def evenly(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """Select at most `most` rows at even distances."""
    if len(table) <= most:
        return table
    return table.iloc[np.linspace(0, len(table) - 1, most).round().astype(np.int64)]
