"""Warnings that a good colleague would give about the rows, the split, the model and its scores."""

import logging
from typing import Any

from torchlane.core.explaining import rules_of_data as data
from torchlane.core.explaining import rules_of_model as model
from torchlane.core.explaining.findings import Evidence, Finding, NotChecked, Rule

logger = logging.getLogger(__name__)

RULES: dict[str, Rule] = {  # the gravest first
    "leak": data.leak,
    "tested-on-train": model.tested_on_train,
    "no-test": model.no_test,
    "no-better-than-constant": model.no_better_than_constant,
    "worse-on-test": model.worse_on_test,
    "parts-differ": data.parts_differ,
    "class-missed": model.class_missed,
    "linear-as-good": model.linear_as_good,
    "interval-undercovers": model.interval_undercovers,
    "contradictory-rows": data.contradictory_rows,
    "undefined-metric": model.undefined_metric,
    "small-test": model.small_test,
    "few-rows": data.few_rows,
    "imbalanced": data.imbalanced,
    "heavy-tail": data.heavy_tail,
    "search-at-edge": model.search_at_edge,
    "useless-feature": data.useless_feature,
}


def find_warnings(evidence: Evidence) -> dict[str, Any]:
    """Apply the rules to the evidence, and log each warning.

    The result is the content of `warnings.json`: `warnings`, the gravest first, each with `code`, `title`, `warning`,
    `remedy`, `column` (null if it is not about a single one) and `numbers`; the codes that were `checked`; and
    `not_checked`, which says why the others were not.
    """
    results = {code: rule(evidence) for code, rule in RULES.items()}
    found = {code: result for code, result in results.items() if isinstance(result, Finding)}
    for code, finding in found.items():
        logger.warning("%s: %s; %s", code, finding.warning, finding.remedy)
    return {
        "warnings": [
            {
                "code": code,
                "title": finding.title,
                "warning": finding.warning,
                "remedy": finding.remedy,
                "column": finding.column,
                "numbers": dict(finding.numbers),
            }
            for code, finding in found.items()
        ],
        "checked": [code for code, result in results.items() if not isinstance(result, NotChecked)],
        "not_checked": {code: result.why for code, result in results.items() if isinstance(result, NotChecked)},
    }
