"""The answer in a sentence or two, and the numbers behind it."""

from collections.abc import Mapping
from typing import Any

from torchlane.core.options import shown_number
from torchlane.reporting.facts.artifacts import Artifacts, Facts
from torchlane.reporting.facts.wording import amount, counted, listed, of_rows, percent

BETTER = 0.02  # share of the baseline's error; a model that gains less is not called better


def find_answer(artifacts: Artifacts) -> Facts:
    """Say how good the model is beside guessing, in words that need no knowledge of the field.

    The result has the `sentence`, sentences on single predictions in `detail` and on the rows in `caution`, both
    together in `more`, and `cards` of label, value and note.
    """
    if artifacts.data.task == "regression":
        sentence, more = _about_numbers(artifacts)
        cards = _cards_of_numbers(artifacts)
    else:
        sentence, more = _about_labels(artifacts)
        cards = _cards_of_labels(artifacts)
    caution = _caution(artifacts)
    cards = [*cards, _rows_card(artifacts)]
    return {"sentence": sentence, "detail": more, "caution": caution, "more": [*more, *caution], "cards": cards}


def _about_numbers(artifacts: Artifacts) -> tuple[str, list[str]]:
    metrics, unit = artifacts.metrics, artifacts.unit
    error = metrics[artifacts.judged].get("mean_absolute_error")
    sentence = f"Predicts {artifacts.data.target} to within {amount(error, unit)} on average"
    median = metrics.get("median") if artifacts.judged == "test" else None
    if median is not None and median["mean_absolute_error"] is not None and error is not None:
        guess = f"always guessing the median of train, {amount(median['value'], unit)}"
        off = amount(median["mean_absolute_error"], unit)
        if error < (1 - BETTER) * median["mean_absolute_error"]:
            sentence += f"; {guess}, is off by {off}"
        else:
            sentence += f", which is no better than {guess}, which is off by {off}"
    return f"{sentence}.", _about_intervals(artifacts)


def _about_intervals(artifacts: Artifacts) -> list[str]:
    calibration = artifacts.metrics["calibration"]
    if "coverage" not in calibration:
        return ["Predictions come without an interval, since no rows were left to learn its width from."]
    asked, covered, width = (calibration[name] for name in ("coverage_asked", "coverage", "interval_width"))
    wide = "" if width is None else f"; it is {amount(width, artifacts.unit)} wide on average"
    return [
        f"Each prediction comes with an interval that should contain the truth for {percent(asked)} of new rows. On "
        f"test it does for {percent(covered)}{wide}."
    ]


def _about_labels(artifacts: Artifacts) -> tuple[str, list[str]]:
    metrics, part = artifacts.metrics, artifacts.judged
    n_rows, weighted = metrics["rows"][part], "weight" in metrics
    right = metrics[part].get("accuracy_score")
    baseline = metrics["baseline"].get("accuracy_score") if part == "test" else None
    sentence = f"{_told(artifacts)} for {'no' if right is None else of_rows(right, n_rows, weighted)} rows"
    if right is not None and baseline is not None:
        guess = "always guessing the commonest class"
        if 1 - right < (1 - BETTER) * (1 - baseline):
            sentence += f"; {guess} is right for {of_rows(baseline, n_rows, weighted)}"
        else:
            sentence += f", which is no better than {guess}: right for {of_rows(baseline, n_rows, weighted)}"
    return f"{sentence}.", _about_classes(artifacts)


def _told(artifacts: Artifacts) -> str:
    labels = list(artifacts.metrics["classes"])
    target = artifacts.data.target
    if artifacts.metrics.get("positive") is not None:
        negative = next(label for label in labels if label != artifacts.metrics["positive"])
        return f"Tells {target} {artifacts.metrics['positive']} from {negative}: right"
    return f"Tells the {len(labels)} classes of {target} apart: right"


def _about_classes(artifacts: Artifacts) -> list[str]:
    """Say which class it finds, or finds least."""
    classes, positive = artifacts.metrics["classes"], artifacts.metrics.get("positive")
    judged = {label: each for label, each in classes.items() if each["rows"] and each["recall"] is not None}
    weighted = "weight" in artifacts.metrics  # so that a share of them is no number of rows
    if positive is not None and positive in judged:
        own = judged[positive]
        found = f"Of the rows that are {positive}, it finds {of_rows(own['recall'], own['rows'], weighted)}"
        if own["precision"] is None:
            return [f"{found}: it never says {positive}."]
        return [f"{found}. When it says {positive}, it is right in {percent(own['precision'])} of cases."]
    if positive is not None or not judged:
        return []
    weakest = min(judged, key=lambda label: judged[label]["recall"])
    own = judged[weakest]
    if own["recall"] == 1:
        return ["It finds every row of every class."]
    return [f"It is weakest at {weakest}: of such rows it finds {of_rows(own['recall'], own['rows'], weighted)}."]


def _caution(artifacts: Artifacts) -> list[str]:
    """Say what the rows are that this was measured on, where they flatter."""
    said = {
        "test": [],
        "valid": [
            "No rows are left for test. This was measured on valid, which also chose when to stop, so new rows may be "
            "predicted worse."
        ],
        "train": [
            "No rows were held out. This was measured on the rows that the model was trained on, so it says nothing "
            "about new rows."
        ],
    }[artifacts.judged]
    if artifacts.split.all_rows_in:
        said = [f"Every row is in {' and in '.join(artifacts.split.all_rows_in)}, so this says nothing about new rows."]
    if artifacts.judged == "test" and (unlike := artifacts.metrics.get("split")):
        said = [*said, _about_unlike(unlike)]
    if artifacts.metrics["data"] == "bundled sample":
        said = [*said, "The rows are a bundled sample drawn by a generator, not real observations."]
    return said


def _about_unlike(unlike: Mapping[str, Any]) -> str:
    if "order_by" in unlike:
        return f"This was measured on later rows than those of train, in the order of {unlike['order_by']}."
    return f"This was measured on groups of {listed(unlike['group_by'])} that train does not have."


def _cards_of_numbers(artifacts: Artifacts) -> list[Facts]:
    metrics, unit = artifacts.metrics[artifacts.judged], artifacts.unit
    cards = [_card("average error", amount(metrics.get("mean_absolute_error"), unit), "mean absolute error")]
    median = artifacts.metrics.get("median")
    if median is not None:
        cards.append(
            _card("always guessing the median", amount(median["mean_absolute_error"], unit), "its average error")
        )
    share = metrics.get("r2_score")
    cards.append(_card("explained", percent(share), "of the variance (R²)" if share is not None else "R² has no value"))
    calibration = artifacts.metrics["calibration"]
    if "coverage" in calibration:
        asked = f"asked: {percent(calibration['coverage_asked'])}"
        cards.append(_card("intervals contain", percent(calibration["coverage"]), f"of the truths; {asked}"))
    return cards


def _cards_of_labels(artifacts: Artifacts) -> list[Facts]:
    metrics = artifacts.metrics[artifacts.judged]
    cards = [_card("right", percent(metrics.get("accuracy_score")), "of the rows (accuracy)")]
    if artifacts.metrics["baseline"]:
        guess = percent(artifacts.metrics["baseline"].get("accuracy_score"))
        cards.append(_card("commonest class", guess, "right by always guessing it"))
    balanced = percent(metrics.get("balanced_accuracy_score"))
    cards.append(_card("right in each class", balanced, "mean over the classes"))
    if "roc_auc_score" in metrics:
        auc = shown_number(metrics["roc_auc_score"], 3)
        cards.append(_card("ranking", auc, "area under ROC; 0.5 is chance, 1 perfect"))
    return cards


def _rows_card(artifacts: Artifacts) -> Facts:
    rows = artifacts.metrics["rows"]
    part = artifacts.judged
    note = f"judged on {counted(rows[part], 'row')} of {part}"
    return _card("rows", f"{max(rows.values()) if artifacts.split.all_rows_in else sum(rows.values()):,}", note)


def _card(label: str, value: str, note: str) -> Facts:
    return {"label": label, "value": value, "note": note}
