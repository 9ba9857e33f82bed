"""Labels come back as they stand in the file."""

import numpy as np
import pandas as pd
import pytest

from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.model.profile import summarise_training
from torchlane.core.options import DataOptions, EncodingOptions
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.splits import rows_of

SPELT = {  # labels as in the file, and as they come back
    "whole": (["1", "2", "3"], [1, 2, 3]),
    "floats": (["1.0", "2.0", "3.0"], [1.0, 2.0, 3.0]),
    "one float": (["1.0", "2", "3"], ["1.0", "2", "3"]),
    "two decimals": (["1.00", "2.00"], ["1.00", "2.00"]),
    "powers": (["1e-05", "1e+16"], ["1e-05", "1e+16"]),
    "midnights": (["2024-02-01 00:00:00", "2024-03-01 00:00:00"], ["2024-02-01 00:00:00", "2024-03-01 00:00:00"]),
    "negative zero": (["-0", "1"], ["-0", "1"]),
    "text": (["b ", "a"], ["b", "a"]),
    "booleans": (["TRUE", "false"], [True, False]),
    "zeros": (["007", "010"], ["007", "010"]),
    "two spellings of one": (["1", "1.0", "2"], [1, 1, 2]),
}


def encoder_of(labels: list[str]) -> tuple[Encoder, pd.DataFrame]:
    raw = pd.DataFrame({"x": [str(number) for number in range(12)], "y": [labels[n % len(labels)] for n in range(12)]})
    data = DataOptions.model_validate({"task": "multiclass", "target": "y", "columns": {"x": {"kind": "number"}}})
    clean, _ = check_rows(raw.astype("str"), data)
    train = rows_of("train", clean, pd.DataFrame({"row": clean["row"], "part": "train"}))
    return fit_encoder(train, data, EncodingOptions()), clean


@pytest.mark.parametrize(("labels", "back"), SPELT.values(), ids=SPELT)
def test_labels_come_back_as_they_stand_in_the_file_also_from_a_file_of_the_encoder(labels, back):
    encoder, clean = encoder_of(labels)
    for each in (encoder, Encoder.model_validate_json(encoder.model_dump_json())):
        restored = each.target.restore(clean["y"][: len(labels)])
        assert restored.tolist() == back
        assert [type(value) for value in restored.tolist()] == [type(value) for value in back]
        assert (each.target.label_index(clean["y"]) >= 0).all()


@pytest.mark.parametrize("labels", [each for each, _ in SPELT.values()], ids=SPELT)
def test_profile_counts_every_prediction_however_its_label_is_spelt(labels):
    target = encoder_of(labels)[0].target
    predictions = pd.Series(target.restore(target.labels)[np.arange(20) % len(target.labels)])
    summary = summarise_training(12, predictions, target.labels)
    assert sum(summary["labels"].values()) == 20
    assert set(summary["labels"]) == set(target.labels)


def test_encoder_of_labels_that_are_spelt_alike_has_no_trace_of_spellings():
    assert "written" not in encoder_of(["a", "b"])[0].target.model_dump()
