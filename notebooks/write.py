"""Write each notebook from its text form: without outputs, and the same bytes each time."""

from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parent
HEADER = "# ---\n# jupyter:"


def texts(folder: Path = FOLDER) -> list[Path]:
    """List the text forms, which begin with the header of jupytext."""
    return sorted(path for path in folder.glob("*.py") if path.read_text().startswith(HEADER))


def notebook_of(text: Path) -> NotebookNode:
    """Make the notebook of a text form; a cell's id is the name of the notebook and its number in it."""
    notebook = jupytext.read(text)
    for number, cell in enumerate(notebook.cells, start=1):
        cell["id"] = f"{text.stem}-{number}"
    nbformat.validate(notebook)
    return notebook


def content_of(text: Path) -> str:
    """Give the content of the notebook of a text form, as it stands in the file."""
    written: str = nbformat.writes(notebook_of(text)) + "\n"
    return written


if __name__ == "__main__":
    for text in texts():
        text.with_suffix(".ipynb").write_text(content_of(text))
