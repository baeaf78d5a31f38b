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

_HOMES = {
    **dict.fromkeys(("confusion_chart", "map_chart"), "charts"),
    **dict.fromkeys(("Page", "render_page", "write_page"), "page"),
    **dict.fromkeys(("contact_sheet", "load_picture", "save_picture"), "pictures"),
    **dict.fromkeys(("side_by_side", "to_bytes", "to_pillow"), "pictures"),
    **dict.fromkeys(("VideoWriter", "save_video"), "video"),
    **dict.fromkeys(("Layer", "SpikePlanes", "Viewer"), "viewer"),
}

__getattr__ = lazy_attributes(__name__, _HOMES)
