import re

import numpy as np
import optuna
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from sklearn import metrics as sklearn

from tests.figures.titles import title_of
from tests.reporting.made import PLACE
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.calibration import Calibration
from torchlane.core.model.trained import load
from torchlane.core.options import SECTIONS
from torchlane.figures.style import is_words
from torchlane.pipelines.supervised import create_pipeline

STAGES = ("prepare", "tune", "train", "evaluate")
OPTIONS = {
    "training": {"members": 4, "epochs": 60, "learning_rate": 0.02, "batch_size": 8, "patience_epochs": None},
    "model": {"widths": [16]},
    "encoding": {"target": "z_score"},
}


class NoStudies:
    """Searches that end with the process."""

    worker = ""

    def open(self, storage: str | None, identity: dict[str, str]) -> optuna.Study:
        return optuna.create_study(direction="maximize")

    def found(self) -> None:
        return None


class Kept(MemoryDataset):
    """Data in memory that a runner does not drop when the last node has read them."""

    def _release(self) -> None:
        pass


class Facts(Kept):
    """Facts that know the place that they are read from, as those of the catalog do."""

    def load(self) -> dict:
        return {**super().load(), "place": PLACE}


def run(rows: pd.DataFrame, task: str, target: str, report: bool = False, **options: dict) -> DataCatalog:
    """Run the pipeline on a catalog in memory, with its figures and its page if the test looks at them."""
    columns = {"size": {"kind": "number"}, "place": {"kind": "category"}}
    columns.pop(target, None)
    sections = {**OPTIONS, "data": {"task": task, "target": target, "columns": columns}, **options}
    catalog = DataCatalog()
    pipeline = create_pipeline("toy")
    for name in pipeline.datasets():
        catalog[name] = Kept(copy_mode="assign")
    catalog["toy.facts"] = Facts(copy_mode="assign")
    catalog["toy.raw_rows"].save(rows)
    catalog["toy.studies"].save(NoStudies())
    for name in ("toy.checkpoints", "toy.fold_checkpoints", "toy.search_checkpoints"):
        catalog[name].save(NoCheckpoints())
    for name, model in SECTIONS.items():
        if f"params:toy.{name}" in pipeline.inputs():
            catalog[f"params:toy.{name}"].save(model.model_validate(sections.get(name, {})))
    SequentialRunner().run(pipeline if report else pipeline.only_nodes_with_tags(*STAGES), catalog)
    return catalog


@pytest.mark.parametrize(
    ("task", "target", "metric", "at_least"),
    [
        ("regression", "price", "r2_score", 0.9),
        ("binary", "kind", "accuracy_score", 0.75),
        ("multiclass", "kind", "accuracy_score", 0.75),
    ],
)
def test_pipeline_learns_every_task_from_raw_rows_to_figures(toy_rows, task, target, metric, at_least):
    catalog = run(toy_rows, task, target, report=True)
    metrics = catalog["toy.metrics"].load()
    assert metrics["test"][metric] >= at_least
    assert metrics["test"][metric] > metrics["baseline"][metric]
    assert sum(metrics["rows"].values()) == 60
    assert metrics["data"] == "the table"
    assert len(catalog["toy.history"].load()) == 60
    for figure in ("toy.history_figure", "toy.predictions_figure"):
        assert "the table" in title_of(catalog[figure].load())


def test_folds_that_cannot_be_made_are_refused_before_anything_is_trained(toy_rows, monkeypatch):
    for place in ("search.search.choose_options", "model.learning.train_model", "model.learning.train_models"):
        monkeypatch.setattr(f"torchlane.core.{place}", lambda *_, **__: pytest.fail("a training"))
    with pytest.raises(ValueError, match="evaluation.folds 61 is more than the 60 rows that differ"):
        run(toy_rows, "regression", "price", evaluation={"folds": 61})


def test_folds_are_scored_into_the_metrics(toy_rows):
    evaluation = {"folds": 3, "coverage": 0.8, "metrics": {"squares": "torchmetrics.MeanSquaredError"}}
    metrics = run(toy_rows, "regression", "price", evaluation=evaluation)["toy.metrics"].load()
    found = metrics["cross_validation"]
    assert (found["folds"], found["repeats"]) == (3, 1)
    assert "split" not in metrics and "order_by" not in found
    assert found["r2_score"]["low"] < found["r2_score"]["mean"] < found["r2_score"]["high"]
    assert metrics["calibration"]["coverage_asked"] == 0.8
    assert found["squares_error"]["mean"] > 0
    for part in ("train", "valid", "test", "baseline"):
        own = metrics[part]
        assert own["squares_error"] == pytest.approx(own["root_mean_squared_error"] ** 2)
    assert run(toy_rows, "regression", "price")["toy.metrics"].load()["cross_validation"] == {}


def test_encoder_learns_from_train_alone(toy_rows):
    splits = run(toy_rows, "regression", "price")["toy.splits"].load()
    test_rows = splits.loc[splits["part"] == "test", "row"] - 1
    rows = toy_rows.copy()
    rows.loc[test_rows, "size"] = "1000000"
    rows.loc[test_rows, "place"] = "only here"
    encoder = run(rows, "regression", "price", split={"seed": 0})["toy.encoder"].load()
    train_sizes = toy_rows.loc[splits.loc[splits["part"] == "train", "row"] - 1, "size"].astype(float)
    size, place = encoder.columns
    assert size.median == np.median(train_sizes)
    assert "only here" not in place.levels


def test_rejected_rows_are_set_apart_and_the_run_goes_on(toy_rows):
    toy_rows.loc[4, "price"] = "soon"
    catalog = run(toy_rows, "regression", "price")
    assert catalog["toy.rejected_rows"].load().to_dict("records") == [
        {"row": 5, "column": "price", "value": "soon", "rule": "a number"}
    ]
    assert 5 not in catalog["toy.splits"].load()["row"].to_list()
    assert sum(catalog["toy.metrics"].load()["rows"].values()) == 59


def test_search_reaches_encoder_model_and_report(toy_rows):
    space = {"encoding.numbers": {"choices": ["min_max"]}, "model.widths": {"choices": [[24]]}}
    tuning = {"trials": 1, "space": space, "epochs": 2, "sampler": "grid", "keep_given": False}
    catalog = run(toy_rows, "regression", "price", tuning=tuning, split={"valid_fraction": 0.3}, report=True)
    model = catalog["toy.model"].load()
    assert model.encoder == catalog["toy.encoder"].load()
    assert model.encoder.columns[0].encoding == "min_max"
    assert model.model.widths == (24,)
    assert model.training.epochs == 60
    tensors = catalog["toy.train_tensors"].load().tensors[0]
    assert (tensors[:, 0].min(), tensors[:, 0].max()) == (0, 1)
    chosen = catalog["toy.chosen_options"].load()
    assert chosen["values"] == {"encoding.numbers": "min_max", "model.widths": [24]}
    assert catalog["toy.leaderboard"].load()["trial"].tolist() == [0]
    assert "1 trials" in catalog["toy.search_figure"].load().layout.title.text


def test_every_run_fits_a_baseline_and_says_what_it_warns_of(toy_rows):
    rows = toy_rows.assign(copy=toy_rows["price"])
    columns = {"size": {"kind": "number"}, "copy": {"kind": "number"}}
    data = {"task": "regression", "target": "price", "columns": columns}
    catalog = run(rows, "regression", "price", data=data, split={"test_fraction": 0.05, "valid_fraction": 0.05})
    assert catalog["toy.baselines"].load()["linear"]["name"] == "ridge regression"
    found = catalog["toy.warnings"].load()
    codes = [each["code"] for each in found["warnings"]]
    assert codes[0] == "leak"
    assert found["warnings"][0]["column"] == "copy"
    assert "small-test" in codes
    assert found["not_checked"]["search-at-edge"] == "no search"


def test_a_search_that_ends_at_the_edge_of_its_space_is_warned_of(toy_rows):
    space = {"training.learning_rate": {"low": 1e-6, "high": 0.02, "log": True}}
    tuning = {"trials": 10, "space": space, "epochs": 3, "sampler": "grid", "grid_points": 9, "prune_epochs": None}
    catalog = run(toy_rows, "regression", "price", tuning=tuning, split={"valid_fraction": 0.3})
    found, chosen = catalog["toy.warnings"].load(), catalog["toy.chosen_options"].load()
    assert (chosen["values"], chosen["said"][:23]) == ({}, "kept the options given:")
    (warning,) = [each for each in found["warnings"] if each["code"] == "search-at-edge"]
    assert warning["numbers"]["options"]["training.learning_rate"]["side"] == "high"


def test_a_search_that_keeps_the_options_given_changes_nothing_and_is_told_of(toy_rows):
    asked = {"tuning": {"trials": 1, "epochs": 2}, "split": {"valid_fraction": 0.3}}
    catalog = run(toy_rows, "regression", "price", report=True, **asked)
    assert catalog["toy.chosen_options"].load()["values"] == {}
    assert catalog["toy.recipe"].load().trials == 0
    shown = " ".join(re.sub(r"<[^>]*>", " ", catalog["toy.search_figure"].load().layout.title.text).split())
    assert "the search kept the options given: they alone were tried" in shown


def test_without_a_search_nothing_is_chosen(toy_rows):
    catalog = run(toy_rows, "regression", "price", report=True)
    assert catalog["toy.chosen_options"].load() == {"trials": 0, "values": {}}
    assert catalog["toy.leaderboard"].load().empty
    assert is_words(catalog["toy.search_figure"].load())


def test_node_names_are_function_names_and_every_node_that_makes_something_has_one_stage():
    for node in create_pipeline("toy").nodes:
        assert node.name == f"{node.namespace}.{node.func.__name__}"
        assert node.namespace.removeprefix("toy.") in node.tags
        assert node.tags <= {"prepare", "tune", "train", "evaluate", "report"}
        assert len(node.tags) == 1 or not node.outputs


def test_folds_keep_the_positive_label_of_the_model(toy_rows, monkeypatch):
    fitted = []
    plain = TargetEncoder.of_labels.__func__

    def noted(cls, *arguments):
        fitted.append(plain(cls, *arguments))
        return fitted[-1]

    monkeypatch.setattr(TargetEncoder, "of_labels", classmethod(noted))
    halves = toy_rows.assign(kind=["a", "b"] * 29 + ["a", "a"])  # the rarer label differs from part to part
    training = {**OPTIONS["training"], "epochs": 1}
    catalog = run(halves, "binary", "kind", evaluation={"folds": 5}, training=training, split={"stratify": False})
    encoder = catalog["toy.encoder"].load()
    assert len(fitted) == 6
    assert (
        {each.positive for each in fitted} == {encoder.target.positive} == {catalog["toy.metrics"].load()["positive"]}
    )
    assert len({each.counts[0] < each.counts[1] for each in fitted}) == 2


def with_weights(rows: pd.DataFrame) -> pd.DataFrame:
    """Raw rows that count from 0 to 3 times."""
    return rows.assign(times=[str(number % 4) for number in range(len(rows))])


def test_weights_of_rows_reach_tensors_training_and_metrics(toy_rows):
    data = {"columns": {"size": {"kind": "number"}, "place": {"kind": "category"}}, "weight": "times"}
    data |= {"task": "regression", "target": "price"}
    rows = with_weights(toy_rows)
    catalog = run_quick(rows, report=True, data=data, evaluation={"folds": 2}, split={"valid_fraction": 0.3})
    metrics, model = catalog["toy.metrics"].load(), catalog["toy.model"].load()
    assert metrics["weight"] == "times" and metrics["rows"] == {"train": 33, "valid": 18, "test": 9}
    assert list(model.encoder.feature_names) == list(run_quick(toy_rows)["toy.encoder"].load().feature_names)

    predictions = catalog["toy.test_predictions"].load()
    weights = rows["times"].astype(float).to_numpy()[predictions["row"] - 1]
    truth, predicted = predictions["truth"], predictions["prediction"]
    assert metrics["test"]["r2_score"] == pytest.approx(sklearn.r2_score(truth, predicted, sample_weight=weights))
    error = sklearn.mean_absolute_error(truth, predicted, sample_weight=weights)
    assert metrics["test"]["mean_absolute_error"] == pytest.approx(error)
    covered = truth.between(predictions["low"], predictions["high"])
    assert metrics["calibration"]["coverage"] == pytest.approx(np.average(covered, weights=weights))

    splits = catalog["toy.splits"].load()
    train = rows.iloc[splits.loc[splits["part"] == "train", "row"] - 1]
    constant = np.average(train["price"].astype(float), weights=train["times"].astype(float))
    error = sklearn.mean_absolute_error(truth, np.full(len(truth), constant), sample_weight=weights)
    assert metrics["baseline"]["mean_absolute_error"] == pytest.approx(error)
    tensors = catalog["toy.train_tensors"].load().tensors
    assert tensors[2].tolist() == train["times"].astype(float).tolist()
    assert metrics["valid"]["loss"] == pytest.approx(model.details["metrics"]["valid_loss"], rel=1e-5)

    title = title_of(catalog["toy.history_figure"].load())
    assert "the table, rows weighted by 'times'" in title
    assert len(model.predict(toy_rows)) == 60  # which have no weights
    assert metrics["cross_validation"]["r2_score"]["mean"] < 1


QUICK = {"epochs": 3, "learning_rate": 0.02, "batch_size": 8, "patience_epochs": None, "members": 2}


def run_quick(rows: pd.DataFrame, task: str = "regression", target: str = "price", **options: dict) -> DataCatalog:
    return run(rows, task, target, **{"training": QUICK, **options})


@pytest.mark.parametrize("target", ["kind", "place"])
def test_weights_of_labelled_rows_reach_constant_balance_and_temperature(toy_rows, target):
    task = "binary" if target == "kind" else "multiclass"
    columns = {name: {"kind": kind} for name, kind in {"size": "number", "place": "category"}.items() if name != target}
    data = {"task": task, "target": target, "columns": columns, "weight": "times"}
    rows = with_weights(toy_rows).assign(times=lambda each: (each[target] == each[target].iloc[0]) * 7 + 1)
    catalog = run_quick(rows, data=data, training={**QUICK, "loss": {"class_weights": "balanced"}})
    metrics, model = catalog["toy.metrics"].load(), catalog["toy.model"].load()

    splits = catalog["toy.splits"].load()
    train, test = (rows.iloc[splits.loc[splits["part"] == part, "row"] - 1] for part in ("train", "test"))
    by_label = train.groupby(target)["times"].sum()[list(model.encoder.target.labels)]
    assert model.encoder.target.weights == pytest.approx((by_label / train["times"].mean()).tolist())
    shares = by_label / by_label.sum()
    expected = np.average(-np.log(shares[test[target]]), weights=test["times"])
    assert metrics["baseline"]["cross_entropy_loss"] == pytest.approx(expected)
    assert metrics["valid"]["loss"] == pytest.approx(model.details["metrics"]["valid_loss"], rel=1e-5)

    _, targets, weights = catalog["toy.valid_tensors"].load().tensors
    outputs = catalog["toy.valid_outputs"].load()  # of the weights that have not seen valid
    probabilities = model.predictions_of(outputs).mean(0)
    expected = Calibration.of_probabilities(probabilities, targets.flatten().long(), weights)
    unweighted = Calibration.of_probabilities(probabilities, targets.flatten().long())
    assert model.calibration == expected != unweighted


def test_search_compares_trials_by_the_weighted_metric(toy_rows):
    columns = {"size": {"kind": "number"}, "place": {"kind": "category"}}
    data = {"task": "regression", "target": "price", "columns": columns, "weight": "times"}
    space = {"encoding.numbers": {"choices": ["min_max"]}}
    tuning = {"trials": 1, "space": space, "epochs": 2, "sampler": "grid", "keep_given": False}
    options = {"tuning": tuning, "split": {"valid_fraction": 0.3}}
    found = {}
    for name, rows in {"drawn": with_weights(toy_rows), "equal": toy_rows.assign(times="2")}.items():
        found[name] = run_quick(rows, data=data, **options)["toy.chosen_options"].load()
    found["none"] = run_quick(toy_rows, **options)["toy.chosen_options"].load()
    scores = {name: chosen["valid_r2_score"] for name, chosen in found.items()}
    assert scores["equal"] == pytest.approx(scores["none"], abs=1e-5)
    assert abs(scores["drawn"] - scores["none"]) > 1e-3
    assert len({chosen["data_fingerprint"] for chosen in found.values()}) == 3


@pytest.mark.parametrize("target", ["kind", "place"])
def test_equal_weights_give_the_metrics_of_no_weights(toy_rows, target):
    task = "binary" if target == "kind" else "multiclass"
    columns = {name: {"kind": kind} for name, kind in {"size": "number", "place": "category"}.items() if name != target}
    data = {"task": task, "target": target, "columns": columns}
    loss = {**QUICK, "loss": {"class_weights": "balanced"}}
    plain = run_quick(toy_rows, data=data, training=loss)["toy.metrics"].load()
    rows = toy_rows.assign(times="0.3")
    equal = run_quick(rows, data={**data, "weight": "times"}, training=loss)["toy.metrics"].load()
    assert equal.pop("weight") == "times" and "weight" not in plain
    for part in ("train", "valid", "test", "baseline", "calibration"):
        assert equal[part] == pytest.approx(plain[part], abs=1e-4), part


def test_nothing_without_weights_speaks_of_them(toy_rows):
    catalog = run_quick(toy_rows)
    assert all(len(catalog[f"toy.{part}_tensors"].load().tensors) == 2 for part in ("train", "valid", "test"))
    assert "weight" not in catalog["toy.metrics"].load()
    model = catalog["toy.model"].load()
    for part in (model.encoder, model.data, model.calibration):
        assert "weight" not in (written := part.model_dump(mode="json")) and "reached" not in written
    assert "weights" not in model.encoder.model_dump(mode="json")["target"]


def test_model_with_weights_reads_back_to_the_same_intervals(toy_rows, tmp_path):
    columns = {"size": {"kind": "number"}, "place": {"kind": "category"}}
    data = {"task": "regression", "target": "price", "columns": columns, "weight": "times"}
    model = run_quick(with_weights(toy_rows), data=data)["toy.model"].load()  # 7 rows of valid count, too few for 0.9
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.calibration == model.calibration and again.calibration.reached
    assert (again.encoder, again.data) == (model.encoder, model.data)
    pd.testing.assert_frame_equal(again.predict(toy_rows, coverage=0.5), model.predict(toy_rows, coverage=0.5))


FIGURES_OF_TEST = ("predictions", "residuals", "reliability", "roc", "precision_recall", "thresholds")


@pytest.mark.parametrize(("task", "target"), [("regression", "price"), ("binary", "kind"), ("multiclass", "place")])
def test_without_test_rows_figures_of_them_are_words_and_the_others_are_drawn(toy_rows, task, target):
    catalog = run(toy_rows, task, target, split={"test_fraction": 0}, training={"epochs": 1}, report=True)
    figures = {name: catalog[f"toy.{name}_figure"].load() for name in (*FIGURES_OF_TEST, "distributions")}
    assert [name for name, figure in figures.items() if not is_words(figure)] == ["distributions"]


def test_metrics_and_log_say_that_test_is_unlike_train_where_the_split_makes_it_so(toy_rows, caplog):
    caplog.set_level("INFO")
    brief = {"training": {"epochs": 2, "members": 2}, "diagnosis": {"enabled": False}}
    dated = toy_rows.assign(sold=pd.date_range("2024-01-01", periods=60).strftime("%Y-%m-%d"))
    columns = {"size": {"kind": "number"}, "place": {"kind": "category"}, "sold": {"kind": "date"}}
    data = {"task": "regression", "target": "price", "columns": columns, "features": ["size", "place"]}
    ordered = run(dated, "regression", "price", data=data, split={"order_by": "sold"}, evaluation={"folds": 2}, **brief)
    metrics = ordered["toy.metrics"].load()
    assert metrics["split"] == {"order_by": "sold"} and metrics["cross_validation"]["order_by"] == "sold"
    assert "; test is later than train and valid by 'sold'" in caplog.text
    assert ordered["toy.test_predictions"].load()["row"].tolist() == list(range(52, 61))
    assert ordered["toy.data_summary"].load()["periods"]["test"] == ["2024-02-21", "2024-02-29"]
    grouped = run(dated, "regression", "price", split={"group_by": ["size"]}, **brief)["toy.metrics"].load()
    assert grouped["split"] == {"group_by": ["size"]}
    assert "; no group of test by 'size' is in train or valid" in caplog.text
