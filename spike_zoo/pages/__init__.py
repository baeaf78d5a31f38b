"""Pages for people: reports and the live view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.pages.live import LiveServer, Player
    from spike_zoo.pages.live_sources import GrowingFile, Pipe, StoredRecording

__all__ = ["GrowingFile", "LiveServer", "Pipe", "Player", "StoredRecording"]

__getattr__ = lazy_attributes(
    __name__, live="LiveServer Player", live_sources="GrowingFile Pipe StoredRecording"
)
