"""Rules that warn of the model and its scores."""

import math

from torchlane.core.explaining.findings import Evidence, Finding, NotChecked, Result
from torchlane.core.explaining.rules_of_data import NO_TEST
from torchlane.core.options import shown_number

ONE_SIDED = 1.645  # standard errors that chance exceeds once in 20 times
WORSE_ERRORS, WORSE = 3.0, 0.1  # of the difference, and as a share of the loss on valid
UNCERTAIN = 0.1  # half of a 95 % interval
FEWEST = 30  # rows of test
SMALL_GAIN = 0.05  # share of what the baseline leaves to a perfect score
CHANCE = 0.01  # of what interval-undercovers and class-missed find where nothing is wrong
FEWEST_OF_CLASS = 10


def no_test(evidence: Evidence) -> Result:
    """Warn that nothing is known of how the model does on new rows."""
    if evidence.has_test:
        return None
    return Finding(
        "Nothing is known about new rows",
        "test has no rows, so no score is of rows that the model has not seen",
        "set split.test_fraction, or evaluation.folds",
    )


def tested_on_train(evidence: Evidence) -> Result:
    """Warn that the rows of test were trained on."""
    if not evidence.has_test:
        return NO_TEST
    if evidence.parted_by != "split.all_rows_in":
        return None
    return Finding(
        "The rows of test were trained on",
        "split.all_rows_in puts every row into train and test, so scores on test are not those of new rows",
        "leave out split.all_rows_in",
    )


def no_better_than_constant(evidence: Evidence) -> Result:
    """Find out whether test shows that the model predicts better than a constant."""
    if not evidence.has_test:
        return NO_TEST
    if evidence.ahead is None or math.isnan(evidence.ahead.error):
        return NotChecked("fewer than two rows of test count")
    if evidence.ahead.value > ONE_SIDED * evidence.ahead.error:
        return None
    loss = "squared error" if evidence.task == "regression" else "Brier score"
    above = f"{shown_number(abs(evidence.ahead.value), 2)} {'above' if evidence.ahead.value < 0 else 'below'}"
    return Finding(
        "Test does not show that the model is better than a constant",
        f"on {counted(evidence.rows['test'])} the model's {loss} is {above} that of the best constant, with a "
        f"standard error of {shown_number(evidence.ahead.error, 2)}",
        "see diagnosis.json for what is wrong with the training; give other features or more rows",
        {"ahead": evidence.ahead.value, "standard_error": evidence.ahead.error},
    )


def worse_on_test(evidence: Evidence) -> Result:
    """Find out whether errors on test are larger than on valid, by more than chance explains."""
    valid, test = evidence.losses.get("valid"), evidence.losses.get("test")
    if valid is None or test is None or math.isnan(valid.error) or math.isnan(test.error):
        return NotChecked("valid or test has too few rows")
    if evidence.parted_by == "split.all_rows_in":
        return NotChecked("split.all_rows_in puts the same rows into all parts")
    above, error = test.value - valid.value, math.hypot(valid.error, test.error)
    if error == 0:
        return NotChecked("errors are equal in all rows of each part, so nothing shows what chance explains")
    if above <= WORSE_ERRORS * error or above <= WORSE * valid.value:
        return None
    loss = "mean absolute error" if evidence.task == "regression" else "Brier score"
    return Finding(
        "The model does worse on test than on valid",
        f"the {loss} is {shown_number(test.value)} on test and {shown_number(valid.value)} on valid, which is "
        f"{above / error:.1f} standard errors more",
        "expect the score of test on new rows; look for what differs between the parts",
        {"valid": valid.value, "test": test.value, "standard_error": error},
    )


def small_test(evidence: Evidence) -> Result:
    """Say how uncertain the score on test is, if it is."""
    if not evidence.has_test:
        return NO_TEST
    if evidence.metrics.get("cross_validation"):
        return NotChecked("evaluation.folds test on every row")
    if evidence.parted_by == "split.all_rows_in":
        return NotChecked("split.all_rows_in puts every row into test")
    rows, score = evidence.rows["test"], evidence.score
    half = math.nan if score is None else 1.96 * score.error
    if rows >= FEWEST and not half > UNCERTAIN:
        return None if score is not None else NotChecked(f"{evidence.primary} is not defined")
    by = "too few to rely on a score"
    if half > UNCERTAIN:
        by = f"{evidence.primary} may be {half:.2f} higher or lower by chance alone"
    return Finding(
        "Test is small",
        f"test has {counted(rows)}: {by}",
        "set evaluation.folds to test on every row, or give more rows",
        {"rows": rows, "half_width": None if math.isnan(half) else half},
    )


def undefined_metric(evidence: Evidence) -> Result:
    """Find metrics of test that are not defined."""
    if not evidence.has_test:
        return NO_TEST
    missing = [name for name, value in evidence.metrics["test"].items() if value is None]
    if not missing:
        return None
    why = (
        "test has a single row or all its targets are equal"
        if evidence.task == "regression"
        else ("a label has no row in test, or is never predicted")
    )
    return Finding(
        "A metric is not defined on test",
        f"test gives no value of {', '.join(missing)}: {why}",
        "give more rows, a larger split.test_fraction, or another split.seed",
        {"metrics": missing},
    )


def class_missed(evidence: Evidence) -> Result:
    """Find labels most of whose rows are taken for another, although the model does better on average."""
    if evidence.task == "regression":
        return NotChecked("the target is a number")
    if not evidence.has_test:
        return NO_TEST
    if "weight" in evidence.metrics:
        return NotChecked("rows have weights")
    classes = evidence.metrics["classes"]
    balanced = evidence.metrics["test"].get("balanced_accuracy_score")
    limit = min(0.5, balanced if balanced is not None else 0.5)
    missed = {}
    for label, own in classes.items():
        if own["rows"] >= FEWEST_OF_CLASS and own["recall"] is not None:
            right = round(own["recall"] * own["rows"])
            if _at_most(right, own["rows"], limit) < CHANCE / len(classes):
                missed[label] = {"recall": own["recall"], "rows": own["rows"]}
    if not missed:
        return None
    shown = ", ".join(f"'{label}' (recall {own['recall']:.0%} of {own['rows']} rows)" for label, own in missed.items())
    return Finding(
        "A class is mostly missed",
        f"most rows of {shown} are taken for another class",
        "try training.loss.class_weights: balanced, or another threshold on the probabilities",
        {"classes": missed, "limit": limit},
    )


def linear_as_good(evidence: Evidence) -> Result:
    """Find out whether the linear baseline is as good as the model, as far as test can tell."""
    linear = evidence.baselines.get("linear")
    if linear is None:
        return NotChecked(str(evidence.baselines.get("reason", "no baseline")))
    if not evidence.has_test:
        return NO_TEST
    by, error = linear["ahead"]["by"], linear["ahead"]["standard_error"]
    if by is None or error is None:
        return NotChecked(f"{evidence.primary} is not defined")
    reached = linear["test"][evidence.primary]
    if by > ONE_SIDED * error or (by > error and by > SMALL_GAIN * (1 - reached)):
        return None
    if by >= -ONE_SIDED * error and isinstance(no_better_than_constant(evidence), Finding):
        return NotChecked("test does not show that the model is better than a constant")
    of_model = evidence.metrics["test"][evidence.primary]
    return Finding(
        "A linear model is better"
        if by < -ONE_SIDED * error
        else "Test does not show that the model is better than a linear one",
        f"on test, {linear['name']} has {evidence.primary} {reached:.3f} and the model {of_model:.3f}, with a standard "
        f"error of {error:.3f} of the difference",
        "prefer the linear model, or compare both on more rows",
        {"linear": reached, "model": of_model, "standard_error": error, "metric": evidence.primary},
    )


def search_at_edge(evidence: Evidence) -> Result:
    """Find options whose best value lies at the edge of the space."""
    if isinstance(evidence.edges, str):
        return NotChecked(evidence.edges)
    if not evidence.edges:
        return None
    shown = ", ".join(
        f"{name} {shown_number(each['value'], 3)} near the {each['side']} end of {shown_number(each['low'], 3)} to "
        f"{shown_number(each['high'], 3)}"
        for name, each in evidence.edges.items()
    )
    return Finding(
        "The best of the search lies at the edge of its space",
        f"the best trial has {shown}, and trials were better towards it",
        "widen tuning.space there and search again",
        {"options": evidence.edges},
    )


def interval_undercovers(evidence: Evidence) -> Result:
    """Test whether intervals cover fewer rows of test than they should."""
    if evidence.task != "regression":
        return NotChecked("the target is a label")
    if evidence.covered is None:
        return NotChecked("no intervals, no rows of test, or rows have weights")
    covered, rows = evidence.covered
    asked, learned = evidence.metrics["calibration"]["coverage_asked"], evidence.rows["valid"]
    outside = learned + 1 - math.ceil((learned + 1) * asked - 1e-9)  # rows of valid that may lie outside
    if outside < 1:
        return NotChecked("valid has too few rows, so that intervals cover everything")
    chance = _covered_at_most(covered, rows, learned + 1 - outside, outside)
    if chance >= CHANCE:
        return None
    return Finding(
        "Intervals cover too few rows",
        f"intervals that should cover {asked:.0%} of new rows cover {covered / rows:.0%} of {rows} rows of test, which "
        f"chance alone would do in {'less than 0.1%' if chance < 0.0005 else f'{chance:.1%}'} of such tests",
        "take intervals for too narrow; look for what differs between valid and test",
        {"coverage": covered / rows, "coverage_asked": asked, "rows": rows, "chance": chance},
    )


def counted(rows: int) -> str:
    """Write a number of rows."""
    return f"{rows:,} row{'' if rows == 1 else 's'}"


def _at_most(count: int, rows: int, share: float) -> float:
    """Compute the probability of at most `count` of so many rows, of which each counts with a probability."""
    from scipy.stats import binom

    return float(binom.cdf(count, rows, share))


def _covered_at_most(covered: int, rows: int, inside: int, outside: int) -> float:
    """Compute the probability that a conformal interval covers at most so many rows.

    Given the rows that it was learned from, its coverage is a draw from a beta distribution of (inside, outside)
    (Vovk 2012), so the covered rows are beta-binomial.
    """
    from scipy.stats import betabinom

    return float(betabinom.cdf(covered, rows, inside, outside))
