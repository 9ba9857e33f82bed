"""The options, the use, the limits and the provenance of a model."""

from torchlane.core.options import Options
from torchlane.core.options.differing import differing
from torchlane.reporting.facts.artifacts import Artifacts, Facts
from torchlane.reporting.facts.wording import counted, listed, percent, plain, shown_option, table

FEW_ROWS = 5  # of a class in test
DESCRIBED = {  # elsewhere in the page
    *("data.task", "data.target", "data.columns", "data.features", "data.source", "data.digest", "data.positive"),
    "data.weight",
}


def find_options(artifacts: Artifacts) -> Facts:
    """List the options that differ from their defaults, and say which of them a search chose."""
    recipe = artifacts.recipe
    sections: dict[str, Options] = {
        "data": artifacts.data,
        "split": artifacts.split,
        "encoding": recipe.encoding,
        "model": recipe.model,
        "training": recipe.training,
        "tuning": artifacts.tuning,
        "evaluation": artifacts.evaluation,
        "diagnosis": artifacts.diagnosing,
    }
    chosen = set(artifacts.chosen_options.get("values", {})) if recipe.trials else set()
    rows = []
    for section, options in sections.items():
        for option, value, default in differing(options):
            if (name := f"{section}.{option}") not in DESCRIBED:
                rows.append((name, shown_option(value), shown_option(default), _by(name, chosen)))
    return {"table": table(["option", "value", "default", "by"], rows, 100)}


def _by(name: str, chosen: set[str]) -> str:
    return "search" if any(each == name or each.startswith(f"{name}.") for each in chosen) else "given"


def find_limits(artifacts: Artifacts) -> list[str]:
    """Say what this model cannot be trusted with, as far as it follows from the facts."""
    metrics, rows, data = artifacts.metrics, artifacts.metrics["rows"], artifacts.data
    learned = counted(artifacts.refit.get("rows", rows["train"]), "row")
    limits = [
        f"It was trained on {learned} of {metrics['data']}. It predicts rows unlike these too, "
        "but nothing here says how well."
    ]
    if metrics["data"] == "bundled sample":
        limits.append("The rows were made by a generator. Do not use the predictions for real decisions.")
    if any(column.kind == "category" for column in data.feature_columns.values()):
        limits.append("Levels of a feature that are not in train are all treated alike, as unknown.")
    if data.task == "regression":
        limits += _limits_of_numbers(artifacts)
    else:
        limits += _limits_of_labels(artifacts)
    if artifacts.judged == "test" and "order_by" in metrics.get("split", {}):
        limits.append(
            f"In the order of {artifacts.split.order_by}, test ends at {artifacts.data_summary['periods']['test'][1]}. "
            f"How well later rows are predicted is not known; train again as time goes on."
        )
    if artifacts.judged != "test":
        limits.append("No rows were kept for test, so how good it is on new rows is not known.")
    if recipe_trials := artifacts.recipe.trials:
        limits.append(
            f"A search of {counted(recipe_trials, 'trial')} chose its options on valid, so valid scores are too good."
        )
    limits.append("Importance and dependence say what the model uses. They do not say what causes the target.")
    return limits


def _limits_of_numbers(artifacts: Artifacts) -> list[str]:
    calibration = artifacts.metrics["calibration"]
    if "coverage" not in calibration:
        return ["It gives no interval, so it does not say how far off a single prediction may be."]
    asked = percent(calibration["coverage_asked"])
    return [f"Intervals should contain the truth for {asked} of all rows. Within a group of rows it may be fewer."]


def _limits_of_labels(artifacts: Artifacts) -> list[str]:
    classes, limits = artifacts.metrics.get("classes", {}), []
    if artifacts.judged != "test":
        return []
    few = [label for label, each in classes.items() if 0 < each["rows"] < FEW_ROWS]
    if few:
        limits.append(
            f"Test has fewer than {FEW_ROWS} rows of {listed(few)}: how well these classes are found is not known."
        )
    absent = artifacts.metrics.get("absent_from_test") or []
    if absent:
        limits.append(f"Test has no row of {listed(absent)}, so nothing is known about such rows.")
    limits.append("It always answers with one of these classes, even for a row that belongs to none of them.")
    return limits


def find_provenance(artifacts: Artifacts) -> Facts:
    """Say what the model was made from, where and when."""
    made = artifacts.provenance
    about = [
        ("trained", str(made["time"])),
        ("source", str(made.get("source") or artifacts.metrics["data"])),
        ("rows (SHA-256)", str(made["rows"])),
        ("model file (SHA-256)", str(made["model"])),
        ("commit", str(made.get("commit") or "unknown: not trained in a git checkout")),
        ("machine", f"{made.get('system', 'unknown')}, {counted(made.get('processors') or 1, 'processor')}"),
        ("device", str(made["device"])),
        ("versions", ", ".join(f"{name} {version}" for name, version in sorted(made["versions"].items()))),
        ("seeds", f"split {artifacts.split.seed}, training {artifacts.recipe.training.seed}"),
    ]
    return {"about": [(name, plain(value)) for name, value in about]}
