from typing import Any

import numpy as np
import pyarrow as pa

from torchlane.core.scoring import outcomes


def keys_of(values: Any) -> list:
    read = outcomes.read_keys(pa.table({"id": values}), ("id",), "x.csv")
    return read[0].astype(object).where(read[0].notna(), None).tolist()


def test_keys_are_compared_as_values_and_codes_as_they_stand(caplog):
    assert keys_of([" 7", "7.0", "007", "7.5", "", None, "k 1", "true"]) == [
        "7",
        "7",
        "007",
        "7.5",
        None,
        None,
        "k 1",
        "True",
    ]
    assert "x.csv has both '7' and '7.0' in 'id'; they count as the same key" in caplog.text
    assert keys_of(pa.array([True, None])) == ["True", None]
    assert keys_of(pa.array([7.0, 7.5, float("nan"), 2.0**53, float("inf")])) == ["7", "7.5", None, None, None]
    assert keys_of(pa.array([2**53 + 1, None])) == [str(2**53 + 1), None]
    assert keys_of(pa.array(["a", "b"]).dictionary_encode()) == ["a", "b"]
    assert keys_of(pa.array([None, None])) == [None, None]
    assert keys_of(["9.00719925474099E+15", "1E5", "1e+05"]) == [None, "1E5", "100000"]
    assert keys_of(pa.array(np.array(["2025-03-01", "NaT"], dtype="M8[us]"), from_pandas=True)) == ["2025-03-01", None]
