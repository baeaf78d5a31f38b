"""Pictures (PNG), videos (MP4), charts and HTML pages."""

from typing import TYPE_CHECKING

from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.media.pictures import (
        contact_sheet,
        load_picture,
        save_picture,
        side_by_side,
        to_pillow,
    )
    from spike_zoo.media.video import save_video

__all__ = [
    "contact_sheet",
    "load_picture",
    "save_picture",
    "save_video",
    "side_by_side",
    "to_pillow",
]

__getattr__, __dir__ = lazy_attributes(__name__)
