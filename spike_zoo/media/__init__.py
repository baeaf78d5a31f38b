"""Pictures (PNG), videos (MP4), charts and HTML pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.media.charts import confusion_chart, map_chart
    from spike_zoo.media.page import Page, render_page, write_page
    from spike_zoo.media.pictures import (
        contact_sheet,
        load_picture,
        save_picture,
        side_by_side,
        to_bytes,
        to_pillow,
    )
    from spike_zoo.media.video import VideoWriter, save_video
    from spike_zoo.media.viewer import Layer, SpikePlanes, Viewer

__all__ = [
    "Layer",
    "Page",
    "SpikePlanes",
    "VideoWriter",
    "Viewer",
    "confusion_chart",
    "contact_sheet",
    "load_picture",
    "map_chart",
    "render_page",
    "save_picture",
    "save_video",
    "side_by_side",
    "to_bytes",
    "to_pillow",
    "write_page",
]

__getattr__, __dir__ = lazy_attributes(
    __name__,
    charts="confusion_chart map_chart",
    page="Page render_page write_page",
    pictures="contact_sheet load_picture save_picture side_by_side to_bytes to_pillow",
    video="VideoWriter save_video",
    viewer="Layer SpikePlanes Viewer",
)
