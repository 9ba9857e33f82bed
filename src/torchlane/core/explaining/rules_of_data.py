"""Rules that warn of the rows: leaks, features without use, parts that differ, too few rows, contradictions, tails."""

from collections.abc import Iterable

from torchlane.core.explaining.findings import Evidence, Finding, NotChecked, Result

LEAK = {"regression": 0.95, "binary": 0.9, "multiclass": 0.9}  # of the score of one feature
FEWEST_OF_LEAK = 50  # rows of train, below which one feature may come so close by chance
WITHIN = 2.0  # spreads of an importance that are no effect
FEWEST_OF_USE = 50  # rows of test, below which importances show too little
APART_ERRORS, APART_AUC = 4.0, 0.55  # cross-validated AUCs spread 1.3 times as much as the standard error
FEW = 10  # rows, with which a recall of 0.5 is uncertain by 0.3
TAIL = 0.3  # share of the squares; 0.08 is that of a normal, 0.22 of an exponential distribution
CONTRADICTED = 0.01  # share of the rows
FEWEST_CONTRADICTED = 10  # rows
REACHED = 0.98  # ceilings above this are no limit worth a word
DOMINANT = 0.9  # share of one label
MOST_NAMED = 5
NO_TEST = NotChecked("test has no rows")
OF_IMAGE = NotChecked("an image is the only feature")


def leak(evidence: Evidence) -> Result:
    """Find features that alone nearly give the target."""
    if evidence.is_image:
        return OF_IMAGE
    if evidence.rows["train"] < FEWEST_OF_LEAK:
        return NotChecked(f"train has fewer than {FEWEST_OF_LEAK} rows")
    least = LEAK[evidence.task]
    found = {name: round(score, 4) for name, score in evidence.signals.items() if score >= least}
    if not found:
        return None
    found = dict(sorted(found.items(), key=lambda item: -item[1]))
    best = next(iter(found))
    saved = f"{'saves' if len(found) == 1 else 'save up to'} {found[best]:.1%}"
    return Finding(
        "A feature nearly gives the target",
        f"{named(found)} alone {saved} of the error in predicting '{evidence.target}' by a constant",
        "leave it out of data.features unless it is known before the target is, when predictions are made",
        {"scores": found, "limit": least},
        best if len(found) == 1 else None,
    )


def useless_feature(evidence: Evidence) -> Result:
    """Find features that are constant, or that nothing shows to help."""
    if evidence.is_image:
        return OF_IMAGE
    constant = list(evidence.constant)
    is_weighed = bool(evidence.importances) and evidence.rows["test"] >= FEWEST_OF_USE
    idle = [
        name
        for name, importance in (evidence.importances.items() if is_weighed else ())
        if name not in constant
        and importance.drop <= WITHIN * importance.spread
        and evidence.signals.get(name, 1.0) <= 0
    ]
    if not constant and not idle:
        return None if is_weighed else NotChecked(f"no importances on at least {FEWEST_OF_USE} rows of test")
    parts = []
    if constant:
        parts.append(f"{named(constant)} {_has(constant)} one value in train")
    if idle:
        helps, alone = ("helps", "it predicts") if len(idle) == 1 else ("help", "they predict")
        parts.append(
            f"nothing shows that {named(idle)} {helps}: {evidence.primary} on test falls by no more than chance if "
            f"permuted, and alone {alone} no better than a constant"
        )
    every = [*constant, *idle]
    return Finding(
        "A feature carries nothing" if len(every) == 1 else "Features carry nothing",
        "; ".join(parts),
        _without(len(every), len(evidence.signals)),
        {"constant": constant, "without_effect": idle},
        every[0] if len(every) == 1 else None,
    )


def parts_differ(evidence: Evidence) -> Result:
    """Find out whether a classifier tells rows of test from those of train."""
    if not evidence.has_test:
        return NO_TEST
    if evidence.parted_by in ("split.all_rows_in", "split.group_by", "split.order_by"):
        return NotChecked(f"{evidence.parted_by} makes the parts, which differ by intention")
    if evidence.apart is None:
        return NotChecked("too few rows of a part differ")
    auc, error, rows = evidence.apart
    if auc <= APART_AUC or auc - 0.5 <= APART_ERRORS * error:
        return None
    made = f", as {evidence.parted_by} makes the parts" if evidence.parted_by else ""
    return Finding(
        "Test differs from train",
        f"a classifier tells rows of test from those of train with an AUC of {auc:.2f} (0.5 is chance, standard error "
        f"{error:.2f}){made}",
        "scores hold for rows like those of test; if that is not intended, compare the distributions of the parts",
        {"roc_auc_score": auc, "standard_error": error, "rows": rows},
    )


def few_rows(evidence: Evidence) -> Result:
    """Find labels and levels that test has too few rows of to judge the model on them."""
    if not evidence.has_test:
        return NO_TEST
    labels = {name: own["rows"] for name, own in evidence.metrics.get("classes", {}).items() if own["rows"] < FEW}
    levels = {name: rows for name, rows in evidence.level_rows.items() if rows < FEW}
    if not labels and not levels:
        return None
    shown = [f"{evidence.target}={name} ({rows})" for name, rows in sorted(labels.items(), key=lambda item: item[1])]
    shown += [f"{name} ({rows})" for name, rows in sorted(levels.items(), key=lambda item: item[1])]
    return Finding(
        "Too few rows to judge some classes or levels",
        f"test has fewer than {FEW} rows of {_listed(shown)}",
        "do not rely on their scores; set evaluation.folds to test on every row, or give more rows of them",
        {"labels": labels, "levels": levels, "limit": FEW},
    )


def contradictory_rows(evidence: Evidence) -> Result:
    """Find rows with equal features and different targets, and the ceiling that follows."""
    found = evidence.contradictions
    if found is None:
        return NotChecked("all targets are equal")
    if found.rows < max(FEWEST_CONTRADICTED, CONTRADICTED * found.of_rows) or found.at_most >= REACHED:
        return None
    metric = "r2_score" if evidence.task == "regression" else "accuracy_score"
    return Finding(
        "Equal rows have different targets",
        f"{found.rows:,} of {found.of_rows:,} rows equal others in all features but differ in '{evidence.target}', so "
        f"no model of these features has {metric} above {found.at_most:.2f} on all rows",
        "add features that tell these rows apart",
        {**found._asdict(), "metric": metric},
    )


def heavy_tail(evidence: Evidence) -> Result:
    """Find a target whose squared errors are those of a few rows."""
    if evidence.task != "regression":
        return NotChecked("the target is a label")
    if evidence.tail is None:
        return NotChecked("fewer than 100 rows of train, or all targets are equal")
    if evidence.tail < TAIL:
        return None
    robust = evidence.loss in ("l1", "huber")
    return Finding(
        "The target has heavy tails",
        f"1 % of the rows have {evidence.tail:.0%} of the squared deviations of '{evidence.target}' (8 % in a normal "
        f"distribution), so r2_score and root_mean_squared_error are about a few rows",
        "check the largest values; judge by mean_absolute_error"
        + ("" if robust else "; try training.loss: huber, or predict the logarithm"),
        {"share": evidence.tail, "limit": TAIL},
    )


def imbalanced(evidence: Evidence) -> Result:
    """Find a label so frequent that accuracy says little."""
    if evidence.task == "regression":
        return NotChecked("the target is a number")
    label, share = max(evidence.shares.items(), key=lambda item: item[1])
    if share < DOMINANT:
        return None
    return Finding(
        "One label is so frequent that accuracy says little",
        f"{share:.1%} of train is '{label}', so always saying that has an accuracy_score of about {share:.2f}",
        "judge by balanced_accuracy_score and the recall of each label; try training.loss.class_weights: balanced",
        {"label": label, "share": share, "limit": DOMINANT},
    )


def named(names: Iterable[str]) -> str:
    """Quote the names of columns, a few of many."""
    return _listed([f"'{name}'" for name in names])


def _listed(names: list[str]) -> str:
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _without(n_idle: int, n_features: int) -> str:
    """Say how to find out whether features are needed."""
    if n_idle >= n_features:
        return "give features that tell something of the target"
    if n_idle == 1:
        return "leave it out of data.features and compare"
    return f"leave them out {'one by one' if n_idle <= MOST_NAMED else 'together'} and compare"


def _has(names: list[str]) -> str:
    return "has" if len(names) == 1 else "have each"
