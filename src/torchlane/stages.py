"""A stage may use artifacts of earlier runs only if they belong together."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.pipeline import Node, Pipeline
from pydantic import BaseModel

from torchlane.datasets.paths import shown
from torchlane.lineage import STAGES, Lineage, Record, Values

logger = logging.getLogger(__name__)

WITHOUT_EFFECT = {  # options that do not change the content of an artifact
    *("data.max_rejected_fraction", "evaluation.costs"),
    *("training.device", "training.threads", "training.checkpoint_minutes", "training.checkpoint_epochs"),
    *("fine_tuning.parent", "fine_tuning.repeats"),  # for the parent, its content is compared
}
MADE_INTO_RECIPE = ("encoding", "model", "training")  # sections that the nodes of train take as one recipe
TAKEN = {  # options of fine-tuning that have an effect on a node, if only some of them do
    "check_new_rows": {"fine_tuning.head", "fine_tuning.source", "fine_tuning.digest"},
    "split_new_rows": {"fine_tuning.valid_fraction", "fine_tuning.test_fraction", "fine_tuning.seed"},
}


class LineageHooks:
    """Keep the records during a run, and refuse to run a node on artifacts that do not belong together."""

    def __init__(self) -> None:
        self._node = threading.local()  # a runner's thread works on one node at a time

    @hook_impl
    def before_node_run(self, node: Node, catalog: Any, inputs: Mapping[str, Any]) -> None:
        self._node.made = None
        if not _is_of_training(node):
            return
        lineage = Lineage(use_case_of(node), catalog)
        options = options_of([node], catalog.load)
        artifacts = _artifacts(inputs)
        _require_agreement(lineage, artifacts, options, [node], frozenset())
        known = [record.options for record in lineage.records(artifacts).values()]
        merged = {name: value for each in (*known, options) for name, value in each.items()}
        self._node.lineage = lineage
        self._node.made = Record(stage=_stage_of(node), made_from=lineage.ancestry(artifacts), options=merged)

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, node: Node) -> None:
        if getattr(self._node, "made", None) is not None:
            self._node.lineage.begin(_artifact(dataset_name), self._node.made)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        if getattr(self._node, "made", None) is not None:
            self._node.lineage.end(_artifact(dataset_name), self._node.made)


def use_case_of(node: Node) -> str:
    """Name the use case of a node: the first part of its namespace, which the stage follows; empty if it has none."""
    return (node.namespace or "").partition(".")[0]


def check_run(pipeline: Pipeline, catalog: Any) -> None:
    """Check what a run takes from earlier runs, before it changes anything.

    Raises:
        ValueError: an artifact is missing, or artifacts do not belong together; the message names the stage to run
            again.
    """
    for use_case in sorted({use_case_of(node) for node in pipeline.nodes if _is_of_training(node)}):
        nodes = [node for node in pipeline.nodes if use_case_of(node) == use_case and _is_of_training(node)]
        own = Pipeline(nodes)
        _require_parent(use_case, own, pipeline, catalog)
        lineage, artifacts = Lineage(use_case, catalog), _artifacts(own.inputs())
        _require_inputs(lineage, own, catalog)
        remade = frozenset(_artifacts(own.all_outputs()))
        _require_agreement(lineage, artifacts, options_of(nodes, catalog.load), nodes, remade)
        _warn_of_changed_raw_files(lineage, artifacts, catalog)
        _warn_of_replaced_artifacts(lineage, artifacts)


def _require_parent(use_case: str, own: Pipeline, pipeline: Pipeline, catalog: Any) -> None:
    """Refuse to fine-tune a model that the same run trains, because Kedro may run the two in either order."""
    if f"{use_case}.parent" not in own.inputs() or f"params:{use_case}.fine_tuning" not in own.inputs():
        return
    options = catalog.load(f"params:{use_case}.fine_tuning")
    parent = catalog.load(f"{use_case}.parent").path_of(options.parent)
    for name in sorted(pipeline.all_outputs()):
        written = getattr(catalog[name], "path", None) if name.endswith("model") and name in catalog else None
        if written is not None and Path(written).resolve() == parent.resolve():
            trained = name.partition(".")[0] + (".fine_tune" if name.endswith(".fine_tuned_model") else "")
            raise ValueError(
                f"{use_case}.fine_tune starts from {shown(parent)}, which {trained} writes in the same run, perhaps "
                f"later; run --pipelines={trained} first, and then --pipelines={use_case}.fine_tune"
            )


def options_of(nodes: Iterable[Node], load: Callable[[str], Any]) -> Values:
    """Return the options that nodes take and that affect what they make."""
    found: Values = {}
    for node in nodes:
        for name in _options_behind(node):
            section, options = _artifact(name), load(name)
            values = options.model_dump(mode="json") if isinstance(options, BaseModel) else dict(options)
            own = {f"{section}.{key}": value for key, value in values.items()}
            taken = TAKEN.get(node.name.rpartition(".")[2], set()) if section == "fine_tuning" else set()
            found |= {key: value for key, value in own.items() if key in (taken or own) and key not in WITHOUT_EFFECT}
    return found


def differences(before: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the options that both have and that differ, with both values; a key that a group lacks is None."""
    if before == now:  # as nearly always, and thousands of columns are compared sooner as a whole
        return
    if not isinstance(before, dict) or not isinstance(now, dict):
        yield name, before, now
        return
    for key in dict.fromkeys((*before, *now)):
        if name or (key in before and key in now):
            yield from differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)


def _require_inputs(lineage: Lineage, pipeline: Pipeline, catalog: Any) -> None:
    """Refuse a run if artifacts of an earlier stage are missing."""
    missing = {name for name in pipeline.inputs() if not name.startswith("params:") and not catalog.exists(name)}
    if not missing:
        return
    whole = _whole_pipeline(lineage.use_case, pipeline.nodes)
    makers = {name: node for node in whole.nodes for name in node.outputs}
    asked = sorted(missing & set(makers))  # for missing raw data, its dataset has a message of its own
    if not asked:
        return
    waiting, stages = list(asked), set()
    while waiting:
        maker = makers[waiting.pop()]
        stages.add(_stage_of(maker))
        waiting += [name for name in maker.inputs if name in makers and not catalog.exists(name)]
    stage = min(stages, key=STAGES.index)
    raise ValueError(
        f"{lineage.use_case}: {_artifact(asked[0])} does not exist; run the stage {stage} first: "
        f"{_command(stage, pipeline.nodes, whole)}"
    )


def _require_agreement(
    lineage: Lineage, artifacts: list[str], options: Values, nodes: list[Node], remade: frozenset[str]
) -> None:
    """Refuse artifacts if some were made from other files than the present ones, or with other options."""
    records = {name: record for name, record in lineage.records(artifacts).items() if name not in remade}
    expected: dict[str, str] = {}
    for name, record in records.items():
        for ancestor, made_from in record.made_from.items():
            if ancestor in remade or lineage.is_raw(ancestor):
                continue
            now = lineage.fingerprint(ancestor)
            if expected.setdefault(ancestor, now or made_from) != made_from:
                path = lineage.path_of(ancestor) if now else None
                source = f"{shown(path)} as it is now" if path else f"the same {ancestor} as the others"
                raise ValueError(
                    f"{lineage.use_case}: {name} was not made from {source}; "
                    f"{_way_out(lineage, record.stage, records, nodes)}"
                )
    for name, record in records.items():
        for option, before, now in differences(record.options, options):
            raise ValueError(
                f"{lineage.use_case}.{option} is {_value(now)} and was {_value(before)} when {name} was made; "
                f"change it back, or {_way_out(lineage, record.stage, {}, nodes)}"
            )


def _warn_of_changed_raw_files(lineage: Lineage, artifacts: list[str], catalog: Any) -> None:
    seen: set[str] = set()
    for record in lineage.records(artifacts).values():
        for name, made_from in record.made_from.items():
            if name in (*seen, *artifacts) or not lineage.is_raw(name):
                continue
            seen.add(name)
            if lineage.fingerprint(name) not in (None, made_from):
                logger.warning(
                    "%s has changed since the stage prepare; this run uses the rows as they were then, "
                    "so run the whole pipeline to use the new ones",
                    catalog[f"{lineage.use_case}.{name}"].place,
                )


def _warn_of_replaced_artifacts(lineage: Lineage, artifacts: list[str]) -> None:
    for artifact in artifacts:
        stage, path = lineage.stage_of_replaced(artifact), lineage.path_of(artifact)
        if stage is not None and path is not None:
            logger.warning(
                "%s is not as the stage %s wrote it: it was changed by hand or comes from another run, and is used as "
                "it is",
                shown(path),
                stage,
            )


def _way_out(lineage: Lineage, stage: str, records: Mapping[str, Record], nodes: list[Node]) -> str:
    """Say which stage to run again, with the options that the `records` of earlier stages were made with."""
    whole = _whole_pipeline(lineage.use_case, nodes)
    command = _command(stage, nodes, whole)
    again = [node for node in whole.nodes if STAGES.index(_stage_of(node)) >= STAGES.index(stage)]
    options = options_of(again, lineage.catalog.load)
    kept = [record for record in records.values() if STAGES.index(record.stage) < STAGES.index(stage)]
    given = {name: before for record in kept for name, before, _ in differences(record.options, options)}
    settings = ",".join(f"{lineage.use_case}.{name}={_value(value)}" for name, value in given.items())
    return f"run the stage {stage} again: {command}" + (f" --params={settings}" if settings else "")


def _command(stage: str, nodes: Iterable[Node], whole: Pipeline) -> str:
    last = max(STAGES.index(_stage_of(node)) for node in nodes)
    there = {_stage_of(node) for node in whole.nodes}
    tags = [each for each in STAGES[STAGES.index(stage) : last + 1] if each in there]
    return f"--tags={','.join(tags)}"


def _whole_pipeline(use_case: str, nodes: Iterable[Node]) -> Pipeline:
    """Return the pipelines of a use case that contain some of the nodes, as one."""
    named = (pipelines[name] for name in (use_case, f"{use_case}.fine_tune") if name in pipelines)
    return Pipeline([each for each in named if set(each.nodes) & set(nodes)] or list(nodes))


def _options_behind(node: Node) -> list[str]:
    """Name the options that a node takes; for a recipe, name the sections that it is made of."""
    named = [name for name in node.inputs if name.startswith("params:")]
    if _stage_of(node) == "train" and f"{use_case_of(node)}.recipe" in node.inputs:
        named += [f"params:{use_case_of(node)}.{section}" for section in MADE_INTO_RECIPE]
    return named


def _is_of_training(node: Node) -> bool:
    return node.namespace is not None and "predict" not in node.tags


def _stage_of(node: Node) -> str:
    return next((stage for stage in STAGES if stage in node.tags), STAGES[-1])


def _artifacts(names: Iterable[str]) -> list[str]:
    return sorted(_artifact(name) for name in names if not name.startswith("params:"))


def _artifact(name: str) -> str:
    return name.partition(".")[2]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(each)}" for key, each in value.items() if each is not None) + "}"
    return "not set" if value is None else str(value)
