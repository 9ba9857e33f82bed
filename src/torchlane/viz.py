"""What Kedro-Viz draws as boxes: use cases, and the stages within them, with few datasets between.

Kedro-Viz draws a box for each namespace, and outside of it every dataset that another box reads or that none reads. So
stores float beside the boxes as if someone had to supply them, and the reports of a use case stand in a row too long
to be read. Here a dataset is drawn in the box of the node that makes it, or else of the nodes that read it, and only
the few in `BETWEEN` stand outside. A box that is the only one is drawn open.
"""

import functools
import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any

from kedro.pipeline import Pipeline

logger = logging.getLogger(__name__)

ENDS = {"raw_rows", "report"}  # datasets outside of the boxes of use cases
BETWEEN = ENDS | {  # datasets outside of the boxes of stages
    *("model", "metrics"),
    *("new_rows", "parent", "fine_tuned_model", "fine_tuned_metrics"),
}
LAYERS = ("raw", "intermediate", "primary", "feature", "model input", "models", "model output", "reporting")
PACKAGE = "kedro_viz.data_access.managers"


def arrange_boxes() -> None:
    """Let Kedro-Viz, if this is its process, draw boxes in this way, and the layers in the order of their folders.

    It has no setting for that, so functions of its own are replaced. One that a version has not, or whose results it
    keeps otherwise, leaves the boxes as Kedro-Viz draws them, and the log says so.
    """
    managers: Any = sys.modules.get(PACKAGE)
    if managers is None:
        return
    for owner, function, then in (
        ("ModularPipelinesRepository", "populate_tree", _move_datasets),
        ("DataAccessManager", "add_pipeline", _join_boxes),
        ("layers_services", "sort_layers", _sort_layers),
    ):
        _extend(getattr(managers, owner, None), function, then)


def home_of(dataset: str, pipeline: Pipeline) -> str:
    """Name the box that a dataset is drawn in: a stage, a use case, or `""` for outside of all boxes.

    It is that of the node that makes the dataset or, if none does, the smallest one with all nodes that read it.
    Those in `BETWEEN` are drawn outside of stages, and those in `ENDS` outside of use cases.
    """
    makers = [node.namespace or "" for node in pipeline.nodes if dataset in node.outputs]
    readers = [node.namespace or "" for node in pipeline.nodes if dataset in node.inputs]
    box = _common(makers or readers)
    use_case, _, name = dataset.partition(".")
    if name in ENDS:
        return ""
    return use_case if name in BETWEEN and box.startswith(f"{use_case}.") else box


def added_edges(pipeline: Pipeline) -> set[tuple[str, str]]:
    """Return pairs of ids to be joined because of datasets that are read outside of the box they are drawn in.

    A box is joined to the nodes outside that read its datasets, and such a dataset to the boxes of these nodes, so that
    each side may be open or closed. Two boxes are joined if nothing else leads from one to the other.
    """
    import networkx
    from kedro_viz.utils import _hash, _hash_input_output

    kept, between = set(), networkx.DiGraph()
    homes = {name: home_of(name, pipeline) for name in pipeline.datasets()}
    made_in = {name: node.namespace for node in pipeline.nodes for name in node.outputs}
    for node in pipeline.nodes:
        box = node.namespace or ""
        for name in node.inputs:
            home, dataset = homes[name], _hash_input_output(name)
            if _within(box, home):
                between.add_edges_from([(dataset, box)] if made_in.get(name) != box else [])
                continue
            kept |= {(home, _hash(str(node))), (dataset, box)}
            between.add_edge(home, box)
        between.add_edges_from((box, _hash_input_output(name)) for name in node.outputs if homes[name] != box)
    boxes = {node.namespace for node in pipeline.nodes}
    return kept | {pair for pair in networkx.transitive_reduction(between).edges if boxes.issuperset(pair)}


def _within(box: str, other: str) -> bool:
    return other in ("", box) or box.startswith(f"{other}.")


def _common(boxes: Iterable[str]) -> str:
    """Name the smallest box around all of these."""
    shared = []
    for parts in zip(*(box.split(".") for box in boxes), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return ".".join(shared)


def _extend(owner: Any, name: str, then: Callable[..., Any]) -> None:
    """Let a function be followed by `then`, which takes its result and arguments and gives the new result; once."""
    function = getattr(owner, name, None)
    if function is None:
        logger.warning("Kedro-Viz has no %s, so it draws boxes in its own way", name)
        return
    if hasattr(function, "__wrapped__"):
        return

    @functools.wraps(function)
    def extended(*given: Any, **named: Any) -> Any:
        result = function(*given, **named)
        try:
            return then(result, *given, **named)
        except Exception as error:  # of a version that is made otherwise; a drawing is no reason to fail
            logger.warning("Kedro-Viz draws boxes in its own way, since %s failed: %r", then.__name__, error)
            return result

    setattr(owner, name, extended)


def _move_datasets(_: None, repository: Any, pipeline: Pipeline) -> None:
    """Draw each dataset in its home, and name boxes by what they are within the use case."""
    for name in sorted(pipeline.datasets()):
        _move(repository, name, home_of(name, pipeline))
    for name, box in repository.tree.items():
        box.name = name.rpartition(".")[2]
    _open_single_boxes(repository)


def _move(repository: Any, dataset: str, home: str) -> None:
    """Draw a dataset in one box; it enters and leaves only the boxes that stand in the same one."""
    from kedro_viz.constants import ROOT_MODULAR_PIPELINE_ID as ROOT
    from kedro_viz.models.flowchart.model_utils import GraphNodeType
    from kedro_viz.models.flowchart.nodes import ModularPipelineChild
    from kedro_viz.utils import _hash_input_output

    child = ModularPipelineChild(id=_hash_input_output(dataset), type=GraphNodeType.DATA)
    for name, box in repository.tree.items():
        box.children.discard(child)
        if name == home or not _within(name, home):
            box.inputs.discard(child.id)
            box.outputs.discard(child.id)
    repository.tree[home or ROOT].children.add(child)
    repository.node_mod_pipeline_map[child.id] = {home or ROOT}


def _open_single_boxes(repository: Any) -> None:
    """Put what is in a box in its place while it is the only one."""
    from kedro_viz.constants import ROOT_MODULAR_PIPELINE_ID as ROOT

    root = repository.tree[ROOT]
    while len(boxes := [child for child in root.children if child.id in repository.tree]) == 1:
        box = repository.tree.pop(boxes[0].id)
        root.children = (root.children | box.children) - set(boxes)
        for homes in repository.node_mod_pipeline_map.values():
            if box.id in homes:
                homes.discard(box.id)
                homes.add(ROOT)


def _join_boxes(_: None, manager: Any, name: str, pipeline: Pipeline) -> None:
    """Join boxes to what is read outside of them."""
    from kedro_viz.models.flowchart.edge import GraphEdge

    for source, target in added_edges(pipeline):
        manager.edges[name].add_edge(GraphEdge(source=source, target=target))


def _sort_layers(layers: list[str], *_: Any) -> list[str]:
    """Sort the layers as their folders are numbered; Kedro-Viz sorts those that nothing joins by their names."""
    return sorted(layers, key=lambda layer: LAYERS.index(layer) if layer in LAYERS else len(LAYERS))
