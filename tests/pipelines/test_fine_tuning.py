import numpy as np
import pytest
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner

from tests.figures.titles import title_of
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.options import SECTIONS
from torchlane.pipelines import fine_tuning

from . import test_supervised
from .test_supervised import Kept

TUNING = {"epochs": 20, "learning_rate": 0.01, "batch_size": 8, "repeats": 2}


class Parents:
    """A parent that was trained in memory."""

    def __init__(self, catalog: DataCatalog):
        self._catalog = catalog

    def model(self, path):
        return self._catalog["toy.model"].load()

    def rows(self, path):
        return self._catalog["toy.splits"].load().merge(self._catalog["toy.clean_rows"].load(), on="row", how="left")


def fine_tune(parent: DataCatalog, rows, task: str, target: str, **options: dict) -> DataCatalog:
    """Run the fine-tuning pipeline on a catalog in memory."""
    columns = {"size": {"kind": "number"}, "place": {"kind": "category"}}
    data = {"task": task, "target": target, "columns": columns}
    sections = {**test_supervised.OPTIONS, "data": data, "fine_tuning": TUNING, **options}
    catalog = DataCatalog()
    pipeline = fine_tuning.create_pipeline("toy")
    for name in pipeline.datasets():
        catalog[name] = Kept(copy_mode="assign")
    catalog["toy.new_rows"].save(rows)
    catalog["toy.parent"].save(Parents(parent))
    for name in ("toy.fine_tuning_checkpoints", "toy.comparison_checkpoints"):
        catalog[name].save(NoCheckpoints())
    for name, model in SECTIONS.items():
        if f"params:toy.{name}" in pipeline.inputs():
            catalog[f"params:toy.{name}"].save(model.model_validate(sections.get(name, {})))
    SequentialRunner().run(pipeline, catalog)
    return catalog


@pytest.mark.parametrize(("task", "target"), [("regression", "price"), ("binary", "kind"), ("multiclass", "kind")])
def test_pipeline_fine_tunes_every_task_and_says_whether_it_paid(toy_rows, task, target):
    parent = test_supervised.run(toy_rows, task, target)
    new = toy_rows.assign(place=toy_rows["place"].replace("sea", "hill"))
    catalog = fine_tune(parent, new, task, target)
    metrics = catalog["toy.fine_tuned_metrics"].load()
    primary = metrics["comparison"]["primary_metric"]
    assert metrics["rows"] == {"train": 36, "valid": 12, "test": 12}
    assert set(metrics["comparison"]["models"]) == {"parent", "scratch", "fine_tuned"}
    assert metrics["comparison"]["repeats"] == 2
    first = catalog["toy.comparison_scores"].load().query("repeat == 0 and model == 'fine_tuned'").iloc[0]
    assert metrics["test"][primary] == pytest.approx(first[primary])
    assert metrics["forgetting"]["rows"] == 9
    own = parent["toy.metrics"].load()["test"][primary]
    assert metrics["forgetting"]["parent"][primary] == pytest.approx(own)
    assert metrics["known_to_parent"] is not None
    predictions = catalog["toy.fine_tuned_predictions"].load()
    model = catalog["toy.fine_tuned_model"].load()
    again = model.predict(new.iloc[predictions["row"] - 1])
    np.testing.assert_array_equal(again["prediction"], predictions["prediction"])
    assert catalog["toy.fine_tuned_history"].load()["epoch"].iloc[0] == 0  # the parent as it is
    for figure in ("fine_tuned_history", "comparison", "fine_tuned_predictions"):
        assert "the table" in title_of(catalog[f"toy.{figure}_figure"].load())


def test_parent_stays_as_it_is(toy_rows):
    parent = test_supervised.run(toy_rows, "regression", "price")
    before = {name: tensor.clone() for name, tensor in parent["toy.model"].load().weights.items()}
    fine_tune(parent, toy_rows, "regression", "price")
    for name, tensor in parent["toy.model"].load().weights.items():
        assert (tensor == before[name]).all()


def test_too_many_rejected_new_rows_stop_the_run(toy_rows):
    parent = test_supervised.run(toy_rows, "regression", "price")
    new = toy_rows.copy()
    new.loc[:20, "price"] = "soon"
    with pytest.raises(ValueError, match="21 of 60 rows are rejected"):
        fine_tune(parent, new, "regression", "price")


def test_node_names_are_function_names_and_every_node_has_one_stage():
    for node in fine_tuning.create_pipeline("toy").nodes:
        assert node.name == f"{node.namespace}.{node.func.__name__}"
        assert {node.namespace.removeprefix("toy.")} == node.tags
        assert node.tags <= {"prepare", "train", "evaluate", "report"}
        assert len(node.tags) == 1
