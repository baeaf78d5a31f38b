"""A recording as a video on a page of this machine while it is read or still being written."""

from spike_zoo.live.player import LiveState, Player
from spike_zoo.live.server import LiveServer
from spike_zoo.live.sources import GrowingFile, Pipe, StoredRecording, open_source

__all__ = [
    "GrowingFile",
    "LiveServer",
    "LiveState",
    "Pipe",
    "Player",
    "StoredRecording",
    "open_source",
]
