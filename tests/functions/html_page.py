"""An HTML page, as tests look at it."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser

#: Elements without an end tag.
VOID = {"meta", "link", "img", "br", "input"}


def digest(text: str) -> str:
    """A style or script as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


class Page(HTMLParser):
    """What is in a page: its tags, the names of its attributes, the text of each element that has an ID, ..."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text: dict[str, str] = {}
        self.styles: list[str] = []
        self.scripts: list[str] = []
        self.examples: list[str] = []  #: the texts of `pre` elements
        self.rows: list[list[str]] = []  #: of all tables, the texts of their cells
        self._open: list[tuple[str, str | None]] = []
        self.feed(html)
        self.close()

    def forbidden(self) -> list[str]:
        """Attributes that a page with our policy cannot use."""
        return [name for name in self.attributes if name == "style" or name.startswith("on")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.attributes += values
        self.links += [values["href"] or ""] if tag == "a" and "href" in values else []
        anchor = values.get("id")
        if anchor is not None:
            self.ids.append(anchor)
            self.text[anchor] = ""
        match tag:
            case "style":
                self.styles.append("")
            case "script":
                self.scripts.append("")
            case "pre":
                self.examples.append("")
            case "tr":
                self.rows.append([])
            case "th" | "td":
                self.rows[-1].append("")
            case _:
                pass
        if tag not in VOID:
            self._open.append((tag, anchor))

    def handle_endtag(self, tag: str) -> None:
        # The templates of the web page leave nothing open, and neither does ours.
        assert self._open
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        tags = {tag for tag, _ in self._open}
        for tag, texts in (("style", self.styles), ("script", self.scripts), ("pre", self.examples)):
            if tag in tags:
                texts[-1] += data
        if tags & {"th", "td"}:
            self.rows[-1][-1] += data
        for _, anchor in self._open:
            if anchor is not None:
                self.text[anchor] += data
