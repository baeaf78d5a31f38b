"""HTML pages with sections, tables, images, viewers, videos and commands, each in one file.

A Content-Security-Policy blocks every external source: it allows the style sheet and the script by
their digests, and images and videos as data URIs.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from spike_zoo.media.images import ImageArray
from spike_zoo.media.viewer import SpikePlanes, Viewer, image_source
from spike_zoo.utils.files import new_file

_SCRIPTS = ("page.js", "page_viewer.js", "page_start.js")  # concatenated in this order


@dataclass
class Page:
    """An HTML page whose parts are added from top to bottom.

    Texts are plain. ``**...**`` around a whole text or cell makes it bold.

    Args:
        title: Heading, and title of the browser's tab.
        subtitle: A line below the heading.
    """

    title: str
    subtitle: str = ""
    #: parts of the page, from top to bottom
    blocks: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    #: content of the interactive parts; their ``number`` is the index
    viewers: list[Viewer | SpikePlanes] = field(default_factory=list)

    def add_section(self, heading: str, text: str = "") -> None:
        """Begin a section with a heading."""
        self._add("section", heading=heading, text=text)

    def add_text(self, text: str) -> None:
        """Add a paragraph."""
        self._add("text", text=text)

    def add_table(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        caption: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        """Add a table with a caption above and notes below it.

        The first column is text, the others are numbers.
        """
        for row in rows:
            if len(row) != len(header):
                raise ValueError(f"a row of {len(row)} cells under {len(header)} headings: {row}")
        self._add("table", header=header, rows=rows, caption=caption, notes=notes)

    def add_notes(self, notes: Sequence[str]) -> None:
        """Add a list of short notes; nothing if it is empty."""
        self._add("notes", notes=notes)

    def add_warning(self, text: str) -> None:
        """Add a highlighted paragraph."""
        self._add("warning", text=text)

    def add_drawings(self, drawings: Sequence[tuple[Markup, str]]) -> None:
        """Add a row of SVG drawings with captions."""
        self._add("drawings", drawings=drawings)

    def add_viewer(self, viewer: Viewer | SpikePlanes) -> None:
        """Add an interactive viewer of images over time, or of raw planes."""
        number = len(self.viewers)
        self._add("interactive", number=number, label=viewer.label, caption=viewer.caption)
        self.viewers.append(viewer)

    def add_legend(self, image: ImageArray, text: str) -> None:
        """Add a legend of colours: a small image and a text."""
        self._add("legend", source=image_source(image), text=text)

    def add_facts(self, facts: Sequence[tuple[str, object]]) -> None:
        """Add a row of facts, each with name and value."""
        self._add("facts", facts=facts)

    def add_commands(self, commands: Sequence[tuple[str, str]]) -> None:
        """Add commands for a terminal, each with its purpose."""
        self._add("commands", commands=commands)

    def add_video(self, path: str | Path, caption: str = "") -> None:
        """Add an MP4 file; the image in its middle is shown until the video plays."""
        from spike_zoo.media.frames import VideoFrames

        video = VideoFrames(path)
        middle = len(video) // 2
        (image,) = video.read(middle, middle + 1)
        source, poster = image_source(Path(path)), image_source(image)
        self._add("video", source=source, caption=caption, poster=poster)

    def _add(self, kind: str, **content: Any) -> None:
        self.blocks.append((kind, content))


def write_page(page: Page, path: str | Path) -> None:
    """Write a page as one HTML file, atomically; replace an existing file."""
    html = render_page(page)
    with new_file(Path(path), overwrite=True) as temporary:
        temporary.write_text(html, encoding="utf-8", errors="backslashreplace")


def render_page(page: Page) -> str:
    """Return a page as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # slow import

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
