"""The page and the model card, laid out by templates from facts."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from torchlane.core.options import shown_number
from torchlane.reporting.drawn import draw_all
from torchlane.reporting.usage import describe_use

if TYPE_CHECKING:
    from jinja2 import Environment

    from torchlane.reporting.facts.artifacts import Facts

CONTENTS = (
    ("answer", "The answer"),
    ("asked", "What was asked"),
    ("warnings", "Warnings"),
    ("rows", "The data"),
    ("split", "The split"),
    ("scores", "How good it is"),
    ("certainty", "How sure it is"),
    ("drivers", "What drives it"),
    ("failures", "Where it fails"),
    ("training", "The training"),
    ("options", "Options"),
    ("search", "The search"),
    ("use", "How to use it"),
    ("limits", "Limits"),
    ("provenance", "Where it comes from"),
)
DASH = "\N{EN DASH}"  # for what has no value
SHARES = ("share",)  # columns of tables that hold shares of rows
COUNTS = ("rows", "rows of test", "rows without a value", "distinct values", "missing")  # those that hold counts
_MARKDOWN = re.compile(r"([\\`*\[\]|#~]|(?<!\w)_|_(?!\w))")


def render_page(facts: "Facts", figures: Mapping[str, Any]) -> str:
    """Lay out the page: one HTML file that loads nothing from elsewhere and draws a figure when it is scrolled to.

    `facts` are those of `gather_facts` with the `place` that `describe_use` needs, and `figures` are Plotly figures by
    name. The same facts and figures give the same text.
    """
    from markupsafe import Markup

    script, plotly = _template_text("page.js"), vendored_plotly()
    drawn = draw_all(figures)
    return (
        _environment()
        .get_template("page.html")
        .render(
            facts=facts,
            use_case=facts["place"]["use_case"],
            use=describe_use(facts),
            contents=CONTENTS,
            drawn=drawn,
            more=any(each.section == "more" for each in drawn),
            policy=_policy(script, plotly["text"]),
            css=Markup(_template_text("page.css")),
            plotly=plotly,
            script=Markup(script),
        )
    )


def render_card(facts: "Facts") -> str:
    """Lay out the model card: Markdown with a header, in the form of the Hugging Face Hub."""
    from markupsafe import Markup

    return (
        _environment(markdown=True)
        .get_template("card.md")
        .render(
            facts=facts,
            use_case=facts["place"]["use_case"],
            use={name: Markup(text.replace("```", "")) for name, text in describe_use(facts).items()},
            header=Markup(_header(facts, facts["place"]["use_case"])),
        )
    )


@cache
def vendored_plotly() -> dict[str, str]:
    """Read the part of plotly.js that comes with the package: its name, version, digest, gzip in base64, and text."""
    folder = files("torchlane.reporting") / "vendored"
    about: dict[str, str] = json.loads((folder / "plotly.json").read_text(encoding="utf-8"))
    packed = (folder / about["file"]).read_bytes()
    return {**about, "packed": base64.b64encode(packed).decode(), "text": gzip.decompress(packed).decode()}


def _policy(*scripts: str) -> str:
    """Allow these scripts, styles and pictures within the page, and nothing else: no request to any host."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"base-uri 'none'; form-action 'none'"
    )


def _template_text(name: str) -> str:
    return (files("torchlane.reporting") / "templates" / name).read_text(encoding="utf-8")


def _environment(markdown: bool = False) -> "Environment":
    """Prepare Jinja: everything that is not marked as safe is escaped, for Markdown in its own way too."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("torchlane.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_markdown if markdown else None,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _cell
    environment.filters["numeric"] = _numeric
    return environment


def _markdown(value: Any) -> Any:
    """Escape what Markdown and HTML would read as markup."""
    from markupsafe import Markup, escape

    if isinstance(value, Markup):
        return value
    return Markup(_MARKDOWN.sub(r"\\\1", " ".join(str(escape(value)).split())).replace("&\\#", "&#"))


def _numeric(table: Mapping[str, Any]) -> list[bool]:
    """Say of each column of a table whether it holds numbers."""
    return [
        any(isinstance(cell, (int, float)) for cell in cells) and not any(isinstance(cell, str) for cell in cells)
        for cells in zip(*table["rows"], strict=True)
    ]


def _cell(value: Any, column: str = "") -> str:
    """Write a cell of a table."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if column in SHARES:
        return f"{100 * value:.3g} %"
    if isinstance(value, int):
        return f"{value:,}" if column in COUNTS or abs(value) >= 10_000 else str(value)  # 2025 may be a year
    if isinstance(value, float) and value.is_integer():
        return _cell(int(value), column)
    return shown_number(value) if isinstance(value, float) else str(value)


PIPELINE_TAGS = {
    "regression": "tabular-regression",
    "binary": "tabular-classification",
    "multiclass": "tabular-classification",
}
OF_THE_HUB = {"mean_absolute_error": "mae", "accuracy_score": "accuracy", "f1_score": "f1", "roc_auc_score": "roc_auc"}


def _header(facts: "Facts", use_case: str) -> str:
    """Write the header of a card, which the Hub reads."""
    import yaml

    tag = "image-classification" if facts["images"] else PIPELINE_TAGS[facts["task"]]
    scores = facts["metrics"][facts["judged"]]
    measured = [
        {"type": OF_THE_HUB.get(name, name), "value": value, "name": name}
        for name, value in scores.items()
        if value is not None
    ]
    rows = {"type": use_case, "name": str(facts["source"]), "split": facts["judged"]}
    results = [{"task": {"type": tag}, "dataset": rows, "metrics": measured}]
    header = {
        "library_name": "torchlane",
        "pipeline_tag": tag,
        "tags": ["pytorch", "kedro", "tabular" if not facts["images"] else "images"],
        "model-index": [{"name": use_case, "results": results}],
    }
    return str(yaml.safe_dump(header, sort_keys=False, allow_unicode=True))
