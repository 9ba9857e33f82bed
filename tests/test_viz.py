"""What Kedro-Viz draws, computed by Kedro-Viz in the test's process."""

import os
import subprocess
import sys
import warnings
from itertools import chain, combinations, pairwise
from types import SimpleNamespace

import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from torchlane.lineage import STAGES
from torchlane.pipeline_registry import KINDS, compose
from torchlane.quiet import ignore_warnings
from torchlane.viz import BETWEEN, ENDS, LAYERS, arrange_boxes, home_of

from .commands import PROJECT

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Kedro-Viz uses what others deprecate
    from kedro_viz.data_access.managers import DataAccessManager
    from kedro_viz.models.flowchart.nodes import ParametersNode
    from kedro_viz.services import layers_services

ROOT = "__root__"


class Drawing:
    """A pipeline as Kedro-Viz draws it, with some of its boxes open."""

    def __init__(self, pipeline: Pipeline):
        arrange_boxes()
        manager = DataAccessManager()
        manager.add_catalog(DataCatalog(), {"drawn": pipeline})
        manager.add_pipelines({"drawn": pipeline})
        self.tree = manager.create_modular_pipelines_tree_for_registered_pipeline("drawn")
        self._nodes = manager.nodes.as_dict()
        self._edges = [(edge.source, edge.target) for edge in manager.edges["drawn"]]

    def visible(self, *opened: str) -> dict[str, str]:
        """Name what is seen, by its id; boxes stand in brackets, and options are left out."""
        found, waiting = {}, [ROOT]
        while waiting:
            for child in self.tree[waiting.pop()].children:
                if child.id in opened:
                    waiting.append(child.id)
                elif not isinstance(self._nodes[child.id], ParametersNode):
                    found[child.id] = f"[{child.id}]" if child.id in self.tree else self._nodes[child.id].name
        return found

    def edges(self, *opened: str) -> set[tuple[str, str]]:
        """Name the ends of what joins them."""
        seen = self.visible(*opened)
        return {(seen[source], seen[target]) for source, target in self._edges if source in seen and target in seen}


def test_use_case_opens_as_a_line_of_its_stages():
    edges = Drawing(compose("zoo", "")).edges()
    line = ["raw_rows", "prepare]", "tune]", "train]", "model", "evaluate]", "metrics", "report]"]
    names = [f"[zoo.{name}" if name.endswith("]") else f"zoo.{name}" for name in line]
    assert edges >= set(pairwise(names))
    assert edges - set(pairwise(names)) == {("[zoo.report]", "zoo.report"), ("zoo.model", "[zoo.report]")}


def test_all_use_cases_open_as_a_box_each():
    drawing = Drawing(Pipeline([compose("zoo", ""), compose("digits", "")]))
    ends = {f"{name}.{end}" for name in ("zoo", "digits") for end in ENDS}
    assert {"[zoo]", "[digits]"} <= set(drawing.visible().values()) <= {"[zoo]", "[digits]"} | ends
    assert {("zoo.raw_rows", "[zoo]"), ("digits.raw_rows", "[digits]")} <= drawing.edges()
    assert {f"[zoo.{stage}]" for stage in STAGES} <= set(drawing.visible("zoo").values())


@pytest.mark.parametrize("kind", ["", ".fine_tune", ".predict"])
def test_stage_box_holds_what_its_nodes_alone_use_and_what_they_make(kind):
    pipeline = compose("zoo", kind)
    for name in (name for name in pipeline.datasets() if name.partition(".")[2] not in BETWEEN):
        makers = {node.namespace for node in pipeline.nodes if name in node.outputs}
        readers = {node.namespace for node in pipeline.nodes if name in node.inputs}
        boxes = makers or readers
        assert home_of(name, pipeline) == (boxes.pop() if len(boxes) == 1 else "zoo"), name


@pytest.mark.parametrize("kind", ["", ".fine_tune", ".predict"])
def test_whichever_boxes_are_open_all_is_joined_to_what_it_is_made_from(kind):
    drawing = Drawing(compose("zoo", kind))
    stages = [name for name in drawing.tree if name != ROOT]
    read, made = ({pair[end] for pair in drawing.edges(*stages)} for end in (0, 1))
    for opened in chain.from_iterable(combinations(stages, count) for count in range(len(stages))):
        sources, reached = ({pair[end] for pair in drawing.edges(*opened)} for end in (0, 1))
        shown = {each for each in drawing.visible(*opened).values() if not each.startswith("[")}
        assert shown & made <= reached and shown & read <= sources, opened


def test_no_layer_leads_back_to_an_earlier_one():
    bootstrap_project(PROJECT)
    with KedroSession.create(PROJECT) as session:
        catalog = session.load_context().catalog
    for node in Pipeline([pipelines[f"zoo{kind}"] for kind in KINDS]).nodes:
        taken, made = (
            [
                catalog[name].metadata["kedro-viz"]["layer"]
                for name in names
                if not name.startswith("params:") and name != "zoo.scored"
            ]
            for names in (node.inputs, node.outputs)
        )
        assert all(LAYERS.index(before) <= LAYERS.index(after) for before in taken for after in made), node.name


def test_kedro_viz_that_is_made_otherwise_draws_in_its_own_way_and_the_log_says_so(monkeypatch, caplog):
    class Repository:
        def populate_tree(self, pipeline):
            return "its own"

    monkeypatch.setitem(sys.modules, "kedro_viz.data_access.managers", SimpleNamespace())
    arrange_boxes()
    assert [name for name in ("populate_tree", "add_pipeline", "sort_layers") if name in caplog.text] == [
        "populate_tree",
        "add_pipeline",
        "sort_layers",
    ]
    caplog.clear()
    others = SimpleNamespace(ModularPipelinesRepository=Repository)
    monkeypatch.setitem(sys.modules, "kedro_viz.data_access.managers", others)
    arrange_boxes()
    assert Repository().populate_tree(compose("zoo", "")) == "its own"
    assert "no attribute 'tree'" in caplog.text


def test_layers_that_nothing_joins_stand_in_the_order_of_their_folders():
    arrange_boxes()
    nodes = {layer: SimpleNamespace(layer=layer) for layer in reversed(LAYERS)}
    assert layers_services.sort_layers(nodes, dict.fromkeys(nodes, ())) == list(LAYERS)


def test_deprecations_of_kedro_are_hidden_here_and_in_later_processes_and_warnings_of_nodes_are_not(monkeypatch):
    monkeypatch.setenv("PYTHONWARNINGS", "always::FutureWarning")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ignore_warnings()
        for text in ("register_new_resolver() is deprecated", "prices of 1900 are not in dollars"):
            warnings.warn_explicit(text, UserWarning, "node.py", 1, module="kedro.pipeline.node")
    assert [str(each.message) for each in caught] == ["prices of 1900 are not in dollars"]
    texts = ("register_new_resolver() is deprecated and will go", "ORJSONResponse is deprecated, …", "mine")
    program = f"import warnings; [warnings.warn(text) for text in {texts}]; warnings.warn('later', FutureWarning)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ.copy())
    shown = [line.partition("Warning: ")[2] for line in done.stderr.splitlines() if "Warning: " in line]
    assert shown == ["mine", "later"]
