"""Arrays to things people look at: PNG pictures, MP4 videos, HTML pages."""

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

__all__ = [
    "CodedVideo",
    "Page",
    "VideoWriter",
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
    "Page": "page",
    "VideoWriter": "video",
    "available_codecs": "coded_video",
    "confusion_chart": "charts",
    "contact_sheet": "pictures",
    "decode_video": "coded_video",
    "encode_video": "coded_video",
    "load_picture": "pictures",
    "map_chart": "charts",
    "render_page": "page",
    "save_picture": "pictures",
    "save_video": "video",
    "side_by_side": "pictures",
    "to_bytes": "pictures",
    "to_pillow": "pictures",
    "write_page": "page",
}

__getattr__ = on_first_use(__name__, _HOMES)
