"""The questions that a stranger asks of a model, each with an answer of a line or two and its section of the page."""

from torchlane.reporting.facts.artifacts import Artifacts, Facts
from torchlane.reporting.facts.scores import SCORED_BY
from torchlane.reporting.facts.wording import SHOWN, listed, shown_score

FEW_ROWS = "few-rows"  # the warning of levels and classes that cannot be judged
MOST_GROUPS = 3
SHORT = 12  # letters of a fingerprint that are enough to compare


def find_in_short(artifacts: Artifacts, facts: Facts) -> list[Facts]:
    """Answer five questions from the facts of the other sections; each has `question`, `answer` and `anchor`."""
    asked = [
        ("Is it better than something simple?", _beside(artifacts), "scores"),
        ("Can I rely on a single prediction?", _single(artifacts, facts), "certainty"),
        ("Which rows should I not trust?", _doubtful(artifacts, facts), "failures"),
        ("What does it look at?", _drivers(facts), "drivers"),
        ("Are the data real, and which model is this?", _origin(artifacts, facts), "provenance"),
    ]
    return [{"question": question, "answer": answer, "anchor": anchor} for question, answer, anchor in asked]


def _beside(artifacts: Artifacts) -> str:
    """Compare with guessing and with a linear model by the metric that is easiest to understand."""
    name = SCORED_BY[artifacts.data.task]
    own = artifacts.metrics[artifacts.judged].get(name)
    said = f"Its {SHOWN[name]} on {artifacts.judged} is {_shown(artifacts, own)}"
    if artifacts.judged != "test":
        return f"{said}. It was not compared with others, since test has no rows."
    linear = artifacts.baselines["linear"]
    median = artifacts.metrics.get("median") if artifacts.data.task == "regression" else artifacts.metrics["baseline"]
    others = [("always guessing", median), ((linear or {}).get("name", ""), (linear or {}).get("test"))]
    told = [f"that of {who} is {_shown(artifacts, of[name])}" for who, of in others if of and of.get(name) is not None]
    return f"{'; '.join([said, *told])}."


def _shown(artifacts: Artifacts, value: float | None) -> str:
    return shown_score(value, artifacts.unit if artifacts.data.task == "regression" else None)


def _single(artifacts: Artifacts, facts: Facts) -> str:
    detail = " ".join(facts["answer"]["detail"])
    if artifacts.data.task == "regression":
        return detail
    return f"{detail} Each prediction has a probability: the lower it is, the less you should rely on it.".strip()


def _doubtful(artifacts: Artifacts, facts: Facts) -> str:
    """Name the groups that are predicted worst, and those with too few rows to say."""
    groups = [f"{row[0]} {row[1]}" for row in facts["failures"]["groups"]["rows"]]
    said = (
        [f"Worse than the average: rows with {listed(groups, MOST_GROUPS)}."] if groups else [facts["failures"]["said"]]
    )
    few = [each["warning"] for each in artifacts.warnings["warnings"] if each["code"] == FEW_ROWS]
    said += [f"{text[:1].upper()}{text[1:]}." for text in few]
    return " ".join(said)


def _drivers(facts: Facts) -> str:
    return str(facts["drivers"]["strongest"])


def _origin(artifacts: Artifacts, facts: Facts) -> str:
    made, source = artifacts.provenance, facts["source"]
    real = "No: the rows are a bundled sample, made by a generator." if facts["asked"]["sample"] else f"Rows: {source}."
    commit = f", commit {str(made['commit'])[:SHORT]}" if made.get("commit") else ""
    return f"{real} Model file {str(made['model'])[:SHORT]}…, trained {str(made['time'])[:10]}{commit}."
