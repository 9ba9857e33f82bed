"""All facts of a use case, in the order of the page."""

from torchlane.reporting.facts import answer, asked, findings, in_short, origin, scores
from torchlane.reporting.facts.artifacts import Artifacts, Facts, require_format


def gather_facts(artifacts: Artifacts) -> Facts:
    """Make the facts of the page and the model card: text, numbers, lists and mappings only, as JSON holds them.

    Raises:
        ValueError: an artifact has an older format; the message names the stage to run again.
    """
    require_format(artifacts)
    facts = _facts(artifacts)
    return {**facts, "in_short": in_short.find_in_short(artifacts, facts)}


def _facts(artifacts: Artifacts) -> Facts:
    return {
        "task": artifacts.data.task,
        "target": artifacts.data.target,
        "images": any(column.kind == "image" for column in artifacts.data.feature_columns.values()),
        "metrics": {part: dict(artifacts.metrics[part]) for part in ("train", "valid", "test", "baseline")},
        "judged": artifacts.judged,
        "source": artifacts.metrics["data"],
        "versions": dict(artifacts.provenance["versions"]),
        "answer": answer.find_answer(artifacts),
        "asked": asked.find_asked(artifacts),
        "warnings": findings.find_warnings(artifacts),
        "rows": asked.find_rows(artifacts),
        "split": asked.find_split(artifacts),
        "scores": scores.find_scores(artifacts),
        "certainty": scores.find_certainty(artifacts),
        "drivers": findings.find_drivers(artifacts),
        "failures": findings.find_failures(artifacts),
        "training": findings.find_training(artifacts),
        "options": origin.find_options(artifacts),
        "search": findings.find_search(artifacts),
        "limits": origin.find_limits(artifacts),
        "provenance": origin.find_provenance(artifacts),
    }
