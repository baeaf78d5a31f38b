"""HTTP server of the live view, for this machine only."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from spike_zoo.errors import UsageError
from spike_zoo.pages.local_requests import HOST, is_local

if TYPE_CHECKING:
    from spike_zoo.pages.live_player import Player

_MAX_BYTES: Final = 1000  # of the body of a POST request
_POLICY: Final = (
    "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class LiveServer(ThreadingHTTPServer):
    """Serve the pictures of a player.

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
    """Handler of requests of the page."""

    server: LiveServer

    def do_GET(self) -> None:
        """Send the page, the latest picture, or the state as JSON."""
        if not self._is_local():
            return
        answers = {"/": self._page, "/picture": self._picture, "/state": self._state}
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
        """Send the state; with ``?after=N``, wait for a picture after number N."""
        after = parse_qs(urlsplit(self.path).query).get("after", ["-1"])[0]
        latest, _ = self.server.player.wait(int(after) if after.isdecimal() else -1)
        state = {"title": self.server.title, "stride": self.server.player.stride}
        facts = {} if latest is None else asdict(latest)
        self._send("application/json", json.dumps(state | facts).encode())

    def _picture(self) -> None:
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


def _checked(command: object) -> dict[str, Any]:
    """Check names and types of the arguments of ``Player.control``; raise ValueError."""
    kinds = {"playing": bool, "plane": int, "follow": bool}
    if not isinstance(command, dict) or not all(
        name in kinds and type(value) is kinds[name] for name, value in command.items()
    ):
        raise ValueError(command)
    return command
