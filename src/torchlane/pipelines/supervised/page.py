"""The end of the stage report: the facts, and the page and the model card that are made from them."""

from collections.abc import Iterable

from kedro.pipeline import Node

from torchlane.pipelines.steps import step
from torchlane.pipelines.supervised import page_nodes as nodes

ARTIFACTS = (
    *("data_summary", "provenance", "history", "diagnosis", "metrics", "explanation", "feature_importances"),
    *("baselines", "warnings", "mistakes", "failures", "recipe"),
    *("leaderboard", "chosen_options", "option_importances"),
)
OPTIONS = ("data", "split", "tuning", "evaluation", "diagnosis")


def page(figures: Iterable[Node]) -> list[Node]:
    """Gather the facts, and write them up with the figures that these nodes draw."""
    gathered = {name: name for name in ARTIFACTS} | {f"{name}_options": f"params:{name}" for name in OPTIONS}
    shown = {name: name for figure in figures for name in figure.outputs}
    return [
        step("report", nodes.gather_facts, gathered, "facts"),
        step("report", nodes.write_report, {"facts": "facts", **shown}, "report"),
        step("report", nodes.write_model_card, {"facts": "facts"}, "model_card"),
    ]
