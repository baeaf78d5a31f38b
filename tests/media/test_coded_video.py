"""Tests of video codecs: decoded frames and their errors by quantiser."""

import os
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from spike_zoo.errors import MediaError
from spike_zoo.media import coded_video
from spike_zoo.media.coded_video import (
    CODECS,
    CodedVideo,
    available_codecs,
    decode_video,
    encode_video,
)
from spike_zoo.media.video import VideoWriter
from tests.helpers.processes import run_python

QP = 20


def moving_waves(count: int, height: int, width: int, channels: int = 0) -> NDArray[np.uint8]:
    """Return moving waves that differ in each frame and channel."""
    rows, columns, times = np.mgrid[:height, :width, :count].transpose(0, 3, 1, 2)
    grey = 127.5 + 60 * (np.sin((columns + 3 * times) / 7) + np.cos((rows - 2 * times) / 5))
    shifts = np.arange(channels or 1)[None, :, None, None] * 9
    frames = (grey[:, None] / 1.5 + shifts).clip(0, 255).astype(np.uint8)
    return frames if channels else frames[:, 0]


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if name not in available_codecs():
        pytest.skip(f"this build of PyAV has no {CODECS[name].encoder}")
    return name


def test_the_installed_pyav_has_every_codec() -> None:
    assert available_codecs() == ("x264", "x265", "x265-zerolatency", "svtav1")


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="only Linux has such priorities")
def test_an_encoder_does_not_change_the_priority_of_the_process(codec: str, tmp_path: Path) -> None:
    """SVT-AV1 sets real-time priority for root, which blocked all other processes."""
    before = os.sched_getscheduler(0)
    encode_video(moving_waves(3, 64, 64), codec, QP)
    assert os.sched_getscheduler(0) == before
    name = {"svtav1": "av1", "x264": "x264"}.get(codec, "x265")
    with VideoWriter(tmp_path / "a.mp4", codec=name) as video:
        video.write(np.zeros((1, 64, 64), np.float32))
        assert os.sched_getscheduler(0) == before


@pytest.mark.parametrize("shape", [(9, 33, 51), (1, 16, 16), (3, 5, 7)])
@pytest.mark.parametrize("channels", [0, 3])
def test_frames_are_decoded_in_order_at_any_size(
    codec: str, shape: tuple[int, int, int], channels: int
) -> None:
    frames = moving_waves(*shape, channels)
    decoded = decode_video(encode_video(frames, codec, QP))
    assert decoded.shape == frames.shape
    assert decoded.dtype == np.uint8
    errors = np.abs(decoded.astype(float)[:, None] - frames[None]).reshape(*[shape[0]] * 2, -1)
    assert errors.mean(axis=2).argmin(axis=1).tolist() == list(range(shape[0]))
    assert np.abs(decoded.astype(float) - frames).mean() < 3


@pytest.mark.parametrize("size", [(16, 16), (32, 32), (64, 64), (40, 72)])
def test_the_same_frames_give_the_same_bytes(codec: str, size: tuple[int, int]) -> None:
    """On binary noise, bytes of x265 differed if a coding unit was as wide as the image."""
    frames = np.random.default_rng(0).choice(
        np.array([0, 255], np.uint8), (12, *size), p=(0.7, 0.3)
    )
    assert len({encode_video(frames, codec, 48).packets for _ in range(3)}) == 1


def test_a_coarser_quantiser_gives_fewer_bytes_and_larger_errors(codec: str) -> None:
    noise = np.random.default_rng(0).integers(0, 40, (8, 64, 64), np.uint8)
    frames = (moving_waves(8, 64, 64) // 2 + noise).astype(np.uint8)
    coded = [encode_video(frames, codec, qp) for qp in (12, 24, 36, 48)]
    sizes = [video.n_bytes for video in coded]
    errors = [np.abs(decode_video(video).astype(float) - frames).mean() for video in coded]
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    assert sizes[0] > 4 * sizes[-1]


def test_the_packets_form_a_stream_that_ffmpeg_parses(codec: str) -> None:
    """FFmpeg's parser finds the frames in the stream without a container."""
    frames = moving_waves(6, 64, 64)
    coded = encode_video(frames, codec, QP)
    assert coded.n_bytes == len(b"".join(coded.packets))
    if codec == "svtav1":  # AV1 packets need no parser; a temporal delimiter starts each
        assert all(packet[0] == 0x12 for packet in coded.packets)
        return
    reader: Any = av.CodecContext.create(CODECS[codec].decoder, "r")
    parsed = [*reader.parse(b"".join(coded.packets)), *reader.parse()]
    read = [frame for packet in parsed for frame in reader.decode(packet)]
    read += reader.decode(None)
    assert [(frame.height, frame.width) for frame in read] == [(64, 64)] * 6


def test_streams_do_not_contain_the_name_of_the_encoder() -> None:
    for codec in available_codecs():
        stream = b"".join(encode_video(moving_waves(2, 16, 16), codec, 40).packets)
        assert b"x264" not in stream
        assert b"x265" not in stream
        assert len(stream) < 200


def test_a_missing_codec_is_named_with_the_available_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = CODECS["x265"]._replace(encoder="libnone265")
    monkeypatch.setitem(coded_video.CODECS, "x265", missing)
    message = r"x265: .*no encoder libnone265; .* x264, x265-zerolatency, svtav1"
    with pytest.raises(MediaError, match=message):
        encode_video(moving_waves(2, 16, 16), "x265", 30)


def test_a_stream_with_missing_packets_is_rejected(codec: str) -> None:
    coded = encode_video(moving_waves(4, 32, 32), codec, 30)
    with pytest.raises(MediaError, match=rf"{codec}: the stream"):
        decode_video(CodedVideo(codec, coded.packets[:-2], coded.shape))


@pytest.mark.parametrize(
    ("frames", "qp", "message"),
    [
        (np.zeros((2, 16, 16), np.float32), 30, "uint8 .* got float32"),
        (np.zeros((0, 16, 16), np.uint8), 30, r"got uint8 \(0, 16, 16\)"),
        (np.zeros((2, 4, 16, 16), np.uint8), 30, r"got uint8 \(2, 4, 16, 16\)"),
        (np.zeros((2, 16, 16), np.uint8), 52, "x264: qp must be in 0..51, got 52"),
        (np.zeros((2, 16, 16), np.uint8), -1, "got -1"),
    ],
)
def test_frames_and_quantisers_that_cannot_be_coded_are_rejected(
    frames: NDArray[np.uint8], qp: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        encode_video(frames, "x264", qp)
    with pytest.raises(ValueError, match="one of x264, x265, x265-zerolatency, svtav1, got 'vvc'"):
        encode_video(frames, "vvc", qp)


def test_encoders_print_nothing() -> None:
    process = run_python(
        "import numpy as np\nfrom spike_zoo.media.coded_video import *\n"
        "for name in available_codecs():\n"
        "    decode_video(encode_video(np.zeros((2, 16, 16), np.uint8), name, 30))\n"
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
