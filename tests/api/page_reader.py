"""Parses a web page into tags, attributes and labels."""

from __future__ import annotations

from html.parser import HTMLParser


class PageReader(HTMLParser):
    """The tags, ids and labels of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside_label: list[int] = []
        self._labels = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self._labels += tag == "label"
        if self._labels:
            self.inside_label.append(len(self.tags))
        self.tags.append((tag, found))
        if found.get("id") is not None:
            self.ids.append(str(found["id"]))

    def handle_endtag(self, tag: str) -> None:
        self._labels -= tag == "label"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def with_id(self, name: str) -> dict[str, str | None]:
        return next(found for _, found in self.tags if found.get("id") == name)
