"""The pages of the project, and what stands in them."""

import re
from pathlib import Path

from .commands import PROJECT

PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """Give the code blocks of a page in a language, "" for those that name none."""
    return [text for found, text in _BLOCK.findall(page.read_text()) if found == language]


def without_blocks(page: Path) -> str:
    """Give the prose of a page."""
    return _BLOCK.sub("", page.read_text())
