"""The block at the end of a run's log: what the model can do, what to be wary of, and where the results are."""

import logging
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from kedro.pipeline import Pipeline

from torchlane.datasets.paths import shown
from torchlane.reporting.facts.answer import find_answer
from torchlane.reporting.facts.artifacts import Artifacts
from torchlane.reporting.usage import where
from torchlane.tracking.judgements import Judgement, judgements_of

logger = logging.getLogger(__name__)


def log_ending(pipeline: Pipeline, catalog: Any, run_params: Mapping[str, Any]) -> None:
    """Log a block for each model that the run has judged or reported on."""
    judged = judgements_of(pipeline, catalog, made=False)
    width = max((len(each.name) for each in judged), default=0) + 1
    for each in judged:
        for line in block_of(each, viz_command(run_params)):
            logger.info("%-*s %s", width, f"{each.name}:", line)


def block_of(judgement: Judgement, command: str) -> list[str]:
    """Write the block of a model: its answer, warnings, report, and the folder of its metrics."""
    place = judgement.path_of(judgement.metrics)
    if place is None:
        return []
    lines = [answer_of(judgement), warnings_of(judgement)]
    if judgement.belongs("report"):
        lines.append(f"the report is {shown(judgement.path_of('report') or place)}")
    lines.append(f"metrics and figures are in {shown(place.parent)}; {command} shows them")
    return list(filter(None, lines))


def answer_of(judgement: Judgement) -> str:
    """Say in a sentence how good the model is; nothing if metrics of an older version lack what it takes."""
    known: dict[str, Any] = dict.fromkeys(field.name for field in fields(Artifacts))
    known |= {name: judgement.options(name) for name in ("data", "split")}
    try:
        sentence = str(find_answer(Artifacts(**known | {"metrics": judgement.load(judgement.metrics)}))["sentence"])
    except (AttributeError, KeyError, TypeError):
        return ""
    return sentence[:1].lower() + sentence[1:].removesuffix(".")


def warnings_of(judgement: Judgement) -> str:
    """Count the warnings and name their codes; nothing if nothing has looked for any."""
    codes, place = judgement.codes(), judgement.path_of("warnings")
    if codes is None or place is None:
        return ""
    if not codes:
        return "no warnings"
    named = ", ".join(code if n == 1 else f"{code} ({n} times)" for code, n in Counter(codes).items())
    return f"{len(codes)} {'warning' if len(codes) == 1 else 'warnings'}, in {shown(place)}: {named}"


def viz_command(run_params: Mapping[str, Any]) -> str:
    """Write the command that shows the results of a run: with its environment, and the folders that it was given."""
    given = run_params.get("runtime_params") or {}
    folders = {name: given.get(name) for name in ("output_root", "raw_root")}
    return shlex.join(["kedro", "viz", "run", *where(run_params.get("env"), folders)])
