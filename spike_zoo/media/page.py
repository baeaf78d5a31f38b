"""Content of an HTML page: sections, tables, pictures, viewers, videos and commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from spike_zoo.media.viewer import SpikePlanes, Viewer, picture_source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from markupsafe import Markup

    from spike_zoo.media.pictures import Picture


@dataclass(frozen=True)
class Block:
    """One part of a page: the name of a macro of the template, and its arguments."""

    kind: str
    content: dict[str, Any]


@dataclass
class Page:
    """An HTML page whose parts are added from top to bottom.

    Texts are plain. ``**...**`` around a whole text or cell makes it bold.

    Args:
        title: Heading, and title of the browser's tab.
        subtitle: A line below the heading.

    Attributes:
        blocks: Parts of the page, from top to bottom.
        viewers: Content of the interactive parts; their ``number`` is the index.
    """

    title: str
    subtitle: str = ""
    blocks: list[Block] = field(default_factory=list)
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
        """Add a table; its first column is text, the others are numbers.

        Args:
            header: Headings of the columns.
            rows: The cells, row by row.
            caption: Caption above the table.
            notes: Notes below the table.
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
        """Add an interactive viewer of pictures over time, or of raw planes."""
        number = len(self.viewers)
        self._add("interactive", number=number, label=viewer.label, caption=viewer.caption)
        self.viewers.append(viewer)

    def add_legend(self, picture: Picture, text: str) -> None:
        """Add a legend of colours: a small picture and a text."""
        self._add("legend", source=picture_source(picture), text=text)

    def add_facts(self, facts: Sequence[tuple[str, object]]) -> None:
        """Add a row of facts, each with name and value."""
        self._add("facts", facts=facts)

    def add_commands(self, commands: Sequence[tuple[str, str]]) -> None:
        """Add commands for a terminal, each with its purpose."""
        self._add("commands", commands=commands)

    def add_video(self, path: str | Path, caption: str = "") -> None:
        """Add an MP4 file; the image in its middle is shown until the video plays."""
        from spike_zoo.media.frames import middle_image

        source, poster = picture_source(Path(path)), picture_source(middle_image(path))
        self._add("video", source=source, caption=caption, poster=poster)

    def _add(self, kind: str, **content: Any) -> None:
        self.blocks.append(Block(kind, content))
