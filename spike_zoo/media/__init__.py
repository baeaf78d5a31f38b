"""Pictures (PNG), videos (MP4), charts and HTML pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo._first_use import on_first_use

if TYPE_CHECKING:
    from spike_zoo.media.charts import confusion_chart, map_chart
    from spike_zoo.media.coded_video import (
        CodedVideo,
        available_codecs,
        decode_video,
        encode_video,
    )
    from spike_zoo.media.page import Page
    from spike_zoo.media.pictures import (
        contact_sheet,
        load_picture,
        save_picture,
        side_by_side,
        to_bytes,
        to_pillow,
    )
    from spike_zoo.media.rendering import render_page, write_page
    from spike_zoo.media.video import VideoWriter, save_video
    from spike_zoo.media.viewer import Layer, SpikePlanes, Viewer

__all__ = [
    "CodedVideo",
    "Layer",
    "Page",
    "SpikePlanes",
    "VideoWriter",
    "Viewer",
    "available_codecs",
    "confusion_chart",
    "contact_sheet",
    "decode_video",
    "encode_video",
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
    "CodedVideo": "coded_video",
    "Layer": "viewer",
    "Page": "page",
    "SpikePlanes": "viewer",
    "VideoWriter": "video",
    "Viewer": "viewer",
    "available_codecs": "coded_video",
    "confusion_chart": "charts",
    "contact_sheet": "pictures",
    "decode_video": "coded_video",
    "encode_video": "coded_video",
    "load_picture": "pictures",
    "map_chart": "charts",
    "render_page": "rendering",
    "save_picture": "pictures",
    "save_video": "video",
    "side_by_side": "pictures",
    "to_bytes": "pictures",
    "to_pillow": "pictures",
    "write_page": "rendering",
}

__getattr__ = on_first_use(__name__, _HOMES)
