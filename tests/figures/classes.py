"""Tables of predictions of classes."""

import numpy as np
import pandas as pd


def predicted(truths: list[str], chances: dict[str, list[float]]) -> pd.DataFrame:
    """Make the table of predictions from the probabilities of each label."""
    labels, table = list(chances), pd.DataFrame(chances)
    prediction = [labels[place] for place in table.to_numpy().argmax(1)]
    told = pd.DataFrame({"row": range(2, 2 + len(truths)), "truth": truths, "prediction": prediction})
    return pd.concat([told, table.add_prefix("probability_")], axis=1)


def drawn(n_labels: int, n_rows: int, seed: int = 0) -> pd.DataFrame:
    """Draw the table of predictions of many labels, of which the first is never true, nor ever predicted."""
    random = np.random.default_rng(seed)
    truths = random.integers(1, n_labels, n_rows)
    chances = random.random((n_rows, n_labels))
    chances[range(n_rows), truths] += 0.5
    chances[:, 0] = 0
    chances /= chances.sum(1, keepdims=True)
    return predicted([f"l{truth}" for truth in truths], {f"l{place}": chances[:, place] for place in range(n_labels)})
