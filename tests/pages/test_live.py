"""Tests of the live view: sources of planes, rate of images, page."""

import contextlib
import http.client
import io
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from spike_zoo.cli.main import main
from spike_zoo.errors import FormatError, GeometryError, PlaneRangeError
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.formats.dat import DatLayout
from spike_zoo.formats.recording import RecordingSource
from spike_zoo.formats.sidecar import RecordingSettings
from spike_zoo.methods.classical import TFI
from spike_zoo.methods.plain import PlainModule
from spike_zoo.pages.live import LiveServer, Player
from spike_zoo.pages.live_sources import GrowingFile, Pipe, StoredRecording, open_source
from spike_zoo.spikes import SpikeRecording
from tests.helpers.streams import random_spikes

SPIKES = random_spikes(400, 16, 24)
SIZE = RecordingSettings(16, 24)
STORED = StoredRecording(SpikeRecording.from_planes(SPIKES, rate_scale=0.5))


class SlowMethod(TFI):
    """A method that takes three times the interval between two images."""

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
        server.player.stop()
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
    source = GrowingFile(path, SIZE)
    assert source.span() == (0, 0)
    data = packed_planes(SPIKES)
    with path.open("ab", buffering=0) as stream:
        stream.write(data[:7])
        assert source.span() == GrowingFile(path, SIZE).span() == (0, 0), "no complete plane"
        stream.write(data[7 : 100 * 48 + 7])
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
    assert (source.window(680, 700)[:] == planes[688:700]).all(), "only kept planes"
    message = "plane 600 is no longer in memory, the oldest is plane 688"
    with pytest.raises(PlaneRangeError, match=message):
        source.window(600, 610)


def test_a_slow_method_drops_images_and_keeps_the_playback_speed() -> None:
    recording = SpikeRecording.from_planes(np.concatenate([SPIKES] * 20), rate_scale=0.5)
    source, method = StoredRecording(recording), SlowMethod(average=9)
    with running_server(source, method, fps=50, stride=5) as server:
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
    with running_server(GrowingFile(path, SIZE), fps=100, follows=True) as server:
        wait_until(lambda: state(server).get("plane") == 400 - 1 - 47)
        with path.open("ab") as stream:
            stream.write(packed_planes(SPIKES[:100]))
        wait_until(lambda: state(server)["plane"] == 500 - 1 - 47)
        assert state(server)["latency"] is not None
        assert send_request(server, "/control", {"plane": 90, "playing": False})[0] == 200
        wait_until(lambda: state(server)["plane"] == 90)
        time.sleep(0.1)
        assert state(server)["plane"] == 90
        send_request(server, "/control", {"follow": True})
        wait_until(lambda: state(server)["plane"] == 500 - 1 - 47)


def test_a_recording_ends_paused_before_the_planes_that_an_image_needs() -> None:
    with running_server(STORED, fps=100, stride=50) as server:
        wait_until(lambda: state(server).get("playing") is False)
        assert state(server)["plane"] == state(server)["last"] == 400 - 1 - 47
        send_request(server, "/control", {"plane": 0})
        wait_until(lambda: state(server)["plane"] == state(server)["first"] == 47)


def test_playing_starts_with_the_first_request_and_again_at_the_end() -> None:
    player: Any = Player(STORED, TFI(average=9), 0.5, fps=100, stride=50)
    thread = threading.Thread(target=player.run)
    thread.start()
    wait_until(lambda: player._shown is not None)
    time.sleep(0.2)
    latest, _ = player.wait(-1)
    assert (latest.number, latest.plane) == (1, 47), "no page was open"
    loops: list[list[int]] = [[], []]  # a slow reader misses images
    for planes in loops:
        while latest.playing:
            planes.append(latest.plane)
            latest, _ = player.wait(latest.number)
        assert latest.plane == 352
        player.control(playing=True)
        latest, _ = player.wait(latest.number)
        assert latest is not None
    for planes in loops:
        assert planes == sorted(set(planes) & set(range(47, 352, 50)))
        assert planes[0] < 147
    player.stop()
    thread.join()


def test_playing_goes_on_when_a_file_grows_after_its_last_plane_was_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(packed_planes(SPIKES))
    with running_server(GrowingFile(path, SIZE), fps=100, stride=50) as server:
        wait_until(lambda: state(server).get("plane") == 400 - 1 - 47)
        time.sleep(0.1)
        with path.open("ab") as stream:
            stream.write(packed_planes(SPIKES[:100]))
        wait_until(lambda: state(server)["plane"] == 500 - 1 - 47)


def test_control_does_not_wait_for_the_next_image() -> None:
    with running_server(STORED, fps=0.01) as server:
        wait_until(lambda: state(server).get("plane") == 67)  # the second one: a page is open
        send_request(server, "/control", {"plane": 200})
        wait_until(lambda: state(server)["plane"] == 200)


def test_ctrl_c_interrupts_a_slow_image() -> None:
    class VerySlowMethod(TFI):
        def reconstruct(self, *arguments: Any, **options: Any) -> Tensor:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
            raise AssertionError("not interrupted")

    server = LiveServer(Player(STORED, VerySlowMethod(), 0.5), 0, "a.dat")
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        server.serve()
    assert time.monotonic() - begin < 5


def test_a_short_recording_is_shown_and_a_too_short_one_is_rejected() -> None:
    recording = SpikeRecording.from_planes(SPIKES[:30], rate_scale=0.5)
    with running_server(StoredRecording(recording), fps=100) as server:
        wait_until(lambda: state(server).get("plane") == 14)
    network = PlainModule(channels=8, lpips="off").eval()
    short = StoredRecording(recording.between(0, 20))
    server = LiveServer(Player(short, network, 0.5), 0, "a.npz")
    with pytest.raises(PlaneRangeError):
        server.serve()


def test_a_file_that_shrinks_ends_the_view_with_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(packed_planes(SPIKES))
    server = LiveServer(Player(GrowingFile(path, SIZE), TFI(), 0.5), 0, "a.dat")
    threading.Timer(0.3, path.write_bytes, [b""]).start()
    with pytest.raises(FormatError, match="became shorter"):
        server.serve()


@pytest.mark.parametrize(
    "headers", [{"Host": "attacker.example"}, {"Origin": "https://attacker.example"}]
)
def test_requests_of_other_sites_are_rejected(headers: dict[str, str]) -> None:
    with running_server(STORED) as server:
        for path, content in [("/", None), ("/state", None), ("/control", {"playing": False})]:
            assert send_request(server, path, content, **headers)[0] == 403
        page = send_request(server, "/")
        assert page[0] == 200
        assert "Spike Zoo" in str(page[1])


@pytest.mark.parametrize("content", [[], {"plane": "1"}, {"playing": 1}, {"file": "/etc/passwd"}])
def test_invalid_requests_are_rejected(content: object) -> None:
    with running_server(STORED) as server:
        assert send_request(server, "/control", content)[0] == 400
        assert send_request(server, "/../secret")[0] == 404


def test_a_request_waits_for_the_next_image_at_a_multiple_of_the_stride() -> None:
    with running_server(STORED, fps=50, stride=5) as server:
        numbers = [0]
        for _ in range(5):
            _, answer = send_request(server, f"/state?after={numbers[-1]}")
            assert isinstance(answer, dict)
            numbers.append(answer["number"])
            assert answer["plane"] % 5 == 47 % 5 or answer["plane"] == answer["last"]
        assert sorted(set(numbers)) == numbers
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        connection.request("GET", "/image")
        assert connection.getresponse().read()[:2] == b"\xff\xd8"
        connection.close()


@pytest.mark.parametrize(
    ("sidecar", "options"),
    [
        ("offset: 37\nrate_scale: 0.5\nthreshold: 2.0\nfps: 40000", {}),
        ("spike_h: 13\nspike_w: 15\nframe_align: byte", {}),
        ("columns: [[2, 9], [12, 22]]\nflip: false\nmirror: true", {"rotate": 90}),
        ("label: 3\nlabel_name: dog", {"cfa": "BGGR"}),
    ],
)
@pytest.mark.parametrize("suffix", [".dat.yaml", "/config.yaml"])
def test_a_pipe_is_read_as_a_file_with_the_same_sidecar(
    sidecar: str, options: dict[str, Any], suffix: str, tmp_path: Path
) -> None:
    fields = {"spike_h": 16, "spike_w": 24} | yaml.safe_load(sidecar)
    offset, size = fields.get("offset", 0), -(-fields["spike_h"] * fields["spike_w"] // 8)
    data = bytes(offset) + bytes(range(128)) * size
    if fields["spike_h"] == 13:
        data = bytes(byte & 7 if at % size == size - 1 else byte for at, byte in enumerate(data))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "config.yaml"
        path = path if "/" in suffix else path.with_name(f"clip{suffix}")
        path.write_text(yaml.safe_dump(fields))
    (tmp_path / "a" / "clip.dat").write_bytes(data)
    expected = read_recording(tmp_path / "a" / "clip.dat", **options)
    pipe = tmp_path / "b" / "clip.dat"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    stated = RecordingSettings(**options)
    source = open_source(RecordingSource(pipe, user_settings=stated), follow=False)
    writer.join()
    wait_until(lambda: source.ended)
    assert source.span() == (0, len(expected)) == (0, 128)
    recording = source.window(0, 128)
    assert (recording.read() == expected.read()).all()
    for fact in ("fps", "threshold", "rate_scale", "cfa", "meta"):
        assert getattr(recording, fact) == getattr(expected, fact), fact
    assert source.rate_scale == expected.rate_scale


def test_pipes_whose_planes_start_inside_a_byte_are_rejected(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.dat")
    (tmp_path / "p.dat.yaml").write_text("spike_h: 13\nspike_w: 15\nframe_align: bit\n")
    with pytest.raises(GeometryError, match=r"p\.dat: frame_align bit cannot be read from a pipe"):
        open_source(RecordingSource(tmp_path / "p.dat"), follow=False)  # no program writes


def test_a_pipe_that_is_closed_without_a_plane_is_an_error() -> None:
    source = Pipe(io.BufferedReader(io.BytesIO(bytes(47))), "p.dat", DatLayout(16, 24, "byte"))
    wait_until(lambda: source.ended)
    with pytest.raises(FormatError, match=r"p\.dat: no plane arrived.* 48 bytes, one plane"):
        Player(source, TFI(), 0.5).run()


def test_a_pipe_that_cannot_be_read_has_ended() -> None:
    source = Pipe(io.BufferedReader(io.BytesIO()), "p.dat", DatLayout(16, 24, "byte"))
    wait_until(lambda: source.ended)
    source.ended = False
    with pytest.raises(ValueError, match="closed"):
        source._fill()
    assert source.ended


def test_planes_that_arrive_before_the_oldest_ones_are_read_move_the_image() -> None:
    stored = np.packbits(SPIKES[:, ::-1], axis=-1, bitorder="little").reshape(400, -1)

    class FastPipe(Pipe):
        arriving = 0

        def span(self) -> tuple[int, int]:
            span = super().span()
            self._planes.append(stored[: self.arriving])
            return span

    stream = io.BufferedReader(io.BytesIO(packed_planes(np.concatenate([SPIKES] * 2))))
    source = FastPipe(stream, "p", DatLayout(16, 24, "byte"), kept_bytes=0)
    wait_until(lambda: source.ended)
    source.ended = False
    player: Any = Player(source, TFI(), 0.5)
    player.control(plane=0, playing=False)
    source.arriving = 300
    assert not player._make(), "the image's plane was overwritten"
    source.arriving = 20
    assert player._make()
    assert player._shown.plane == 800 + 300 - 512 + 43


def test_invalid_options_are_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = str(write_recording(SpikeRecording.from_planes(SPIKES), tmp_path / "a.npz"))
    for options, message in [
        (["--method", "tfpp"], "Did you mean 'tfp'"),
        (["--follow"], "only a .dat can be read while it is written"),
    ]:
        assert main(["live", clip, "--method", "tfi", *options]) in (1, 2)
        assert message in capsys.readouterr().err
    os.mkfifo(tmp_path / "p.dat")
    assert main(["live", str(tmp_path / "p.dat"), "--method", "tfi"]) == 2
    assert "--height and --width" in capsys.readouterr().err


def test_a_stated_rate_scale_needs_no_planes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiveServer, "serve", LiveServer.server_close)
    (tmp_path / "a.dat").write_bytes(bytes(7))
    options = ["--follow", "true", "--rate-scale", "0.5", "--method", "tfi", "--port", "7873"]
    assert main(["live", str(tmp_path / "a.dat"), "--height=16", "--width=24", *options]) == 0
    assert "page: http://127.0.0.1:7873/" in capsys.readouterr().out


@pytest.fixture(autouse=True)
def single_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
