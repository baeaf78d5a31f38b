"""Player of the live view: pictures at a constant rate, dropped if late, in constant memory."""

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

_AROUND: Final = 128  # planes before and after the shown plane that a method gets
_JPEG_QUALITY: Final = 90
_RATES: Final = 25  # pictures over which the rate is measured
_IDLE: Final = 15.0  # seconds without a request, after which the player pauses


@dataclass(frozen=True)
class LiveState:
    """State of the player with its latest picture.

    Attributes:
        number: Number of pictures so far.
        plane: Plane of the picture.
        first: First available plane.
        stop: Plane after the last available one.
        playing: Whether the player advances.
        following: Whether the newest plane is shown.
        ended: Whether the source will have no more planes.
        seconds: Time to compute the picture.
        latency: Seconds from the arrival of the last plane that the picture needs to the picture;
            None if the time of arrival is unknown.
        rate: Pictures per second, over the last 25 pictures.
        dropped: Total number of dropped pictures.
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
    """Compute pictures of a source at a constant rate.

    :meth:`run` is called in a separate thread; the other methods are called by the server.

    Args:
        source: Source of the planes.
        method: Method that reconstructs the pictures.
        rate_scale: Spikes per plane at white.
        fps: Pictures per second.
        stride: Planes from one picture to the next.
        follows: Whether to start with the newest plane and follow it.
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
        self._requested = time.monotonic()

    def run(self) -> None:
        """Compute pictures until :meth:`stop` is called or the source raises an error."""
        due = time.monotonic()
        try:
            while not self._ends:
                is_new = self._make()
                due += self.tick
                now = time.monotonic()
                late = int((now - due) / self.tick) if now > due else 0
                if is_new and late:
                    due += late * self.tick
                    self._dropped += late
                    self._advance(late)
                elif not is_new:
                    due = max(due, now)
                time.sleep(max(due - now, 0))
        finally:
            with self._changed:
                self._ends = True
                self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """Whether the player has stopped."""
        return self._ends

    def stop(self) -> None:
        """Stop the player."""
        self._ends = True

    def control(
        self, *, playing: bool | None = None, plane: int | None = None, follow: bool | None = None
    ) -> None:
        """Play or pause, go to a plane, or follow the newest one.

        Args:
            playing: Whether the player advances.
            plane: The next plane to show.
            follow: Whether to show the newest plane.
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
        """Wait for a picture after ``number``; return the latest state and its JPEG.

        Args:
            number: Number of the last picture that the caller has.
            timeout: Seconds to wait.
        """
        self._requested = time.monotonic()
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
        """Compute the next picture; return False if no picture is due."""
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
        is_watched = time.monotonic() - self._requested < _IDLE
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
        pixels = pixels[..., ::-1] if pixels.ndim == 3 else pixels  # OpenCV expects B,G,R
        _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        return coded.tobytes()
