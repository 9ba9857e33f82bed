import numpy as np
import optuna
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.options import SECTIONS
from torchlane.pipelines.supervised import create_pipeline

OPTIONS = {
    "training": {"epochs": 60, "learning_rate": 0.02, "batch_size": 8, "patience_epochs": None},
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


def run(rows: pd.DataFrame, task: str, target: str, **options: dict) -> DataCatalog:
    """Run the whole pipeline on a catalog in memory."""
    columns = {"size": {"kind": "number"}, "place": {"kind": "category"}}
    columns.pop(target, None)
    sections = {**OPTIONS, "data": {"task": task, "target": target, "columns": columns}, **options}
    catalog = DataCatalog()
    pipeline = create_pipeline("toy")
    for name in pipeline.datasets():
        catalog[name] = Kept(copy_mode="assign")
    catalog["toy.raw_rows"].save(rows)
    catalog["toy.studies"].save(NoStudies())
    for name in ("toy.checkpoints", "toy.fold_checkpoints", "toy.search_checkpoints"):
        catalog[name].save(NoCheckpoints())
    for name, model in SECTIONS.items():
        if f"params:toy.{name}" in pipeline.inputs():
            catalog[f"params:toy.{name}"].save(model.model_validate(sections.get(name, {})))
    SequentialRunner().run(pipeline, catalog)
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
    catalog = run(toy_rows, task, target)
    metrics = catalog["toy.metrics"].load()
    assert metrics["test"][metric] >= at_least
    assert metrics["test"][metric] > metrics["baseline"][metric]
    assert sum(metrics["rows"].values()) == 60
    assert metrics["data"] == "the table"
    assert len(catalog["toy.history"].load()) == 60
    for figure in ("toy.history_figure", "toy.predictions_figure"):
        assert "the table" in catalog[figure].load().layout.title.text


def test_folds_are_scored_into_the_metrics(toy_rows):
    evaluation = {"folds": 3, "coverage": 0.8, "metrics": {"squares": "torchmetrics.MeanSquaredError"}}
    metrics = run(toy_rows, "regression", "price", evaluation=evaluation)["toy.metrics"].load()
    found = metrics["cross_validation"]
    assert (found["folds"], found["repeats"]) == (3, 1)
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
    tuning = {"trials": 1, "space": space, "epochs": 2, "sampler": "grid"}
    catalog = run(toy_rows, "regression", "price", tuning=tuning, split={"valid_fraction": 0.3})
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


def test_without_a_search_nothing_is_chosen(toy_rows):
    catalog = run(toy_rows, "regression", "price")
    assert catalog["toy.chosen_options"].load() == {"trials": 0, "values": {}}
    assert catalog["toy.leaderboard"].load().empty
    assert "no search" in catalog["toy.search_figure"].load().layout.annotations[0].text


def test_node_names_are_function_names_and_every_node_has_one_stage():
    for node in create_pipeline("toy").nodes:
        assert node.name == f"toy.{node.func.__name__}"
        assert node.tags <= {"prepare", "tune", "train", "evaluate", "report"}
        assert len(node.tags) == 1
