"""What was asked, and of which rows."""

from typing import Any

from torchlane.core.options import ColumnOptions, shown_limit
from torchlane.reporting.facts.artifacts import Artifacts, Facts
from torchlane.reporting.facts.wording import counted, listed, plain, table

TASKS = {
    "regression": "predict a number (regression)",
    "binary": "tell two classes apart (binary classification)",
    "multiclass": "tell several classes apart (multiclass classification)",
}
MOST_LEVELS = 6
PARTS = {
    "train": "the weights are learned from these rows",
    "valid": "decides when training stops, and sets the width of intervals or how sure probabilities are",
    "test": "used once, at the end, to judge the model",
}
REFIT = "; then the networks are trained once more, on these rows too"


def find_asked(artifacts: Artifacts) -> Facts:
    """Say the task, the target and the features with their rules."""
    data = artifacts.data
    about = [("task", TASKS[data.task]), ("target", data.target)]
    if data.task == "regression":
        about.append(("unit", artifacts.unit or "none declared"))
    if artifacts.metrics.get("positive") is not None:
        about.append(("positive class", str(artifacts.metrics["positive"])))
    if "classes" in artifacts.metrics:
        about.append(("classes", listed(artifacts.metrics["classes"], 20)))
    if data.weight is not None:
        about.append(("weight", f"{data.weight}: a row counts as so many rows"))
    about.append(("source", str(artifacts.metrics["data"])))
    features = data.feature_columns
    rows = [
        (name, column.kind, _rules(column), _distinct(artifacts, name), _missing(artifacts, name))
        for name, column in features.items()
    ]
    return {
        "about": about,
        "features": table(["feature", "kind", "allowed", "distinct values", "missing"], rows),
        "count": len(features),
        "sample": artifacts.metrics["data"] == "bundled sample",
    }


def find_rows(artifacts: Artifacts) -> Facts:
    """Say which rows were kept, rejected or repeated, and what is missing."""
    summary = artifacts.data_summary
    rows, repeats = summary["rows"], summary["repeats"]
    missing = {name: n for name, n in summary["missing"].items() if n}
    said = [
        f"{counted(rows['raw'], 'row')} read from {summary['source']}: {rows['kept']:,} kept, "
        f"{rows['rejected']:,} rejected."
    ]
    if not rows["rejected"]:
        said.append("Every row keeps the rules of its columns.")
    split = artifacts.split
    dealt = not split.all_rows_in and split.part_column is None and split.order_by is None
    said.append(_about_repeats(repeats, dealt=dealt))
    return {
        "said": said,
        "rows": dict(rows),
        "rejected": table(
            ["a value is not", "column", "rows"],
            [(each["rule"], each["column"] or None, each["rows"]) for each in summary["rejected"]],
        ),
        "missing": table(
            ["column", "rows without a value", "share"],
            [(name, n, n / max(1, rows["kept"])) for name, n in sorted(missing.items(), key=lambda each: -each[1])],
        ),
    }


def find_split(artifacts: Artifacts) -> Facts:
    """Say how rows were dealt to parts."""
    split, counts = artifacts.split, artifacts.metrics["rows"]
    total = max(1, max(counts.values()) if split.all_rows_in else sum(counts.values()))  # every row may be in each
    uses = {**PARTS, "valid": PARTS["valid"] + REFIT} if artifacts.refit else PARTS
    rows = [(part, counts.get(part, 0), counts.get(part, 0) / total, use) for part, use in uses.items()]
    return {
        "said": _ways_to_split(artifacts),
        "parts": table(["part", "rows", "share", "use"], rows),
        "empty": [part for part in PARTS if not counts.get(part)],
        "seed": split.seed,
    }


def _ways_to_split(artifacts: Artifacts) -> list[str]:
    split = artifacts.split
    if split.all_rows_in:
        return [f"Nothing was split: every row is in {listed(split.all_rows_in)}."]
    if split.order_by is not None:
        return _about_order(artifacts, split.order_by)
    if split.part_column is not None:
        said = [f"The column {split.part_column} names the part of each row."]
    else:
        said = [f"Rows were assigned at random (seed {split.seed}), before anything was learned from them."]
    if split.stratify and artifacts.data.task != "regression" and split.part_column is None:
        said.append("Each class has about the same share in all parts.")
    if split.group_by:
        said.append(f"Rows that agree in {listed(split.group_by)} share a part.")
    if split.repeats != "apart" and split.part_column is None:
        said.append("Copies of a row are always in the same part.")
    return said


def _about_order(artifacts: Artifacts, by: str) -> list[str]:
    """Say which values each part has of the column that orders the rows."""
    periods = artifacts.data_summary.get("periods", {})
    shown = "; ".join(f"{part} has {first} to {last}" for part, (first, last) in periods.items())
    if artifacts.split.part_column is not None:
        named = f"The column {artifacts.split.part_column} names the part of each row."
        return [named, f"Rows are in the order of {by}, which decides what the column does not name: {shown}."]
    return [
        f"Rows are split in the order of {by}, and those of an equal value share a part: {shown}.",
        "So test shows how well later rows are predicted from earlier ones.",
    ]


def _about_repeats(repeats: Any, dealt: bool) -> str:
    """Say how many rows repeat others, and, if rows are `dealt` to parts, what follows for the part."""
    copies, by_chance = repeats.get("copies") or 0, repeats.get("by_chance") or 0
    if copies:
        share = " and are in the same part" if dealt else ""
        return f"{counted(copies, 'row')} repeat another row. They count as copies{share}."
    if by_chance:
        return (
            f"{counted(by_chance, 'row')} repeat another row. There are so few combinations of values that these count "
            f"as observations of their own."
        )
    return "No row repeats another."


def _rules(column: ColumnOptions) -> str:
    if column.kind == "image":
        channels, height, width = column.size or (0, 0, 0)
        return f"{height} x {width} pixels, {counted(channels, 'channel')}"
    if column.levels is not None:
        return listed(column.levels, MOST_LEVELS)
    ends = [None if limit is None else shown_limit(limit) for limit in (column.minimum, column.maximum)]
    rule = {
        (True, True): f"{ends[0]} to {ends[1]}",
        (True, False): f"{ends[0]} or more",
        (False, True): f"up to {ends[1]}",
    }
    unit = f" {column.unit}" if column.unit else ""
    return (rule.get((ends[0] is not None, ends[1] is not None), "any") + unit).strip()


def _distinct(artifacts: Artifacts, name: str) -> Any:
    return plain(artifacts.data_summary["columns"].get(name, {}).get("distinct"))


def _missing(artifacts: Artifacts, name: str) -> int:
    return int(artifacts.data_summary["missing"].get(name, 0))
