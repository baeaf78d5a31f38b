"""Tests of the live view: sources of planes, rate of pictures, page."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from spike_zoo.cli.main import main
from spike_zoo.errors import FormatError, PlaneRangeError, SpikeZooError
from spike_zoo.formats import write_recording
from spike_zoo.formats.dat import DatLayout
from spike_zoo.live import GrowingFile, LiveServer, Pipe, Player, StoredRecording
from spike_zoo.methods.classical import TFI
from spike_zoo.methods.plain import PlainModule
from spike_zoo.spikes import SpikeRecording
from tests.helpers.streams import random_spikes

SPIKES = random_spikes(400, 16, 24)
SIZE = {"height": 16, "width": 24}


class SlowMethod(TFI):
    """A method that takes three times the time per picture."""

    def reconstruct(self, *given: Any, **options: Any) -> Tensor:
        time.sleep(0.06)
        return super().reconstruct(*given, **options)


def stored(spikes: NDArray[np.bool_]) -> bytes:
    return np.packbits(spikes[:, ::-1], axis=-1, bitorder="little").tobytes()


@contextlib.contextmanager
def served(source: Any, method: TFI | None = None, **options: Any) -> Iterator[LiveServer]:
    player = Player(source, method or TFI(average=9), 0.5, **options)
    server = LiveServer(player, 0, "clip.dat")
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()


def ask(
    server: LiveServer, path: str, wanted: object = None, **headers: str
) -> tuple[int, dict[str, Any] | str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    body = None if wanted is None else json.dumps(wanted)
    connection.request("GET" if body is None else "POST", path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, json.loads(text) if text.startswith("{") else text


def state(server: LiveServer) -> dict[str, Any]:
    _, found = ask(server, "/state")
    assert isinstance(found, dict)
    return found


def wait_until(happened: Any, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_growing_file_has_its_complete_planes(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(b"")
    source = GrowingFile(path, **SIZE)
    assert source.span() == (0, 0)
    data = stored(SPIKES)
    with path.open("ab", buffering=0) as stream:
        stream.write(data[: 100 * 48 + 7])
        assert source.span() == (0, 100)
        stream.write(data[100 * 48 + 7 :])
    assert source.span() == (0, 400)
    assert (source.window(90, 110)[:] == SPIKES[90:110]).all()
    assert source.arrival(50) is not None
    path.write_bytes(data[:480])
    with pytest.raises(FormatError, match=r"a\.dat: became shorter while it was read"):
        source.span()


def test_a_pipe_keeps_the_last_planes_and_never_blocks_who_writes(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    layout = DatLayout(16, 24, "byte")
    source = Pipe(os.fdopen(reading, "rb"), "p", layout, kept_bytes=0)
    planes = np.concatenate([SPIKES] * 3)
    with os.fdopen(writing, "wb") as stream:
        stream.write(stored(planes))
    wait_until(lambda: source.ended)
    assert source.span() == (1200 - 512, 1200)
    assert (source.window(700, 730)[:] == planes[700:730]).all()
    with pytest.raises(
        SpikeZooError, match="plane 600 is no longer in memory, the oldest is plane 688"
    ):
        source.window(600, 610)


def test_pictures_are_those_of_the_method_and_come_at_their_pace() -> None:
    recording = SpikeRecording.from_planes(SPIKES, rate_scale=0.5)
    player = Player(StoredRecording(recording), TFI(average=9), 0.5, fps=50, stride=5)
    made: list[int] = []
    thread = threading.Thread(target=player.run)
    thread.start()
    while len(made) < 10:
        shown, jpeg = player.wait(made[-1] if made else 0)
        assert shown is not None
        assert jpeg[:2] == b"\xff\xd8"
        made.append(shown.number)
        assert shown.plane % 5 == 0
    player.stop()
    thread.join()


def test_a_slow_method_drops_pictures_and_keeps_the_pace() -> None:
    recording = SpikeRecording.from_planes(np.concatenate([SPIKES] * 20), rate_scale=0.5)
    with served(StoredRecording(recording), SlowMethod(average=9), fps=50, stride=5) as server:
        wait_until(lambda: state(server).get("number", 0) > 2)  # the first ones compile kernels
        begin, first = time.monotonic(), state(server)
        wait_until(lambda: state(server)["dropped"] > first["dropped"] + 40)
        elapsed, last = time.monotonic() - begin, state(server)
    assert last["rate"] < 17
    due = elapsed * 50 * 5  # planes
    assert 0.5 * due < last["plane"] - first["plane"] < 1.5 * due


def test_the_newest_planes_are_followed_until_something_else_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(stored(SPIKES))
    with served(GrowingFile(path, **SIZE), fps=100, follows=True) as server:
        wait_until(lambda: state(server).get("plane") == 400 - 1 - 75)
        with path.open("ab") as stream:
            stream.write(stored(SPIKES[:100]))
        wait_until(lambda: state(server)["plane"] == 500 - 1 - 75)
        assert state(server)["latency"] is not None
        assert ask(server, "/control", {"plane": 30, "playing": False})[0] == 200
        wait_until(lambda: state(server)["plane"] == 30)
        time.sleep(0.1)
        assert state(server)["plane"] == 30
        ask(server, "/control", {"follow": True})
        wait_until(lambda: state(server)["plane"] == 500 - 1 - 75)


def test_a_recording_ends_paused_and_can_be_played_again() -> None:
    recording = SpikeRecording.from_planes(SPIKES[:100], rate_scale=0.5)
    with served(StoredRecording(recording), fps=100, stride=50) as server:
        wait_until(lambda: state(server).get("plane") == 99 and not state(server)["playing"])
        ask(server, "/control", {"plane": 0})
        wait_until(lambda: state(server)["plane"] == 0)


def test_a_short_recording_is_shown_and_one_too_short_is_an_error() -> None:
    recording = SpikeRecording.from_planes(SPIKES[:30], rate_scale=0.5)
    with served(StoredRecording(recording), fps=100) as server:
        wait_until(lambda: state(server).get("plane") == 29)
    network = PlainModule(channels=8, lpips="off").eval()
    server = LiveServer(Player(StoredRecording(recording), network, 0.5), 0, "a.npz")
    with pytest.raises(PlaneRangeError):
        server.serve()


def test_a_file_that_shrinks_ends_the_view_with_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(stored(SPIKES))
    server = LiveServer(Player(GrowingFile(path, **SIZE), TFI(), 0.5), 0, "a.dat")
    threading.Timer(0.3, path.write_bytes, [b""]).start()
    with pytest.raises(FormatError, match="became shorter"):
        server.serve()


@pytest.mark.parametrize(
    "headers", [{"Host": "attacker.example"}, {"Origin": "https://attacker.example"}]
)
def test_other_sites_get_nothing(headers: dict[str, str]) -> None:
    recording = SpikeRecording.from_planes(SPIKES, rate_scale=0.5)
    with served(StoredRecording(recording)) as server:
        for path, wanted in [("/", None), ("/state", None), ("/control", {"playing": False})]:
            assert ask(server, path, wanted, **headers)[0] == 403
        page = ask(server, "/")
        assert page[0] == 200
        assert "Spike Zoo" in str(page[1])


@pytest.mark.parametrize("wanted", [[], {"plane": "1"}, {"playing": 1}, {"file": "/etc/passwd"}])
def test_what_is_no_request_of_the_page_is_rejected(wanted: object) -> None:
    recording = SpikeRecording.from_planes(SPIKES, rate_scale=0.5)
    with served(StoredRecording(recording)) as server:
        assert ask(server, "/control", wanted)[0] == 400
        assert ask(server, "/../secret")[0] == 404


def test_pictures_are_streamed() -> None:
    recording = SpikeRecording.from_planes(SPIKES, rate_scale=0.5)
    with served(StoredRecording(recording), fps=50) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        connection.request("GET", "/pictures")
        answer = connection.getresponse()
        assert "multipart/x-mixed-replace" in str(answer.getheader("Content-Type"))
        data = b""
        while data.count(b"--picture") < 3:
            data += answer.read(100)
        connection.close()


def test_mistakes_of_the_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = str(write_recording(SpikeRecording.from_planes(SPIKES), tmp_path / "a.npz"))
    for options, message in [
        (["--stride", "0"], "--stride 0: give at least 1"),
        (["--port", "0"], "must be 1 to 65535"),
        (["--method", "tfpp"], "Did you mean 'tfp'"),
        (["--follow"], "only a .dat can be read while it is written"),
    ]:
        assert main(["live", clip, "--method", "tfi", *options]) in (1, 2)
        assert message in capsys.readouterr().err
    os.mkfifo(tmp_path / "p.dat")
    assert main(["live", str(tmp_path / "p.dat"), "--method", "tfi"]) == 2
    assert "--height and --width" in capsys.readouterr().err


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
