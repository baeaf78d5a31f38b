"""One HTML file that shows pictures, videos and tables anywhere, without a network."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from spike_zoo.errors import MissingFileError
from spike_zoo.files import new_file
from spike_zoo.media.pictures import to_pillow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from spike_zoo.media.pictures import Picture

MIME_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".mp4": "video/mp4",
}


@dataclass(frozen=True)
class Figure:
    """A picture or video with what stands below it; ``source`` is a data URI or a file."""

    source: str | Path
    caption: str = ""


@dataclass(frozen=True)
class Block:
    """One part of a page: the template's macro for it and what that shows."""

    kind: str
    content: dict[str, Any]


@dataclass
class Page:
    """A page, built from top to bottom.

    Texts are plain; ``**...**`` around a whole text or cell makes it bold.

    Args:
        title: Heading, and the name in the browser's tab.
        subtitle: A line below it.
    """

    title: str
    subtitle: str = ""
    blocks: list[Block] = field(default_factory=list)

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
        """Add a table; its first column is text, the others are numbers.

        Args:
            header: What stands above the columns.
            rows: The cells, row by row.
            caption: What stands above the table.
            notes: What a reader must know, below it.

        Raises:
            ValueError: If a row has not as many cells as the header.
        """
        for row in rows:
            if len(row) != len(header):
                raise ValueError(f"a row of {len(row)} cells under {len(header)} headings: {row}")
        self._add("table", header=header, rows=rows, caption=caption, notes=notes)

    def add_warning(self, text: str) -> None:
        """Add a paragraph that nobody overlooks."""
        self._add("warning", text=text)

    def add_drawings(self, drawings: Sequence[tuple[Markup, str]]) -> None:
        """Add SVG drawings with their captions beside each other."""
        self._add("drawings", drawings=drawings)

    def add_strips(
        self, names: Sequence[str], strips: Sequence[tuple[str, Sequence[Path]]]
    ) -> None:
        """Add rows of small pictures: a name, then one picture for each of ``names``.

        A row with a single picture shows it over all columns.
        """
        rows = [(name, [_picture_source(path) for path in pictures]) for name, pictures in strips]
        self._add("strips", names=names, rows=rows)

    def add_picture(self, picture: Picture | str | Path, caption: str = "") -> None:
        """Add a picture over the whole width: an image (see ``to_bytes``) or a file."""
        self._add("gallery", figures=[Figure(_picture_source(picture), caption)], wide=True)

    def add_gallery(
        self, pictures: Sequence[Picture | str | Path], captions: Sequence[str] | None = None
    ) -> None:
        """Add pictures beside each other, as many in a row as there is room for.

        Raises:
            ValueError: If there is not one caption for each.
        """
        texts = [""] * len(pictures) if captions is None else captions
        if len(texts) != len(pictures):
            raise ValueError(f"{len(pictures)} pictures need as many captions, got {len(texts)}")
        sources = [_picture_source(picture) for picture in pictures]
        figures = [Figure(source, text) for source, text in zip(sources, texts, strict=True)]
        self._add("gallery", figures=figures, wide=False)

    def add_comparison(
        self,
        before: Picture | str | Path,
        after: Picture | str | Path,
        labels: tuple[str, str] = ("before", "after"),
        caption: str = "",
    ) -> None:
        """Add two pictures of one scene above each other with a slider between them."""
        figures = [Figure(_picture_source(before), labels[0])]
        figures.append(Figure(_picture_source(after), labels[1]))
        self._add("comparison", before=figures[0], after=figures[1], caption=caption)

    def add_video(self, path: str | Path, caption: str = "", *, embed: bool = True) -> None:
        """Add an MP4 file, inside the page or (``embed=False``) linked from beside it.

        Raises:
            MissingFileError: If there is no such file.
        """
        source = _data_uri(Path(path)) if embed else _existing(Path(path))
        self._add("video", figure=Figure(source, caption))

    def _add(self, kind: str, **content: Any) -> None:
        self.blocks.append(Block(kind, content))


def write_page(page: Page, path: str | Path) -> None:
    """Write a page as one HTML file, replacing one that is there; whole or not at all."""
    target = Path(path)
    html = render_page(page, target.parent)
    with new_file(target, overwrite=True) as temporary:
        temporary.write_text(html, encoding="utf-8")


def render_page(page: Page, folder: str | Path = ".") -> str:
    """Return a page as HTML; linked videos are named as seen from ``folder``."""
    environment = Environment(
        loader=PackageLoader("spike_zoo.media", package_path="."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["emphasised"] = _emphasised

    def link(source: str | Path) -> str:
        if isinstance(source, str):
            return source
        return quote(Path(os.path.relpath(source, folder)).as_posix())

    environment.filters["link"] = link
    return environment.get_template("page.html").render(page=page)


def _emphasised(text: object) -> Markup:
    """Escape a text unless it is HTML; ``**`` around the whole of it becomes bold."""
    if isinstance(text, Markup):
        return text
    plain = str(text)
    if len(plain) > 4 and plain.startswith("**") and plain.endswith("**"):
        return Markup("<strong>{}</strong>").format(plain[2:-2])
    return escape(plain)


def _picture_source(picture: Picture | str | Path) -> str:
    if isinstance(picture, str | Path):
        return _data_uri(Path(picture))
    buffer = io.BytesIO()
    to_pillow(picture).save(buffer, format="PNG", optimize=True)
    return _encoded(buffer.getvalue(), "image/png")


def _data_uri(path: Path) -> str:
    kind = MIME_TYPES.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path}: a page shows {', '.join(MIME_TYPES)}")
    return _encoded(_existing(path).read_bytes(), kind)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise MissingFileError(f"{path}: there is no such file to show", path=str(path))
    return path


def _encoded(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
