"""Which plane is shown when: pictures that come late are dropped, and memory stays the same."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spike_zoo.media.pictures import to_bytes

if TYPE_CHECKING:
    from spike_zoo.live.sources import PlaneSource
    from spike_zoo.tasks.protocols import Reconstructs

_AROUND: Final = 128  # planes on either side that are read for a picture
_JPEG_QUALITY: Final = 90
_RATES: Final = 25  # pictures over which their rate is measured
_PATIENCE: Final = 15.0  # seconds without a page, after which no pictures are made


@dataclass(frozen=True)
class LiveState:
    """A picture and how it came about.

    Attributes:
        number: How many pictures there have been.
        plane: What it shows.
        first: First plane that can be shown.
        stop: Past the last plane.
        playing: Whether planes go on by themselves.
        following: Whether the newest plane is shown.
        ended: Whether no more planes will come.
        seconds: What its computing took.
        latency: Seconds from the arrival of the last plane that it needs to the picture; None
            where that plane was stored before.
        rate: Pictures per second, over the last ones.
        dropped: Pictures that were left out to keep the pace, in all.
    """

    number: int
    plane: int
    first: int
    stop: int
    playing: bool
    following: bool
    ended: bool
    seconds: float
    latency: float | None
    rate: float
    dropped: int


class Player:
    """Make pictures at a constant rate, in a separate thread.

    Args:
        source: The planes.
        method: Makes the pictures.
        rate_scale: Spikes per plane at white.
        fps: Pictures per second.
        stride: Planes from one picture to the next.
        follows: Whether the newest plane is shown at first.
    """

    def __init__(
        self,
        source: PlaneSource,
        method: Reconstructs,
        rate_scale: float,
        *,
        fps: float = 25.0,
        stride: int = 20,
        follows: bool = False,
    ) -> None:
        self.source, self.method, self.rate_scale = source, method, rate_scale
        self.tick, self.stride = 1 / fps, stride
        self.ahead = min(method.clip_length // 2, _AROUND)
        self._position = 0.0
        self._playing, self._following = True, follows
        self._dropped = 0
        self._times: deque[float] = deque(maxlen=_RATES)
        self._shown: LiveState | None = None
        self._jpeg = b""
        self._changed = threading.Condition()
        self._ends = False
        self._asked = time.monotonic()

    def run(self) -> None:
        """Make pictures until :meth:`stop` is called or the source fails."""
        due = time.monotonic()
        try:
            while not self._ends:
                made = self._make()
                due += self.tick
                now = time.monotonic()
                late = int((now - due) / self.tick) if now > due else 0
                if made and late:
                    due += late * self.tick
                    self._dropped += late
                    self._advance(late)
                elif not made:
                    due = max(due, now)
                time.sleep(max(due - now, 0))
        finally:
            with self._changed:
                self._ends = True
                self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """Whether no more pictures are made."""
        return self._ends

    def stop(self) -> None:
        """Make no more pictures."""
        self._ends = True

    def control(
        self, *, playing: bool | None = None, plane: int | None = None, follow: bool | None = None
    ) -> None:
        """Play or pause, go to a plane, or follow the newest one.

        Args:
            playing: Whether planes go on by themselves.
            plane: What is shown next.
            follow: Whether the newest plane is shown.
        """
        with self._changed:
            if playing is not None:
                self._playing, self._following = playing, self._following and playing
            if plane is not None:
                self._position, self._following = float(plane), False
            if follow is not None:
                self._following = follow
                self._playing = self._playing or follow

    def wait(self, number: int, timeout: float = 10.0) -> tuple[LiveState | None, bytes]:
        """Return the first picture after one, as JPEG; the last one if none came in time."""
        self._asked = time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: self._ends or self._number > number, timeout)
            return self._shown, self._jpeg

    @property
    def _number(self) -> int:
        return 0 if self._shown is None else self._shown.number

    def _advance(self, pictures: int) -> None:
        with self._changed:
            if self._playing and not self._following:
                self._position += pictures * self.stride

    def _make(self) -> bool:
        """Make the picture that is due; return whether there was one."""
        first, stop = self.source.span()
        with self._changed:
            last = max(first, stop - 1 - (0 if self.source.ended else self.ahead))
            if self._following:
                self._position = float(last)
            at_end = self._position >= last
            self._position = min(max(self._position, first), last)
            plane = int(self._position)
        is_new = self._shown is None or (plane, self._playing) != (
            self._shown.plane,
            self._shown.playing,
        )
        is_watched = time.monotonic() - self._asked < _PATIENCE
        has_enough = stop - first > (0 if self.source.ended else self.ahead)
        if not (has_enough and is_new and is_watched):
            return False
        begin = time.monotonic()
        jpeg = self._coded(plane, first, stop)
        now = time.monotonic()
        arrived = self.source.arrival(min(plane + self.ahead, stop - 1))
        self._times.append(now)
        span = self._times[-1] - self._times[0]
        with self._changed:
            self._shown = LiveState(
                self._number + 1, plane, first, stop, self._playing, self._following,
                self.source.ended, now - begin, None if arrived is None else now - arrived,
                (len(self._times) - 1) / span if span else 0.0, self._dropped,
            )  # fmt: skip
            self._jpeg = jpeg
            self._changed.notify_all()
        if at_end and self.source.ended:
            self.control(playing=False)
        self._advance(1)
        return True

    def _coded(self, plane: int, first: int, stop: int) -> bytes:
        """Return the picture of a plane as JPEG."""
        import cv2

        start, past = max(first, plane - _AROUND), min(stop, plane + _AROUND + 1)
        recording = self.source.window(start, past)
        (image,) = self.method.reconstruct(recording, [plane - start], rate_scale=self.rate_scale)
        pixels = to_bytes(image)
        pixels = pixels[..., ::-1] if pixels.ndim == 3 else pixels  # OpenCV takes B,G,R
        _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        return coded.tobytes()
