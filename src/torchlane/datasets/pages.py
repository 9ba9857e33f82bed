"""The words of a page in HTML."""

from html.parser import HTMLParser

HIDDEN = {"script", "style", "template", "svg", "head"}
CELLS = {"td", "th"}
LINES = {"p", "div", "section", "article", "header", "h1", "h2", "h3", "h4", "li", "tr", "summary", "pre", "br", "dt"}


def words_of(page: str) -> str:
    """Return the text of a page that a reader sees, a line for each paragraph, heading, item and row of a table.

    >>> words_of("<style>p {}</style><h1>Prices</h1><table><tr><td>r2</td><td>0.6 &lt; 1</td></tr></table>")
    'Prices\\nr2  0.6 < 1'
    """
    reader = _Reader()
    reader.feed(page)
    reader.close()
    lines = (line.strip() for line in "".join(reader.found).split("\n"))
    return "\n".join(line for line in lines if line)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in HIDDEN:
            self._hidden.append(tag)
        if tag in LINES:
            self.found.append("\n")
        if tag in CELLS:
            self.found.append("  ")

    def handle_endtag(self, tag: str) -> None:
        if self._hidden and tag == self._hidden[-1]:
            self._hidden.pop()

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.found.append(" ".join(data.split()) if data.strip() else " ")
