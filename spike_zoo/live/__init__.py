"""Live view: a local web page that shows a recording as a video while it is recorded."""

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
