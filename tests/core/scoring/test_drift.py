import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.core.model.test_trained import train_on
from torchlane.core.options import DriftOptions
from torchlane.core.rows.raw_rows import Chunk
from torchlane.core.rows.samples import draw_rows
from torchlane.core.scoring import drift
from torchlane.core.scoring.chunks import ChunkScorer

LIMITS = DriftOptions.model_validate({"min_rows": 10})


def measure(model, rows: pd.DataFrame, limits: DriftOptions = LIMITS) -> dict:
    scorer = ChunkScorer(model)
    counts = drift.Counts(scorer.profile)
    for start in range(0, len(rows), 25):
        part = rows.iloc[start : start + 25]
        table = pa.Table.from_pandas(part[["size", "place"]], preserve_index=False)
        counts.add(scorer.score(Chunk(np.arange(len(part)) + 1, table)).counts)
    return counts.measure(limits)


@pytest.fixture
def model(toy_rows, toy_data):
    return train_on(toy_rows, toy_data)


def test_stability_index_is_the_sum_of_its_formula():
    expected, actual = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    by_hand = sum((a - e) * np.log(a / e) for a, e in zip(actual, expected, strict=True))
    assert drift.population_stability_index(expected, actual * 1e9) == pytest.approx(by_hand, rel=1e-6)
    assert drift.population_stability_index(expected, expected * 1e9) == pytest.approx(0, abs=1e-9)


def test_train_rows_have_not_drifted(model, toy_rows):
    measured = measure(model, toy_rows)
    assert measured["rows"] == 60
    assert measured["beyond"] == []
    assert all(each["psi"] < 0.05 for each in measured["columns"].values())
    assert measured["prediction"]["psi"] < 0.1


def test_other_sizes_and_their_predictions_are_beyond_the_limit(model, toy_rows):
    measured = measure(model, toy_rows.assign(size=["58"] * 60))
    assert measured["columns"]["size"]["psi"] > 1
    assert [finding.partition(" has ")[0] for finding in measured["beyond"]] == ["'size'", "the predictions"]


def test_unseen_levels_and_missing_values_are_beyond_the_limit(model, toy_rows):
    places = ["moon"] * 20 + [""] * 20 + ["town", "sea"] * 10
    measured = measure(
        model, toy_rows.assign(place=places), DriftOptions(max_psi=100, max_unseen=0.1, max_missing=0.1, min_rows=1)
    )
    assert measured["columns"]["place"]["unseen"] == pytest.approx(1 / 3, abs=1e-3)
    assert measured["columns"]["place"]["missing"] == pytest.approx(1 / 3, abs=1e-3)
    assert measured["beyond"] == [
        "'place' is missing in 33.3% of the rows, in train in 0.8%",
        "'place' is unseen in 33.3% of the rows, in train in 0.8%",
    ]


def test_file_with_fewer_rows_than_the_least_is_never_reported_as_drifted(model, toy_rows):
    drifted = toy_rows.assign(size=["58"] * 60)
    assert measure(model, drifted.head(9))["beyond"] == []
    assert measure(model, drifted.head(10))["beyond"] != []


def test_labels_are_compared_by_their_shares(toy_rows, toy_data):
    classifier = train_on(toy_rows, toy_data.model_copy(update={"task": "binary", "target": "kind"}))
    assert measure(classifier, toy_rows)["prediction"]["psi"] < 0.1
    assert measure(classifier, toy_rows.assign(size=["1"] * 60))["prediction"]["psi"] > 1


@pytest.mark.parametrize("labels", [("0", "1"), ("True", "False"), ("007", "8")])
def test_labels_of_any_type_are_compared(toy_rows, toy_data, labels):
    rows = toy_rows.assign(kind=toy_rows["kind"].map(dict(zip(("dear", "cheap"), labels, strict=True))))
    classifier = train_on(rows, toy_data.model_copy(update={"task": "binary", "target": "kind"}))
    assert set(classifier.details["profile"]["labels"]) == set(labels)
    assert measure(classifier, rows)["prediction"]["psi"] < 0.1
    assert measure(classifier, rows.assign(size=["1"] * 60))["prediction"]["psi"] > 1


def test_summary_of_train_is_small_and_survives_the_file(model, toy_rows, tmp_path):
    import torchlane

    model.save(tmp_path / "model.safetensors")
    again = torchlane.load(tmp_path / "model.safetensors")
    assert measure(again, toy_rows) == measure(model, toy_rows)
    assert again.details["profile"]["rows"] == 60
    assert len(str(again.details["profile"])) < 1000


def test_model_without_a_summary_is_compared_by_its_columns(model, toy_rows):
    from dataclasses import replace

    older = replace(model, details={})
    measured = measure(older, toy_rows.assign(size=["58"] * 60))
    assert "prediction" not in measured
    assert len(measured["beyond"]) == 1


def test_chance_alone_rarely_passes_the_limit():
    """Rows from the distribution of train, with as many levels as the real file has."""
    import yaml

    from tests.commands import PROJECT
    from tests.test_runs import SALARIES
    from torchlane.core.options import DataOptions

    block = yaml.safe_load((PROJECT / "conf/base/parameters/salaries.yml").read_text())["salaries"]
    model = train_on(pd.read_csv(SALARIES, dtype="str"), DataOptions.model_validate(block["data"]), epochs=2)
    scorer = ChunkScorer(model)
    found = []
    for seed in range(1, 11):
        rows = draw_rows("salaries", 300, seed=seed).astype("str")
        counts = drift.Counts(scorer.profile)
        counts.add(scorer.score(Chunk(np.arange(300), pa.Table.from_pandas(rows, preserve_index=False))).counts)
        found += counts.measure(DriftOptions.model_validate({}))["beyond"]
    assert len(found) <= 1, found


@pytest.mark.parametrize(("share_of_chance", "drifted"), [(0.5, False), (1.5, True)])
def test_limit_of_the_index_comes_on_top_of_what_chance_brings(model, toy_rows, share_of_chance, drifted):
    rows = toy_rows.head(20).assign(place=["town"] * 15 + ["village"] * 5)
    place = measure(model, rows)["columns"]["place"]
    limits = DriftOptions(max_psi=place["psi"] - share_of_chance * place["chance"], max_unseen=1, min_rows=1)
    assert any(finding.startswith("'place'") for finding in measure(model, rows, limits)["beyond"]) == drifted


def test_missing_values_and_unseen_levels_count_beyond_those_of_train(toy_rows, toy_data):
    places = (["town"] * 2 + ["sea"] + [""] + ["once"]) * 12
    rare = [f"{place} {row}" if place == "once" else place for row, place in enumerate(places)]
    model = train_on(toy_rows.assign(place=rare), toy_data)
    limits = DriftOptions(max_psi=100, max_unseen=0.1, max_missing=0.1, min_rows=1)
    measured = measure(model, toy_rows.assign(place=places), limits)
    shares = measured["columns"]["place"]
    for name in ("missing", "unseen"):
        assert shares[name] == pytest.approx(0.2, abs=0.001)
        assert shares[f"train_{name}"] == pytest.approx(0.2, abs=0.02)
    assert measured["beyond"] == []
    more = measure(model, toy_rows.assign(place=["", "moon"] * 30), limits)
    assert [finding.partition(" in ")[0] for finding in more["beyond"]] == ["'place' is missing", "'place' is unseen"]
