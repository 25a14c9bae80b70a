"""Reads a page as a browser would: what it has, and whether its elements close."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

EMPTY = {"meta", "img"}


class Page(HTMLParser):
    """tags: how many of each; links: all that a browser would fetch; alts: of the pictures; text:
    all of it, without the style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.links: list[str] = []
        self.alts: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags[tag] += 1
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag == "img":
            self.alts.append(given["alt"] or "")
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data
