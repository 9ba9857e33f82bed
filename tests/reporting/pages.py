"""A page, read as a browser reads it."""

from html.parser import HTMLParser

LOADING = {"src", "srcset", "data", "poster", "action", "background"}  # attributes whose address a browser fetches


class Page(HTMLParser):
    """The elements of a page: anchors, links, addresses that load, scripts and visible text."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[tuple[str, str]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.metas: list[dict[str, str | None]] = []
        self.text = ""
        self._within: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        own = dict(attrs)
        self.handlers += [name for name in own if name.startswith("on")]
        self.loads += [(tag, value) for name, value in attrs if name in LOADING]
        if tag in ("link", "base", "iframe", "object", "embed"):
            self.loads.append((tag, str(own.get("href"))))
        if "id" in own:
            self.ids.append(own["id"])
        if tag == "a":
            self.links.append(own["href"])
        if tag == "meta":
            self.metas.append(own)
        if tag == "script":
            self.scripts.append((own, ""))
        self._within = tag if tag in ("script", "style") else None

    def handle_endtag(self, tag):
        self._within = None

    def handle_data(self, data):
        if self._within == "script":
            own, before = self.scripts[-1]
            self.scripts[-1] = own, before + data
        elif self._within is None:
            self.text += data

    def figure(self, name):
        """The text of a figure's JSON."""
        return next(text for own, text in self.scripts if own.get("id") == f"data-{name}")
