"""Rendering of pages as one HTML file that contains styles, script, data and pictures.

A Content-Security-Policy blocks every external source: it allows the style sheet and the script by
their digests, and pictures and videos as data URIs.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from spike_zoo.utils.files import new_file

if TYPE_CHECKING:
    from spike_zoo.media.page import Page

_SCRIPTS = ("page.js", "page_viewer.js", "page_start.js")  # concatenated in this order


def write_page(page: Page, path: str | Path) -> None:
    """Write a page as one HTML file, atomically; replace an existing file."""
    html = render_page(page)
    with new_file(Path(path), overwrite=True) as temporary:
        temporary.write_text(html, encoding="utf-8", errors="backslashreplace")


def render_page(page: Page) -> str:
    """Return a page as HTML."""
    environment = Environment(
        loader=PackageLoader("spike_zoo.media", package_path="."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["emphasised"] = _emphasised
    style, script = _part("page.css"), "\n".join(map(_part, _SCRIPTS))
    return environment.get_template("page.html").render(
        page=page,
        policy=_policy(style, script if page.viewers else ""),
        style=Markup(style),
        script=Markup(script),
        data=_as_json([item.as_data() for item in page.viewers]),
    )


def _part(name: str) -> str:
    return files("spike_zoo.media").joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy of a page."""
    rules = {
        "default-src": "'none'",
        "img-src": "data:",
        "media-src": "data:",
        "style-src": _digest(style),
        "style-src-attr": "'unsafe-inline'",  # line styles in SVG drawings
        "script-src": _digest(script) if script else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _as_json(data: object) -> Markup:
    """Return data as JSON for a script element, with characters escaped that could end it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _emphasised(text: object) -> Markup:
    """Escape a text unless it is Markup; make a text in ``**...**`` bold."""
    if isinstance(text, Markup):
        return text
    plain = str(text)
    if len(plain) > 4 and plain.startswith("**") and plain.endswith("**"):
        return Markup("<strong>{}</strong>").format(plain[2:-2])
    return escape(plain)
