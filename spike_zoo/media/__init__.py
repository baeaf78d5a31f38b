"""Arrays to things people look at: PNG pictures, MP4 videos, HTML pages."""

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
    "Page",
    "VideoWriter",
    "contact_sheet",
    "load_picture",
    "render_page",
    "save_picture",
    "save_video",
    "side_by_side",
    "to_bytes",
    "to_pillow",
    "write_page",
]
