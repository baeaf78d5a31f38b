"""Live view: a local web page that shows a recording as a video while it is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo._lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.live.player import Player
    from spike_zoo.live.server import LiveServer
    from spike_zoo.live.sources import GrowingFile, Pipe, StoredRecording

__all__ = ["GrowingFile", "LiveServer", "Pipe", "Player", "StoredRecording"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "GrowingFile": "sources",
        "LiveServer": "server",
        "Pipe": "sources",
        "Player": "player",
        "StoredRecording": "sources",
    },
)
