"""Parsing of HTML pages."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

_NEVER_CLOSED = ("img", "meta", "link", "input", "br", "path", "circle")


class Tags(HTMLParser):
    """Collect the sources, texts and unclosed tags of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag not in _NEVER_CLOSED:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def page_data(html: str) -> list[dict[str, Any]]:
    """Return the JSON data of the interactive parts of a page."""
    match = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', html)
    return json.loads(match[1]) if match else []
