"""Sources of planes for the live view: a recording, a growing file or a pipe."""

import stat
import threading
import time
import warnings
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import FormatError, GeometryError, PlaneRangeError
from spike_zoo.formats.dat import DatLayout, DatPlanes, dat_recording
from spike_zoo.formats.recording import RecordingSource, complete, dat_layout
from spike_zoo.formats.remote import local_path
from spike_zoo.formats.sidecar import RecordingSettings
from spike_zoo.spikes.recording import SpikeRecording

_KEPT_BYTES: Final = 1 << 28  # of a pipe: 21 000 planes of 250 x 400
_READ_BYTES: Final = 1 << 20
_ARRIVALS: Final = 1024


class PlaneSource:
    """Source of planes whose number may grow."""

    ended: bool  #: whether no more planes will arrive
    rate_scale: float | None  #: spikes per plane at white; None if it is not stated

    def __init__(self) -> None:
        #: plane after the newest one, and the time of its arrival
        self._arrivals: deque[tuple[int, float]] = deque(maxlen=_ARRIVALS)

    def span(self) -> tuple[int, int]:
        """Return the first available plane and the plane after the last one."""
        raise NotImplementedError

    def window(self, start: int, stop: int) -> SpikeRecording:
        """Return the kept ones of planes ``[start, stop)``; PlaneRangeError if there are none."""
        raise NotImplementedError

    def arrival(self, plane: int) -> float | None:
        """Return when a plane arrived, by ``time.monotonic``; None if unknown."""
        return next((when for stop, when in list(self._arrivals) if stop > plane), None)

    def _note_arrival(self, stop: int) -> None:
        """Record the time at which planes up to ``stop`` are available."""
        if not self._arrivals or stop > self._arrivals[-1][0]:
            self._arrivals.append((stop, time.monotonic()))


class StoredRecording(PlaneSource):
    """Source of the planes of a complete recording."""

    ended = True

    def __init__(self, recording: SpikeRecording) -> None:
        super().__init__()
        self.recording, self.rate_scale = recording, recording.rate_scale

    def span(self) -> tuple[int, int]:
        """Return 0 and the number of planes."""
        return 0, len(self.recording)

    def window(self, start: int, stop: int) -> SpikeRecording:
        """Return planes ``[start, stop)``."""
        return self.recording.between(start, stop)


class GrowingFile(PlaneSource):
    """Source of the complete planes of a ``.dat`` file that another program is writing.

    Args:
        path: The file.
        user_settings: The settings that the user states.
    """

    ended = False

    def __init__(self, path: Path, user_settings: RecordingSettings) -> None:
        super().__init__()
        self.path = path
        self._source = RecordingSource(
            path, user_settings=replace(user_settings, allow_partial=True)
        )
        settings = user_settings.for_file(path, is_dat=True)
        self._layout, self.rate_scale = dat_layout(path, settings), settings.rate_scale
        self._size = -1
        self._recording: SpikeRecording | None = None
        self.span()

    def span(self) -> tuple[int, int]:
        """Return 0 and the number of complete planes."""
        size = self.path.stat().st_size if self.path.is_file() else 0
        if size < self._size:
            raise FormatError.at(
                self.path,
                f"became shorter while it was read ({size} bytes, {self._size} "
                "before); start the command again",
            )
        if size > self._size and self._layout.planes_in(size)[0]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the last plane is not complete yet
                self._recording = self._source.open()
        self._size = size
        stop = 0 if self._recording is None else len(self._recording)
        self._note_arrival(stop)
        return 0, stop

    def window(self, start: int, stop: int) -> SpikeRecording:
        """Return planes ``[start, stop)``."""
        assert self._recording is not None
        return self._recording.between(start, stop)


class Pipe(PlaneSource):
    """Source of the newest planes of a named pipe, or standard input, with ``.dat`` content.

    Args:
        stream: The pipe. A thread reads it, so that the writing program is never blocked by the
            computation of an image.
        name: Name of the pipe, for errors.
        layout: Layout of the planes.
        settings: All settings of the recording.
        kept_bytes: Memory for the kept planes, at least 512 planes.
    """

    def __init__(
        self,
        stream: BinaryIO,
        name: str,
        layout: DatLayout,
        settings: RecordingSettings | None = None,
        kept_bytes: int = _KEPT_BYTES,
    ) -> None:
        super().__init__()
        _check_alignment(name, layout)
        self.ended = False
        self._settings = settings or RecordingSettings()
        self.rate_scale = self._settings.rate_scale
        self._plane_bytes = layout.bytes_for(1)
        self._kept = max(kept_bytes // self._plane_bytes, 512)
        self._planes = _PipePlanes(Path(name), layout, self._kept)
        self._stream = stream
        threading.Thread(target=self._fill, daemon=True).start()

    def _fill(self) -> None:
        to_skip = self._planes.layout.offset
        rest = b""
        try:
            with self._stream as stream:
                while data := stream.read1(_READ_BYTES):  # type: ignore[attr-defined]  # buffered
                    skipped = min(to_skip, len(data))
                    to_skip -= skipped
                    rest += data[skipped:]
                    whole = len(rest) // self._plane_bytes * self._plane_bytes
                    if whole:
                        new = np.frombuffer(rest[:whole], np.uint8).reshape(-1, self._plane_bytes)
                        self._note_arrival(self._planes.append(new))
                        rest = rest[whole:]
        finally:
            self.ended = True

    def span(self) -> tuple[int, int]:
        """Return the first kept plane and the plane after the last one."""
        ended, (first, stop) = self.ended, self._planes.span()
        if ended and not stop:
            raise FormatError.at(
                self._planes.path,
                f"no plane arrived; the writing program closed it before "
                f"it wrote {self._planes.layout.bytes_for(1)} bytes, one plane",
            )
        return first, stop

    def window(self, start: int, stop: int) -> SpikeRecording:
        """Return the kept ones of planes ``[start, stop)``; PlaneRangeError if there are none."""
        recording = dat_recording(self._planes.part(start, stop))
        complete(recording, self._planes.path, "dat", self._settings, self._settings)
        return recording


class _PipePlanes:
    """Ring buffer of the stored bytes of the newest planes."""

    def __init__(self, path: Path, layout: DatLayout, capacity: int) -> None:
        self.path, self.layout = path, layout
        self._ring = np.empty((capacity, layout.bytes_for(1)), np.uint8)
        self._stop = 0
        self._lock = threading.Lock()

    def append(self, planes: NDArray[np.uint8]) -> int:
        """Append planes; return the total number of planes so far."""
        with self._lock:
            self._stop += len(planes)
            newest = planes[-len(self._ring) :]
            slots = np.arange(self._stop - len(newest), self._stop) % len(self._ring)
            self._ring[slots] = newest
            return self._stop

    def span(self) -> tuple[int, int]:
        """Return the first kept plane and the plane after the last one."""
        with self._lock:
            return max(0, self._stop - len(self._ring)), self._stop

    def part(self, start: int, stop: int) -> DatPlanes:
        """Return a copy of the kept ones of planes ``[start, stop)``, as planes of a file."""
        with self._lock:
            oldest = max(0, self._stop - len(self._ring))
            if stop <= oldest:
                raise PlaneRangeError(
                    f"plane {start} is no longer in memory, the oldest is plane {oldest}"
                )
            stored = self._ring[np.arange(max(start, oldest), stop) % len(self._ring)]
        return _MemoryPlanes(self.path, self.layout, stored)


class _MemoryPlanes(DatPlanes):
    """Planes whose stored bytes are in memory."""

    def __init__(self, path: Path, layout: DatLayout, stored: NDArray[np.uint8]) -> None:
        super().__init__(path, layout, len(stored))
        self._stored = stored

    @property
    def mapped(self) -> None:
        """There is no file."""
        return

    def _read(self, start: int, stop: int) -> NDArray[np.uint8]:
        return self._stored[start:stop].reshape(-1)


def open_source(source: RecordingSource | Path, *, follow: bool) -> PlaneSource:
    """Open a recording, a growing file (``follow``) or a named pipe as a source of planes."""
    source = RecordingSource(source) if isinstance(source, Path) else source
    path = local_path(source.path)
    if path.exists() and stat.S_ISFIFO(path.stat().st_mode):
        settings = source.user_settings.for_file(path, is_dat=True)
        layout = dat_layout(path, settings)
        _check_alignment(str(path), layout)  # before waiting for a program that writes
        return Pipe(path.open("rb"), str(path), layout, settings)
    if follow:
        if path.suffix.lower() != ".dat":
            raise FormatError(f"{path}: only a .dat can be read while it is written (--follow)")
        return GrowingFile(path, source.user_settings)
    return StoredRecording(source.open())


def _check_alignment(name: str, layout: DatLayout) -> None:
    if layout.runs_on:
        raise GeometryError.at(
            name,
            "frame_align bit cannot be read from a pipe, whose planes must start at a "
            "byte; write them to a .dat file and use --follow",
        )
