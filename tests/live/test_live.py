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
    """A method that takes three times the interval between two pictures."""

    def reconstruct(self, *arguments: Any, **options: Any) -> Tensor:
        time.sleep(0.06)
        return super().reconstruct(*arguments, **options)


def packed_planes(spikes: NDArray[np.bool_]) -> bytes:
    return np.packbits(spikes[:, ::-1], axis=-1, bitorder="little").tobytes()


@contextlib.contextmanager
def running_server(source: Any, method: TFI | None = None, **options: Any) -> Iterator[LiveServer]:
    player = Player(source, method or TFI(average=9), 0.5, **options)
    server = LiveServer(player, 0, "clip.dat")
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()


def send_request(
    server: LiveServer, path: str, content: object = None, **headers: str
) -> tuple[int, dict[str, Any] | str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    body = None if content is None else json.dumps(content)
    connection.request("GET" if body is None else "POST", path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, json.loads(text) if text.startswith("{") else text


def state(server: LiveServer) -> dict[str, Any]:
    _, answer = send_request(server, "/state")
    assert isinstance(answer, dict)
    return answer


def wait_until(condition: Any, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_growing_file_gives_its_complete_planes(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(b"")
    source = GrowingFile(path, **SIZE)
    assert source.span() == (0, 0)
    data = packed_planes(SPIKES)
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


def test_a_pipe_keeps_the_last_planes_and_does_not_block_the_writer(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    layout = DatLayout(16, 24, "byte")
    source = Pipe(os.fdopen(reading, "rb"), "p", layout, kept_bytes=0)
    planes = np.concatenate([SPIKES] * 3)
    with os.fdopen(writing, "wb") as stream:
        stream.write(packed_planes(planes))
    wait_until(lambda: source.ended)
    assert source.span() == (1200 - 512, 1200)
    assert (source.window(700, 730)[:] == planes[700:730]).all()
    with pytest.raises(
        SpikeZooError, match="plane 600 is no longer in memory, the oldest is plane 688"
    ):
        source.window(600, 610)


def test_pictures_are_jpeg_at_multiples_of_the_stride() -> None:
    recording = SpikeRecording.from_planes(SPIKES, rate_scale=0.5)
    player = Player(StoredRecording(recording), TFI(average=9), 0.5, fps=50, stride=5)
    numbers: list[int] = []
    thread = threading.Thread(target=player.run)
    thread.start()
    while len(numbers) < 10:
        info, jpeg = player.wait(numbers[-1] if numbers else 0)
        assert info is not None
        assert jpeg[:2] == b"\xff\xd8"
        numbers.append(info.number)
        assert info.plane % 5 == 0 or info.plane == len(SPIKES) - 1  # a late player shows the last
    player.stop()
    thread.join()


def test_a_slow_method_drops_pictures_and_keeps_the_playback_speed() -> None:
    recording = SpikeRecording.from_planes(np.concatenate([SPIKES] * 20), rate_scale=0.5)
    with running_server(
        StoredRecording(recording), SlowMethod(average=9), fps=50, stride=5
    ) as server:
        wait_until(lambda: state(server).get("number", 0) > 2)  # the first ones compile kernels
        start, first = time.monotonic(), state(server)
        wait_until(lambda: state(server)["dropped"] > first["dropped"] + 40)
        elapsed, last = time.monotonic() - start, state(server)
    assert last["rate"] < 17
    expected_planes = elapsed * 50 * 5  # planes
    assert 0.5 * expected_planes < last["plane"] - first["plane"] < 1.5 * expected_planes


def test_the_newest_planes_are_followed_until_another_plane_is_requested(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(packed_planes(SPIKES))
    with running_server(GrowingFile(path, **SIZE), fps=100, follows=True) as server:
        wait_until(lambda: state(server).get("plane") == 400 - 1 - 75)
        with path.open("ab") as stream:
            stream.write(packed_planes(SPIKES[:100]))
        wait_until(lambda: state(server)["plane"] == 500 - 1 - 75)
        assert state(server)["latency"] is not None
        assert send_request(server, "/control", {"plane": 30, "playing": False})[0] == 200
        wait_until(lambda: state(server)["plane"] == 30)
        time.sleep(0.1)
        assert state(server)["plane"] == 30
        send_request(server, "/control", {"follow": True})
        wait_until(lambda: state(server)["plane"] == 500 - 1 - 75)


def test_a_recording_ends_paused_and_can_be_played_again() -> None:
    recording = SpikeRecording.from_planes(SPIKES[:100], rate_scale=0.5)
    with running_server(StoredRecording(recording), fps=100, stride=50) as server:
        wait_until(lambda: state(server).get("plane") == 99 and not state(server)["playing"])
        send_request(server, "/control", {"plane": 0})
        wait_until(lambda: state(server)["plane"] == 0)


def test_a_short_recording_is_shown_and_a_too_short_one_is_rejected() -> None:
    recording = SpikeRecording.from_planes(SPIKES[:30], rate_scale=0.5)
    with running_server(StoredRecording(recording), fps=100) as server:
        wait_until(lambda: state(server).get("plane") == 29)
    network = PlainModule(channels=8, lpips="off").eval()
    server = LiveServer(Player(StoredRecording(recording), network, 0.5), 0, "a.npz")
    with pytest.raises(PlaneRangeError):
        server.serve()


def test_a_file_that_shrinks_ends_the_view_with_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(packed_planes(SPIKES))
    server = LiveServer(Player(GrowingFile(path, **SIZE), TFI(), 0.5), 0, "a.dat")
    threading.Timer(0.3, path.write_bytes, [b""]).start()
    with pytest.raises(FormatError, match="became shorter"):
        server.serve()


@pytest.mark.parametrize(
    "headers", [{"Host": "attacker.example"}, {"Origin": "https://attacker.example"}]
)
def test_requests_of_other_sites_are_rejected(headers: dict[str, str]) -> None:
    recording = SpikeRecording.from_planes(SPIKES, rate_scale=0.5)
    with running_server(StoredRecording(recording)) as server:
        for path, content in [("/", None), ("/state", None), ("/control", {"playing": False})]:
            assert send_request(server, path, content, **headers)[0] == 403
        page = send_request(server, "/")
        assert page[0] == 200
        assert "Spike Zoo" in str(page[1])


@pytest.mark.parametrize("content", [[], {"plane": "1"}, {"playing": 1}, {"file": "/etc/passwd"}])
def test_invalid_requests_are_rejected(content: object) -> None:
    recording = SpikeRecording.from_planes(SPIKES, rate_scale=0.5)
    with running_server(StoredRecording(recording)) as server:
        assert send_request(server, "/control", content)[0] == 400
        assert send_request(server, "/../secret")[0] == 404


def test_pictures_are_streamed() -> None:
    recording = SpikeRecording.from_planes(SPIKES, rate_scale=0.5)
    with running_server(StoredRecording(recording), fps=50) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        connection.request("GET", "/pictures")
        answer = connection.getresponse()
        assert "multipart/x-mixed-replace" in str(answer.getheader("Content-Type"))
        data = b""
        while data.count(b"--picture") < 3:
            data += answer.read(100)
        connection.close()


def test_invalid_options_are_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
def single_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
