"""A recording as a video on a page of this machine while it is read or still being written."""

from spike_zoo.live.player import Player
from spike_zoo.live.server import LiveServer
from spike_zoo.live.sources import GrowingFile, Pipe, StoredRecording

__all__ = [
    "GrowingFile",
    "LiveServer",
    "Pipe",
    "Player",
    "StoredRecording",
]
