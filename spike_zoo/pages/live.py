"""Player and local web page of the live view: images at a constant rate, dropped if late."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from spike_zoo.errors import PlaneRangeError, UsageError
from spike_zoo.media.images import to_bytes
from spike_zoo.tasks.protocols import Reconstructs, margin_of

if TYPE_CHECKING:
    from spike_zoo.pages.live_sources import PlaneSource

HOST: Final = "127.0.0.1"
_AROUND: Final = 128  # planes before and after the shown plane that a method gets
_JPEG_QUALITY: Final = 90
_RATES: Final = 25  # images over which the rate is measured
_IDLE: Final = 15.0  # seconds without a request, after which the player pauses
_MAX_BYTES: Final = 1000  # of the body of a POST request
_POLICY: Final = (
    "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class LiveState:
    """State of the player with its latest image.

    Around ``first`` to ``last`` all planes that the method needs are available. ``latency`` is the
    time from the arrival of the last needed plane to the image, if known.
    """

    number: int  # images so far
    plane: int
    first: int
    last: int
    stop: int  # plane after the last available one
    playing: bool
    following: bool  # the newest plane is shown
    ended: bool  # the source will have no more planes
    seconds: float  # to compute the image
    latency: float | None
    rate: float  # images per second, over the last 25 images
    dropped: int


class Player:
    """Compute images of a source at a constant rate.

    :meth:`run` is called in a separate thread; the other methods are called by the server.

    Args:
        source: Source of the planes.
        method: Method that reconstructs the images.
        rate_scale: Spikes per plane at white.
        fps: Images per second.
        stride: Planes from one image to the next.
        follows: Whether to start with the newest plane and follow it.

    Attributes:
        ended: Whether the player has stopped.
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
        self.ahead = margin_of(method)
        self._position = 0.0
        self._playing, self._following = True, follows
        self._dropped = 0
        self._times: deque[float] = deque(maxlen=_RATES)
        self._shown: LiveState | None = None
        self._jpeg = b""
        self._changed = threading.Condition()
        self._controlled = threading.Event()
        self.ended = False
        self._requested = -math.inf

    def run(self) -> None:
        """Compute images until :meth:`stop` is called or the source raises an error.

        The first image is computed at once, the following ones while a page is open.
        """
        due = time.monotonic()
        try:
            while not self.ended:
                is_new = self._make()
                due, now, late = due + self.tick, time.monotonic(), 0
                if is_new and self._number > 1:
                    late = max(0, int((now - due) / self.tick))
                    due += late * self.tick
                else:  # nothing to play yet; the first image compiles kernels
                    due = max(due, now)
                self._dropped += late
                if is_new:
                    self._advance(1 + late)
                if self._controlled.wait(max(due - now, 0)):
                    self._controlled.clear()
                    due = time.monotonic()
        finally:
            self.stop()

    def stop(self) -> None:
        """Stop the player."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()
        self._controlled.set()

    def control(
        self, *, playing: bool | None = None, plane: int | None = None, follow: bool | None = None
    ) -> None:
        """Play or pause, go to a plane, or follow the newest one.

        A recording that has ended is played from its first plane.
        """
        with self._changed:
            if playing is not None:
                shown = self._shown
                if playing and shown and shown.ended and self._position >= shown.last:
                    self._position = 0.0
                self._playing, self._following = playing, self._following and playing
            if plane is not None:
                self._position, self._following = float(plane), False
            if follow is not None:
                self._following = follow
                self._playing = self._playing or follow
        self._controlled.set()

    def wait(self, number: int, timeout: float = 10.0) -> tuple[LiveState | None, bytes]:
        """Wait for an image after ``number``; return the latest state and its JPEG."""
        now = time.monotonic()
        if now - self._requested >= _IDLE:
            self._controlled.set()
        self._requested = now
        with self._changed:
            self._changed.wait_for(lambda: self.ended or self._number > number, timeout)
            return self._shown, self._jpeg

    @property
    def _number(self) -> int:
        return 0 if self._shown is None else self._shown.number

    def _advance(self, images: int) -> None:
        with self._changed:
            if self._playing and not self._following:
                self._position += images * self.stride

    def _make(self) -> bool:
        """Compute the next image; return False if no image is due."""
        ended, (first, stop) = self.source.ended, self.source.span()
        shown = self._shown
        low, high, plane, playing = self._next(first, stop, ended=ended)
        is_new = shown is None or (plane, playing, ended) != (
            shown.plane,
            shown.playing,
            shown.ended,
        )
        is_watched = shown is None or time.monotonic() - self._requested < _IDLE
        has_enough = stop - first > (0 if ended else self.ahead)
        if not (has_enough and is_new and is_watched):
            return False
        begin = time.monotonic()
        try:
            jpeg = self._coded(plane, first, stop)
        except PlaneRangeError:
            if ended:
                raise
            return False  # the method needs more planes, or a pipe has overwritten these
        now = time.monotonic()
        arrived = self.source.arrival(min(plane + self.ahead, stop - 1))
        self._times.append(now)
        span = self._times[-1] - self._times[0]
        with self._changed:
            self._shown = LiveState(
                self._number + 1, plane, low, high, stop, playing, self._following,
                ended, now - begin, None if arrived is None else now - arrived,
                (len(self._times) - 1) / span if span else 0.0, self._dropped,
            )  # fmt: skip
            self._jpeg = jpeg
            self._changed.notify_all()
        return True

    def _next(self, first: int, stop: int, *, ended: bool) -> tuple[int, int, int, bool]:
        """Return the first and last plane that can be shown, the next one, and whether to play.

        The planes before and after it that the method needs are available; of a short recording,
        only the middle plane is shown.
        """
        middle = (first + stop - 1) // 2
        low, high = min(first + self.ahead, middle), max(stop - 1 - self.ahead, middle)
        with self._changed:
            if self._following:
                self._position = float(high)
            elif self._playing and self._shown and self._position == self._shown.plane:
                self._position += self.stride  # it was the last plane, and more have arrived
            if ended and self._position >= high:
                self._playing = self._following = False
            self._position = min(max(self._position, low), high)
            return low, high, int(self._position), self._playing

    def _coded(self, plane: int, first: int, stop: int) -> bytes:
        """Return the image of a plane as JPEG."""
        import cv2

        past = min(stop, plane + _AROUND + 1)
        recording = self.source.window(max(first, plane - _AROUND), past)
        index = plane - past + len(recording)  # a pipe may have overwritten the first planes
        (image,) = self.method.reconstruct(recording, [index], rate_scale=self.rate_scale)
        pixels = to_bytes(image)
        pixels = pixels[..., ::-1] if pixels.ndim == 3 else pixels  # OpenCV expects B,G,R
        _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        return coded.tobytes()


class LiveServer(ThreadingHTTPServer):
    """Serve the images of a player.

    Args:
        player: The player.
        port: Port of the server; 0 selects a free one.
        title: Name of the recording.
    """

    daemon_threads = True

    def __init__(self, player: Player, port: int, title: str) -> None:
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise UsageError(f"--port {port}: {error.strerror}; give another one") from error
        self.player, self.title = player, title

    @property
    def address(self) -> str:
        """URL of the page."""
        return f"http://{HOST}:{self.server_port}/"

    def serve(self) -> None:
        """Serve until the player is stopped, or the source of planes raises an error.

        The player runs in the calling thread, so that Ctrl-C interrupts a computation.
        """
        requests = threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True)
        requests.start()
        try:
            self.player.run()
        finally:
            self.shutdown()
            self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: LiveServer

    def do_GET(self) -> None:
        """Send the page, the latest image, or the state as JSON."""
        if not self._is_local():
            return
        answers = {"/": self._page, "/image": self._image, "/state": self._state}
        answer = answers.get(urlsplit(self.path).path)
        if answer is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            answer()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the page was closed

    def do_POST(self) -> None:
        """Control the player with the JSON of the request."""
        if not self._is_local():
            return
        try:
            size = int(self.headers.get("Content-Length", ""))
            command = json.loads(self.rfile.read(size)) if 0 < size <= _MAX_BYTES else None
            self.server.player.control(**_checked(command))
        except (ValueError, TypeError):
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        self._send("application/json", b"{}")

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests."""

    def _is_local(self) -> bool:
        """Return whether a request is from this machine; send an error if not."""
        if is_local(self.headers.get("Host"), self.headers.get("Origin")):
            return True
        self.send_error(HTTPStatus.FORBIDDEN)
        return False

    def _page(self) -> None:
        text = files("spike_zoo.pages").joinpath("page.html").read_text(encoding="utf-8")
        self._send("text/html; charset=utf-8", text.encode())

    def _state(self) -> None:
        """Send the state; with ``?after=N``, wait for an image after number N."""
        after = parse_qs(urlsplit(self.path).query).get("after", ["-1"])[0]
        latest, _ = self.server.player.wait(int(after) if after.isdecimal() else -1)
        state = {"title": self.server.title, "stride": self.server.player.stride}
        facts = {} if latest is None else asdict(latest)
        self._send("application/json", json.dumps(state | facts).encode())

    def _image(self) -> None:
        latest, jpeg = self.server.player.wait(-1)
        if latest is None:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            self._send("image/jpeg", jpeg)

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


def is_local(host: str | None, origin: str | None) -> bool:
    """Return whether a request is for a local host name and not from a page of another site.

    A remote site that resolves to this machine (DNS rebinding) has another name in the header
    ``Host``; any port is allowed, for example of a tunnel. Browsers send ``Origin`` with requests.
    """
    name = (host or "").partition(":")[0]
    return name in (HOST, "localhost") and origin in (None, f"http://{host}")


def _checked(command: object) -> dict[str, Any]:
    """Check names and types of the arguments of ``Player.control``; raise ValueError."""
    kinds = {"playing": bool, "plane": int, "follow": bool}
    if not isinstance(command, dict) or not all(
        name in kinds and type(value) is kinds[name] for name, value in command.items()
    ):
        raise ValueError(command)
    return command
