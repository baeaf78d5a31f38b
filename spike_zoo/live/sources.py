"""Where planes of a live view come from: a recording, a file that grows, a pipe."""

from __future__ import annotations

import stat
import threading
import time
import warnings
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

import numpy as np

from spike_zoo.errors import FormatError, GeometryError, MissingGeometryError, SpikeZooError
from spike_zoo.formats import read_recording
from spike_zoo.formats.dat import DatLayout, DatPlanes
from spike_zoo.formats.sidecar import Sidecar, own_sidecar
from spike_zoo.formats.turned import dat_recording

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from spike_zoo.spikes import SpikeRecording

_KEPT_BYTES: Final = 1 << 28  # of a pipe: the last 21 000 planes of 250 x 400
_READ_BYTES: Final = 1 << 20
_ARRIVALS: Final = 1024


class PlaneSource(Protocol):
    """Planes that are there now, of which there may be more later.

    Attributes:
        ended: Whether no more planes will come.
    """

    ended: bool

    def span(self) -> tuple[int, int]:
        """Return the first plane that can be read now, and past the last one.

        Raises:
            SpikeZooError: If what was there is gone, as in a file that shrank.
        """

    def window(self, start: int, stop: int) -> SpikeRecording:
        """Return planes ``[start, stop)`` in memory."""

    def arrival(self, plane: int) -> float | None:
        """Return when a plane was first seen, by ``time.monotonic``; None for stored ones."""


class StoredRecording:
    """A recording that is complete.

    Args:
        recording: The spikes.
    """

    ended = True

    def __init__(self, recording: SpikeRecording) -> None:
        self.recording = recording

    def span(self) -> tuple[int, int]:
        """Return its planes."""
        return 0, len(self.recording)

    def window(self, start: int, stop: int) -> SpikeRecording:
        """Return some of them."""
        return self.recording.between(start, stop)

    def arrival(self, plane: int) -> float | None:
        """Return None: they were there before."""
        return None


class _Arrivals:
    """When planes were first seen."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, float]] = deque(maxlen=_ARRIVALS)

    def note(self, stop: int) -> None:
        """Note that there are planes up to one."""
        if not self._seen or stop > self._seen[-1][0]:
            self._seen.append((stop, time.monotonic()))

    def of(self, plane: int) -> float | None:
        """Return when a plane was first seen, if it is not long ago."""
        return next((when for stop, when in list(self._seen) if stop > plane), None)


class GrowingFile:
    """A ``.dat`` file that another program is writing; planes are read when they are complete.

    Args:
        path: The file.
        dat: How it is read, see :func:`read_recording`.
    """

    ended = False

    def __init__(self, path: Path, **dat: Any) -> None:
        self.path = path
        self._dat = {**dat, "allow_partial": True}
        self._size = -1
        self._recording: SpikeRecording | None = None
        self._arrivals = _Arrivals()
        self.span()

    def span(self) -> tuple[int, int]:
        """Return the planes that are complete.

        Raises:
            FormatError: If the file became shorter.
        """
        size = self.path.stat().st_size if self.path.is_file() else 0
        if size < self._size:
            raise FormatError(
                f"{self.path}: became shorter while it was read ({size} bytes, {self._size} "
                "before); start again with the new file",
                path=str(self.path),
            )
        if size > self._size:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the last plane is not complete yet
                    self._recording = read_recording(self.path, **self._dat)
            except (GeometryError, FormatError):
                if self._recording is not None or size:  # an empty file has no plane yet
                    raise
            self._size = size
        stop = 0 if self._recording is None else len(self._recording)
        self._arrivals.note(stop)
        return 0, stop

    def window(self, start: int, stop: int) -> SpikeRecording:
        """Return planes that are complete."""
        assert self._recording is not None
        return self._recording.between(start, stop)

    def arrival(self, plane: int) -> float | None:
        """Return when a plane was first seen."""
        return self._arrivals.of(plane)


class Pipe:
    """A named pipe, or standard input, through which a ``.dat`` comes; the last planes are kept.

    Args:
        stream: What is read; a thread reads it, so that who writes never waits for a picture.
        name: Of the pipe, for errors.
        layout: How planes are stored.
        beside: What else is known of the recording.
        kept_bytes: Most memory of the planes that are kept.

    Raises:
        GeometryError: If planes do not begin on a byte.
    """

    def __init__(
        self,
        stream: BinaryIO,
        name: str,
        layout: DatLayout,
        beside: Sidecar | None = None,
        kept_bytes: int = _KEPT_BYTES,
    ) -> None:
        if layout.runs_on:
            raise GeometryError(f"{name}: planes in a pipe must begin on a byte (frame_align)")
        self.ended = False
        self._beside = beside or Sidecar()
        self._plane_bytes = layout.bytes_for(1)
        self._kept = max(kept_bytes // self._plane_bytes, 512)
        self._planes = _PipePlanes(Path(name), layout, self._kept)
        self._arrivals = _Arrivals()
        self._stream = stream
        threading.Thread(target=self._fill, daemon=True).start()

    def _fill(self) -> None:
        left = self._planes.layout.offset
        rest = b""
        with self._stream as stream:
            while data := stream.read1(_READ_BYTES):  # type: ignore[attr-defined]  # buffered
                skipped = min(left, len(data))
                left -= skipped
                rest += data[skipped:]
                whole = len(rest) // self._plane_bytes * self._plane_bytes
                if whole:
                    new = np.frombuffer(rest[:whole], np.uint8).reshape(-1, self._plane_bytes)
                    self._arrivals.note(self._planes.append(new))
                    rest = rest[whole:]
        self.ended = True

    def span(self) -> tuple[int, int]:
        """Return the planes that are kept."""
        return self._planes.span()

    def window(self, start: int, stop: int) -> SpikeRecording:
        """Return some of them."""
        recording = dat_recording(self._planes.part(start, stop), self._beside)
        recording.rate_scale, recording.fps = self._beside.rate_scale, self._beside.fps or 0.0
        return recording

    def arrival(self, plane: int) -> float | None:
        """Return when a plane came."""
        return self._arrivals.of(plane)


class _PipePlanes:
    """The stored bytes of the last planes, in a ring."""

    def __init__(self, path: Path, layout: DatLayout, kept: int) -> None:
        self.path, self.layout = path, layout
        self._ring = np.empty((kept, layout.bytes_for(1)), np.uint8)
        self._stop = 0
        self._lock = threading.Lock()

    def append(self, planes: NDArray[np.uint8]) -> int:
        """Add planes and return how many there have been."""
        with self._lock:
            self._stop += len(planes)
            kept = planes[-len(self._ring) :]
            places = np.arange(self._stop - len(kept), self._stop) % len(self._ring)
            self._ring[places] = kept
            return self._stop

    def span(self) -> tuple[int, int]:
        """Return the first plane that is kept, and past the last one."""
        with self._lock:
            return max(0, self._stop - len(self._ring)), self._stop

    def part(self, start: int, stop: int) -> DatPlanes:
        """Return a copy of some planes, which can be read as those of a file."""
        with self._lock:
            oldest = max(0, self._stop - len(self._ring))
            if start < oldest:
                raise SpikeZooError(f"plane {start} has left the memory, {oldest} is the oldest")
            stored = self._ring[np.arange(start, stop) % len(self._ring)]
        return _MemoryPlanes(self.path, self.layout, stored)


class _MemoryPlanes(DatPlanes):
    """Planes of which the stored bytes are in memory."""

    def __init__(self, path: Path, layout: DatLayout, stored: NDArray[np.uint8]) -> None:
        super().__init__(path, layout, len(stored))
        self._stored = stored

    @property
    def mapped(self) -> None:
        """There is no file."""
        return

    def _read(self, start: int, stop: int) -> NDArray[np.uint8]:
        return self._stored[start:stop].reshape(-1)


def open_source(path: Path, name: str | None = None, *, follow: bool, **dat: Any) -> PlaneSource:
    """Return where the planes of a path come from.

    Args:
        path: A recording of any format; a named pipe through which a ``.dat`` comes.
        name: Recording of an archive.
        follow: Whether a ``.dat`` is still being written.
        dat: How a ``.dat`` is read, see :func:`read_recording`.

    Raises:
        MissingGeometryError: If the size of a pipe's planes is not known.
    """
    if path.exists() and stat.S_ISFIFO(path.stat().st_mode):
        layout, beside = _pipe_layout(path, dat)
        return Pipe(path.open("rb"), str(path), layout, beside)
    if follow:
        if path.suffix.lower() != ".dat":
            raise FormatError(f"{path}: only a .dat can be read while it is written (--follow)")
        return GrowingFile(path, **dat)
    return StoredRecording(read_recording(path, name, **dat))


def _pipe_layout(path: Path, dat: dict[str, Any]) -> tuple[DatLayout, Sidecar]:
    names = ("height", "width", "flip", "mirror", "rotate")
    options: dict[str, Any] = {name: dat.get(name) for name in names}
    stated = Sidecar(**options)
    beside = stated.or_else(own_sidecar(path))
    if dat.get("cfa") is not None:
        beside.meta["cfa"] = dat["cfa"]
    if beside.height is None or beside.width is None:
        raise MissingGeometryError(
            f"{path}: what comes through a pipe does not state its size: --height and --width",
            path=str(path),
        )
    flip = beside.flip is None or beside.flip
    layout = DatLayout(beside.height, beside.width, "byte", beside.columns, flip)
    return layout, beside
