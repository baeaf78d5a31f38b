"""Coding and decoding of frames with x264, x265 and SVT-AV1 at a constant quantiser."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final, Literal, NamedTuple, cast

import av
import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import MediaError

RATE: Final = 25  # images per second; no effect on the bits with a constant quantiser
MULTIPLE, MIN_SIDE = 8, 24  # sides in pixels; 24 is wider than the smallest unit of x265 (16)
NO_COLOUR: Final = 128
#: Start code of units in an H.264 stream, and type of units of supplemental information (SEI).
UNIT_START, H264_SEI = b"\x00\x00\x01", 6
CHANNELS: Final = 3


class Codec(NamedTuple):
    """Names and options of a codec in FFmpeg.

    ``is_planar``: three channels are coded at full size (4:4:4), else only the luma of 4:2:0.
    """

    encoder: str
    decoder: str
    options: dict[str, str]  # with ``{qp}`` and ``{unit}`` for the largest coding unit
    largest_qp: int
    is_planar: bool


#: One thread, constant quantiser, tuned for PSNR, by which the codecs are compared.
CODECS: Final[dict[str, Codec]] = {
    "x264": Codec(
        "libx264", "h264", {"qp": "{qp}", "preset": "slow", "tune": "psnr"}, 51, is_planar=True
    ),
    "x265": Codec(
        "libx265",
        "hevc",
        {
            "x265-params": "qp={qp}:ctu={unit}:pools=none:frame-threads=1:info=0:log-level=none",
            "preset": "slow",
            "tune": "psnr",
        },
        51,
        is_planar=True,
    ),
    "x265-zerolatency": Codec(  # no B-frames and no lookahead: no frame waits for later frames
        "libx265",
        "hevc",
        {
            "x265-params": "qp={qp}:ctu={unit}:pools=none:frame-threads=1:info=0:log-level=none:"
            "bframes=0:rc-lookahead=0:scenecut=0",
            "preset": "slow",
            "tune": "psnr",
        },
        51,
        is_planar=True,
    ),
    "svtav1": Codec(
        "libsvtav1",
        "libdav1d",
        {"qp": "{qp}", "preset": "4", "svtav1-params": "lp=1"},
        63,
        is_planar=False,
    ),
}


class CodedVideo(NamedTuple):
    """Coded frames."""

    codec: str  #: a name of :data:`CODECS`
    #: Packets of the encoder in decoding order. Concatenated, they are an elementary stream: H.264
    #: and H.265 with start codes, AV1 as open bitstream units.
    packets: tuple[bytes, ...]
    shape: tuple[int, ...]  #: shape of the frames

    @property
    def n_bytes(self) -> int:
        """Length of the elementary stream, with its headers and without a container.

        The unit in which x264 states its version and settings (some 650 bytes) is removed, because
        no decoder needs it. x265 and SVT-AV1 are configured to write none.
        """
        return sum(map(len, self.packets))


def available_codecs() -> tuple[str, ...]:
    """Return the names of :data:`CODECS` with encoder and decoder in this build of PyAV."""
    return tuple(name for name in CODECS if not _missing(name))


def codec_of(codec: str) -> Codec:
    """Return a codec that this build of PyAV supports."""
    if codec not in CODECS:
        raise ValueError(f"codec must be one of {', '.join(CODECS)}, got {codec!r}")
    if missing := _missing(codec):
        raise MediaError(
            f"{codec}: this build of PyAV has no {missing}; available codecs: "
            f"{', '.join(available_codecs()) or 'none'}. Install PyAV's wheel (pip install av), "
            "or choose one of these."
        )
    # SVT-AV1 reads it at its first log message; 1: errors only
    os.environ.setdefault("SVT_LOG", "1")
    return CODECS[codec]


def encode_video(frames: NDArray[np.uint8], codec: str, qp: int) -> CodedVideo:
    """Code frames with a constant quantiser; the same frames give the same bytes.

    Frames are padded to multiples of 8 with their edge values, and cropped after decoding.

    Args:
        frames: uint8 ``(N, H, W)``, or ``(N, 3, H, W)`` with channels coded as 4:4:4 planes. The
            SVT-AV1 encoder has no 4:4:4; for it, the three channels are stacked vertically into one
            image of one channel.
        codec: A name of :data:`CODECS`.
        qp: Quantiser, from 0 (finest) to 51 (x264, x265) or 63 (SVT-AV1).
    """
    settings = codec_of(codec)
    if not 0 <= qp <= settings.largest_qp:
        raise ValueError(f"{codec}: qp must be in 0..{settings.largest_qp}, got {qp}")
    is_planar = frames.ndim == 4 and frames.shape[1] == CHANNELS
    if frames.dtype != np.uint8 or not frames.size or not (frames.ndim == 3 or is_planar):
        raise ValueError(
            f"{codec}: frames are uint8 (N, H, W) or (N, 3, H, W), got {frames.dtype} "
            f"{frames.shape}"
        )
    if is_planar and not settings.is_planar:  # (N, 3, H, W) -> (N, 3 H, W)
        images = _enlarged(frames.reshape(len(frames), -1, frames.shape[-1]))
    else:
        images = _enlarged(frames)
    context = _context(settings.encoder, "w")
    context.height, context.width = images.shape[-2:]
    one_channel = "gray" if settings.is_planar else "yuv420p"
    context.pix_fmt = one_channel if images.ndim == 3 else "yuv444p"
    context.framerate, context.time_base = Fraction(RATE), Fraction(1, RATE)
    values = {"qp": qp, "unit": largest_unit(*images.shape[-2:])}
    context.options = {name: text.format(**values) for name, text in settings.options.items()}
    with normal_priority():
        packets = [bytes(packet) for packet in _packets(context, images)]
    if codec == "x264":
        packets = [_without_sei(packet) for packet in packets]
    return CodedVideo(codec, tuple(packets), frames.shape)


@contextlib.contextmanager
def normal_priority() -> Iterator[None]:
    """Restore the priority of this thread after the block.

    For the root user, SVT-AV1 sets real-time priority and does not reset it. Threads that are
    started later inherit this priority, and other processes get no core while they wait for each
    other.
    """
    if not hasattr(os, "sched_getscheduler"):  # only on Linux
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameters)


def decode_video(coded: CodedVideo) -> NDArray[np.uint8]:
    """Return the frames of a coded video in display order, cropped to their original shape."""
    settings = codec_of(coded.codec)
    context = _context(settings.decoder, "r")
    try:
        decoded = [frame for data in coded.packets for frame in context.decode(av.Packet(data))]
        decoded += context.decode(None)
    except av.FFmpegError as error:
        raise MediaError(f"{coded.codec}: the stream is damaged ({error})") from error
    count, *_, height, width = coded.shape
    if len(decoded) != count:
        raise MediaError(
            f"{coded.codec}: the stream holds {len(decoded)} frames, {count} were coded"
        )
    is_planar = len(coded.shape) == 4
    if is_planar and not settings.is_planar:
        tall = np.stack([_luma(frame) for frame in decoded])[:, : CHANNELS * height, :width]
        return np.ascontiguousarray(tall.reshape(count, CHANNELS, height, width))
    read = _planes if is_planar else _luma
    return np.ascontiguousarray(np.stack([read(frame) for frame in decoded])[..., :height, :width])


def _missing(codec: str) -> str:
    """Return the name of the encoder or decoder that this build of PyAV lacks, else ""."""
    settings = CODECS[codec]
    modes: tuple[Literal["r", "w"], ...] = ("w", "r")
    for kind, name, mode in zip(("encoder", "decoder"), settings[:2], modes, strict=True):
        try:
            av.Codec(name, mode)
        except (ValueError, av.FFmpegError):  # PyAV's UnknownCodecError is a ValueError
            return f"{kind} {name}"
    return ""


def _context(name: str, mode: Literal["r", "w"]) -> av.VideoCodecContext:
    context = cast("av.VideoCodecContext", av.CodecContext.create(name, mode))
    context.thread_count = 1
    return context


def largest_unit(height: int, width: int) -> int:
    """Return the side of the largest coding units of x265, smaller than the width of the image.

    With a unit as wide as the image, x265 reads uninitialised memory, and bytes differ between
    calls.
    """
    return next((side for side in (64, 32) if width > side and height >= side), 16)


def padded_side(side: int, multiple: int) -> int:
    """Return a side padded to a multiple for an encoder; at least 24 if the multiple is 8."""
    return max(MIN_SIDE if multiple == MULTIPLE else 0, side + -side % multiple)


def _enlarged(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    sides = [padded_side(side, MULTIPLE) - side for side in frames.shape[-2:]]
    rest = [(0, 0)] * (frames.ndim - 2)
    return np.pad(frames, [*rest, *((0, side) for side in sides)], mode="edge")


def colourless(luma: NDArray[np.uint8]) -> av.VideoFrame:
    """Return a 4:2:0 frame with luma ``(H, W)`` and neutral chroma."""
    height, width = luma.shape
    planes = np.full((height * 3 // 2, width), NO_COLOUR, np.uint8)
    planes[:height] = luma
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def _packets(context: av.VideoCodecContext, images: NDArray[np.uint8]) -> Iterator[av.Packet[Any]]:
    layout = str(context.pix_fmt)
    for number, image in enumerate(images):
        is_420 = layout == "yuv420p"
        frame = colourless(image) if is_420 else av.VideoFrame.from_ndarray(image, format=layout)
        frame.pts = number
        yield from context.encode(frame)
    yield from context.encode(None)


def _without_sei(packet: bytes) -> bytes:
    first, *units = packet.split(UNIT_START)
    others = [unit for unit in units if unit[0] & 0x1F != H264_SEI]
    return UNIT_START.join([first, *others])


def _luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Return the first plane of a frame, without the padding of its rows."""
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width].copy()


def _planes(frame: av.VideoFrame) -> NDArray[np.uint8]:
    return cast("NDArray[np.uint8]", frame.to_ndarray(channel_last=False))
