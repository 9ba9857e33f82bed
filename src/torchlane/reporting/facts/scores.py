"""How good the model is, metric by metric, and how sure that is."""

from typing import Any

from torchlane.reporting.facts.artifacts import Artifacts, Facts
from torchlane.reporting.facts.wording import SHOWN, amount, counted, listed, percent, table

MOST_CLASSES = 100
SCORED_BY = {"regression": "mean_absolute_error", "binary": "accuracy_score", "multiclass": "accuracy_score"}
MEANINGS = {
    "r2_score": "The share of the variance of the truth that the predictions explain: 1 is perfect, 0 is as good as "
    "always guessing the mean, below 0 is worse.",
    "mean_absolute_error": "How far a prediction is from the truth on average, in the unit of the target.",
    "root_mean_squared_error": "Like the mean absolute error, but large errors weigh more.",
    "accuracy_score": "The share of rows whose class is right. If one class is common, guessing it scores high too.",
    "balanced_accuracy_score": "The share of rows found in each class, averaged over the classes: each class counts "
    "the same, however rare.",
    "roc_auc_score": "The chance that a row of the positive class gets a higher probability than one of the other: "
    "0.5 is guessing, 1 is perfect.",
    "f1_score": "The harmonic mean of precision and recall of the positive class: high only if both are.",
    "macro_f1_score": "F1 of each class, averaged over the classes.",
    "cross_entropy_loss": "How far the probabilities are from the truth: 0 is perfect, and a confident mistake costs "
    "much.",
    "loss": "What training minimises, in scaled units. It is only good for comparing parts or trainings.",
}


def find_scores(artifacts: Artifacts) -> Facts:
    """Give a table of metrics by part, with guessing and a linear model beside them, and what each means."""
    metrics, linear = artifacts.metrics, artifacts.baselines["linear"]
    parts = [part for part in ("train", "valid", "test") if metrics["rows"].get(part)]
    names = list(dict.fromkeys(name for part in ("test", *parts) for name in metrics[part]))
    columns = ["metric", *parts]
    beside: list[Any] = []
    if metrics["baseline"]:
        columns.append("always guessing")
        beside.append(metrics["baseline"])
    if linear is not None and linear.get("test"):
        columns.append(linear["name"])
        beside.append(linear["test"])
    rows = [
        [SHOWN.get(name, name), *(metrics[part].get(name) for part in parts), *(each.get(name) for each in beside)]
        for name in names
    ]
    return {
        "table": table(columns, rows),
        "notes": _notes(artifacts, columns),
        "glossary": [(SHOWN.get(name, name), MEANINGS.get(name, _named(artifacts, name))) for name in names],
        "classes": _classes(artifacts),
        "linear": _about_linear(artifacts),
    }


def _notes(artifacts: Artifacts, columns: list[str]) -> list[str]:
    notes = [f"Errors are in {artifacts.unit}."] if artifacts.unit and artifacts.data.task == "regression" else []
    if "always guessing" in columns:
        constant = "the mean of train" if artifacts.data.task == "regression" else "the shares of the classes in train"
        notes.append(
            f"Always guessing: the same prediction for every row, {constant}, judged on test.{_on_median(artifacts)}"
        )
    if artifacts.refit and "valid" in columns:
        notes.append("Valid was scored before the networks were trained on it too.")
    linear = artifacts.baselines["linear"]
    if linear is not None and linear["name"] in columns:
        notes.append(f"{linear['name']}: a plain linear model on the same features, on test.")
    if "weight" in artifacts.metrics:
        notes.append(f"Rows count by their weight, {artifacts.metrics['weight']}.")
    undefined = [SHOWN.get(name, name) for name, value in artifacts.metrics["test"].items() if value is None]
    if undefined:
        notes.append("A dash means that a metric has no value on these rows, as R² of a truth that is always the same.")
    return notes


def _on_median(artifacts: Artifacts) -> str:
    """Say why the error of guessing in the table is not the one at the top of the page."""
    if not artifacts.metrics.get("median"):
        return ""
    return " The top of the page compares with the median, the constant with the least mean absolute error."


def _about_linear(artifacts: Artifacts) -> str:
    linear = artifacts.baselines["linear"]
    if linear is not None:
        return ""
    return f"No linear model stands beside it: {artifacts.baselines.get('reason', 'none was fitted')}."


def _named(artifacts: Artifacts, name: str) -> str:
    better = "higher" if name.endswith("_score") else "lower"
    return f"Named in evaluation.metrics and computed by torchmetrics; {better} is better."


def _classes(artifacts: Artifacts) -> Facts | None:
    """Give precision, recall and F1 of each class on test, the least found first where there are many."""
    classes = artifacts.metrics.get("classes")
    if not classes or artifacts.judged != "test":
        return None
    rows = [[label, each["rows"], each["recall"], each["precision"], each["f1"]] for label, each in classes.items()]
    if len(rows) > MOST_CLASSES:
        rows.sort(key=lambda row: (row[2] is None, row[2]))
    never = [label for label, each in classes.items() if each["precision"] is None]
    return {
        "table": table(["class", "rows of test", "recall", "precision", "F1"], rows, MOST_CLASSES),
        "never_predicted": never,
        "absent": list(artifacts.metrics.get("absent_from_test", [])),
    }


def find_certainty(artifacts: Artifacts) -> Facts:
    """Say how far predictions can be relied on: intervals or probabilities, and scores over folds."""
    calibration = artifacts.metrics["calibration"]
    said = []
    if "coverage" in calibration:
        width = calibration["interval_width"]
        said.append(
            f"Intervals should contain the truth for {percent(calibration['coverage_asked'])} of new rows. On test "
            f"they do for {percent(calibration['coverage'])}. "
            + ("Some have no bound." if width is None else f"Their mean width is {amount(width, artifacts.unit)}.")
        )
    elif artifacts.data.task == "regression":
        said.append("There are no intervals, because no rows of valid or test are there to make and judge them.")
    elif "temperature" in calibration:
        said.append(_about_temperature(calibration["temperature"], artifacts.metrics["rows"].get("valid", 0)))
    return {"said": [*said, *_about_split(artifacts), *_few_rows(artifacts)], "folds": _folds(artifacts)}


def _about_split(artifacts: Artifacts) -> list[str]:
    """Say what follows for intervals and probabilities if test is unlike train and valid by intention, or nothing."""
    unlike = artifacts.metrics.get("split", {})
    if not unlike or not artifacts.metrics["rows"].get("valid"):
        return []
    made = "Intervals were made" if artifacts.data.task == "regression" else "Probabilities were calibrated"
    if "order_by" in unlike:
        return [
            f"The split is in the order of {unlike['order_by']}. {made} on valid, which is earlier than test, so they "
            f"may not hold as well for later rows."
        ]
    return [
        f"The split is grouped by {listed(unlike['group_by'])}. {made} on the groups of valid, so they may not hold as "
        f"well for other groups, above all if valid has few."
    ]


def _about_temperature(temperature: float, n_valid: int) -> str:
    if not n_valid:
        return "Probabilities could not be calibrated, since valid has no rows."
    way = "more confident" if temperature < 1 else "more cautious"
    told = "left them as they were" if temperature == 1 else f"made them {way}"
    return f"Probabilities were calibrated on valid, which {told} (temperature {temperature:.3g})."


def _few_rows(artifacts: Artifacts) -> list[str]:
    n_rows = artifacts.metrics["rows"].get("test", 0)
    if not 0 < n_rows < 100:
        return []
    judged = "every row" if artifacts.split.order_by is None else "more rows"
    return [
        f"Test has {counted(n_rows, 'row')}, so its scores are uncertain: other rows would give other scores. "
        f"Cross-validation (evaluation.folds) judges on {judged}."
    ]


def _folds(artifacts: Artifacts) -> Facts | None:
    folds = artifacts.metrics["cross_validation"]
    if not folds:
        return None
    scores = {name: each for name, each in folds.items() if isinstance(each, dict)}
    rows = [
        (SHOWN.get(name, name), each["mean"], each["standard_deviation"], each["low"], each["high"])
        for name, each in scores.items()
    ]
    repeats = f", {folds['repeats']} times" if folds["repeats"] > 1 else ""
    way = f"The rows were cut into {folds['folds']} folds{repeats}; each was predicted by a model that had not seen it."
    if "order_by" in folds:
        way = (
            f"The rows were cut into {folds['folds']} windows in the order of {folds['order_by']}; each was predicted "
            f"by a model of all rows before it. Models of later windows learned from more rows, so their spread is of "
            f"that too."
        )
    return {
        "said": f"{way} Recipe: {folds['recipe']}.",
        "table": table(["metric", "mean", "standard deviation", "95 % from", "to"], rows),
    }
