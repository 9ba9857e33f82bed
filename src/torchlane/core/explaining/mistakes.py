"""The rows of test on which a model is wrong by most."""

import numpy as np
import pandas as pd

from torchlane.core.options import DataOptions
from torchlane.core.rows.checking import ROW

MOST = 20


def list_mistakes(test_predictions: pd.DataFrame, clean_rows: pd.DataFrame, data: DataOptions) -> pd.DataFrame:
    """List the rows of test with the largest errors, the largest first, with their raw features.

    The columns are `row`, `truth`, `prediction`, `error`, and the features unless they are images. A feature that has
    the name of one of the first four has `(feature)` behind it. The error is the absolute one in the units of the
    target, or for labels 1 minus the probability of the true one, so that a confident mistake is larger than a narrow
    one. Equal errors stand in the order of rows.
    """
    error = _errors(test_predictions, data)
    largest = np.lexsort([test_predictions[ROW].to_numpy(), -error])[:MOST]
    mistakes = test_predictions.iloc[largest][[ROW, "truth", "prediction"]].assign(error=error[largest])
    names = [name for name, column in data.feature_columns.items() if column.kind != "image"]
    features = clean_rows.set_index(ROW).loc[mistakes[ROW], names].reset_index(drop=True)
    features = features.rename(columns={name: f"{name} (feature)" for name in names if name in mistakes})
    return pd.concat([mistakes.reset_index(drop=True), features], axis=1)


def _errors(predictions: pd.DataFrame, data: DataOptions) -> np.ndarray:
    """Compute the error of each row, float64 (n_rows,); truth and prediction may be text, as read back from a file."""
    if data.task == "regression":
        return (predictions["prediction"].astype("float64") - predictions["truth"].astype("float64")).abs().to_numpy()
    names = pd.Index([name for name in map(str, predictions) if name.startswith("probability_")])
    where = names.get_indexer(pd.Index([f"probability_{label}" for label in predictions["truth"]], dtype=object))
    probabilities = predictions[list(names)].to_numpy(np.float64)
    return 1 - probabilities[np.arange(len(probabilities)), where]
