"""Finished runs beside each other: what differs between them, and how well they did."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torchlane.core.machine.files import replacing
from torchlane.core.options import shown_number
from torchlane.reporting.facts.wording import shown_option

Run = Mapping[str, Any]
LONGEST = 60  # characters of the value of an option


def differing(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Say of each run what is not the same in all of them: options, and what else a score depends on.

    An option that a run leaves at its default is `default`. Rows and splits are told by the first characters of their
    SHA-256.
    """
    described = [_described(run) for run in runs]
    names = list(dict.fromkeys(name for each in described for name in each))
    differ = [name for name in names if len({json.dumps(each.get(name)) for each in described}) > 1]
    return [{name: _shown(each[name]) if name in each else "default" for name in differ} for each in described]


def score_of(run: Run, part: str) -> float | None:
    """Return the primary metric of a run on a part; None if it has none."""
    value: float | None = run.get("metrics", {}).get(part, {}).get(run.get("primary_metric"))
    return value


def best_of(runs: Sequence[Run]) -> int | None:
    """Return the position of the best run, or None: of those judged as the last one was, on the same rows and split.

    It is the best on valid, since a choice by test would make test part of the training; without valid it is none.
    """
    if not runs:
        return None
    last = runs[-1]
    sign = 1 if str(last.get("primary_metric")).endswith("_score") else -1
    judged = {
        position: sign * score
        for position, run in enumerate(runs)
        if _ground(run) == _ground(last) and (score := score_of(run, "valid")) is not None
    }
    return max(judged, key=lambda position: judged[position]) if len(judged) > 1 else None


def table_of(runs: Sequence[Run]) -> str:
    """Write runs as a table for a terminal, the oldest first, with the best one marked."""
    best, metric = best_of(runs), _one(run.get("primary_metric") for run in runs)
    lines = [["", "when (UTC)", f"valid {metric}".strip(), f"test {metric}".strip(), "seconds", "what differs"]]
    for position, (run, own) in enumerate(zip(runs, differing(runs), strict=True)):
        scores = [_number(score_of(run, part)) for part in ("valid", "test")]
        said = ", ".join(f"{name} {value}" for name, value in own.items())
        when = str(run["when"])[:16].replace("T", " ")
        seconds = _number(run.get("seconds"))
        lines.append(["*" if position == best else "", when, *scores, seconds, said])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]) - 1)]
    written = [
        "  ".join(
            [*(cell.rjust(width) if column > 1 else cell.ljust(width)
               for column, (cell, width) in enumerate(zip(line, widths, strict=False))), line[-1]]
        ).rstrip()
        for line in lines
    ]  # fmt: skip
    if best is not None:
        written.append("* best on valid, of the runs on the rows and split of the last one")
    return "\n".join(written)


def draw(runs: Sequence[Run], use_case: str, path: Path) -> None:
    """Draw runs into an HTML file that needs no network."""
    from torchlane.figures.runs import plot_runs

    with replacing(path, durable=False) as partial:
        plot_runs(runs, differing(runs), use_case).write_html(partial, include_plotlyjs=True)


def _described(run: Run) -> dict[str, Any]:
    prints = {name: str(run.get("fingerprints", {}).get(name))[:8] for name in ("rows", "splits")}
    about = {name: run.get(name) for name in ("pipeline", "env", "primary_metric")}
    commit = {"commit": str(run.get("commit"))[:8]}
    versions = {f"{name} version": version for name, version in run.get("versions", {}).items()}
    return {**about, **run.get("options", {}), **prints, **commit, **versions}


def _ground(run: Run) -> Any:
    prints = run.get("fingerprints", {})
    return run.get("pipeline"), run.get("primary_metric"), prints.get("rows"), prints.get("splits")


def _one(values: Any) -> str:
    found = set(values)
    return str(found.pop()) if len(found) == 1 else ""


def _number(value: float | None) -> str:
    return "-" if value is None else shown_number(value)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else shown_option(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
