"""Write the drawing of the pipeline into docs/design.md, from the pipeline itself: `uv run python docs/pipeline.py`."""

from pathlib import Path

from torchlane.pipelines.supervised import create_pipeline
from torchlane.stages import STAGES

PLOT, FIGURE = "plot_", "_figure"  # what the names of nodes that draw begin with, and those of what they draw end with
DESIGN = Path(__file__).with_name("design.md")
START, END = "<!-- docs/pipeline.py -->\n\n```text\n", "```\n\n<!-- end -->"


def drawing() -> str:
    """Draw a line for each node: its first stage, its name, the datasets that it takes and those that it makes.

    The nodes that draw a figure each share a line.
    """
    lines, stage = [], ""
    nodes = {node.name.rpartition(".")[2]: node for node in create_pipeline("use_case").nodes}
    drawn = [nodes.pop(name) for name in sorted(nodes) if name.startswith(PLOT)]
    figures = ", ".join(node.outputs[0].partition(".")[2].removesuffix(FIGURE) for node in drawn)
    for tag in STAGES:
        if tag == STAGES[-1]:
            lines.append(f"{tag:9}{PLOT + '…':18}{len(drawn)} figures: {figures}")
            stage = tag
        for name in [name for name, node in nodes.items() if tag in node.tags]:
            node = nodes.pop(name)
            taken = _names(each for each in node.inputs if not each.startswith("params:"))
            made = f" -> {_names(node.outputs)}" if node.outputs else ""
            lines.append(f"{tag if tag != stage else '':9}{name:18}{taken}{made}")
            stage = tag
    return "\n".join(lines) + "\n"


def _names(datasets) -> str:
    names = (name.partition(".")[2] for name in datasets)
    return ", ".join(dict.fromkeys("the figures" if name.endswith(FIGURE) else name for name in names))


def with_drawing(text: str) -> str:
    """Put the drawing in the place of the one that a text has."""
    before, rest = text.split(START)
    return before + START + drawing() + END + rest.partition(END)[2]


if __name__ == "__main__":
    DESIGN.write_text(with_drawing(DESIGN.read_text(encoding="utf-8")), encoding="utf-8")
