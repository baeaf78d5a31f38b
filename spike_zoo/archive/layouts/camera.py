"""Recordings of a layout, opened with the settings that the user and the layout state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from spike_zoo.formats.recording import RecordingSource

if TYPE_CHECKING:
    from pathlib import Path

    from spike_zoo.formats.sidecar import RecordingSettings
    from spike_zoo.spikes.recording import SpikeRecording
    from spike_zoo.spikes.take import Take

#: Name, split and reader of a take.
FoundTake = tuple[str, str | None, "Callable[[], Take]"]


def open_stated(path: Path, stated: RecordingSettings) -> SpikeRecording:
    """Open a recording of any format; its size and bit layout are used for ``.dat`` only."""
    if path.suffix.lower() != ".dat":
        stated = replace(stated, height=None, width=None, frame_align=None)
        stated = replace(stated, offset=None, bit_order=None)
    return RecordingSource(path, stated=stated).open(check_rows=True)
