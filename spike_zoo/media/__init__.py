"""Images (PNG), videos (MP4), charts and HTML pages."""

from typing import TYPE_CHECKING

from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.media.images import (
        contact_sheet,
        load_image,
        save_image,
        side_by_side,
        to_pillow,
    )
    from spike_zoo.media.sharpening import sharpened
    from spike_zoo.media.video import save_video

__all__ = [
    "contact_sheet",
    "load_image",
    "save_image",
    "save_video",
    "sharpened",
    "side_by_side",
    "to_pillow",
]

__getattr__, __dir__ = lazy_attributes(__name__)
