"""Frames to the bytes of a video codec and back: what other codecs need for the same pictures."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

import av
import numpy as np

from spike_zoo.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

RATE: Final = 25  # images per second; with constant quantisers it decides nothing
MULTIPLE, SMALLEST = 8, 24  # pixels: what all encoders take, and two units of x265's smallest
NO_COLOUR: Final = 128
#: Between two units of an H.264 stream; a unit of this type holds notes and no picture.
UNIT_START, H264_NOTES = b"\x00\x00\x01", 6
CHANNELS: Final = 3


class Codec(NamedTuple):
    """What is known of a codec.

    Attributes:
        encoder: FFmpeg's name.
        decoder: Likewise.
        options: The encoder's, ``{qp}`` for the quantiser, ``{unit}`` for the largest coding unit.
        largest_qp: The coarsest quantiser.
        is_planar: Whether it codes three channels at full size; if not, one of 4:2:0 alone.
    """

    encoder: str
    decoder: str
    options: dict[str, str]
    largest_qp: int
    is_planar: bool


#: One thread, a constant quantiser, tuned to PSNR as all these are compared by it.
CODECS: Final[dict[str, Codec]] = {
    "x264": Codec(
        "libx264",
        "h264",
        {"qp": "{qp}", "preset": "slow", "tune": "psnr"},
        51,
        is_planar=True,
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
    "svtav1": Codec(
        "libsvtav1",
        "libdav1d",
        {"qp": "{qp}", "preset": "4", "svtav1-params": "lp=1"},
        63,
        is_planar=False,
    ),
}


class CodedVideo(NamedTuple):
    """Frames as a codec writes them.

    Attributes:
        codec: A name of :data:`CODECS`.
        packets: What the encoder wrote, in the order in which a decoder takes it. Put together
            they are an elementary stream: H.264 and H.265 with start codes, AV1 as open bitstream
            units.
        shape: Of the frames.
    """

    codec: str
    packets: tuple[bytes, ...]
    shape: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        """Length of the elementary stream: with its headers, without any container.

        x264's note on its own version and settings (some 650 bytes) is left out, for no decoder
        needs it; x265 and SVT-AV1 are asked for none.
        """
        return sum(map(len, self.packets))


def available_codecs() -> tuple[str, ...]:
    """Return the names of :data:`CODECS` that this build of PyAV has encoder and decoder of."""
    return tuple(name for name in CODECS if not _missing(name))


def codec_of(codec: str) -> Codec:
    """Return what is known of a codec that can be used here.

    Raises:
        MediaError: If it is not in this build of PyAV; names it and those that are.
        ValueError: If the name is unknown.
    """
    if codec not in CODECS:
        raise ValueError(f"codec must be one of {', '.join(CODECS)}, got {codec!r}")
    if missing := _missing(codec):
        raise MediaError(
            f"{codec}: this build of PyAV has no {missing}; it can code with "
            f"{', '.join(available_codecs()) or 'none of ours'}. Install PyAV's own wheel (pip "
            "install av), or choose one of these."
        )
    # the library reads it when it first says something; 1 leaves its errors
    os.environ.setdefault("SVT_LOG", "1")
    return CODECS[codec]


def encode_video(frames: NDArray[np.uint8], codec: str, qp: int) -> CodedVideo:
    """Code frames with a constant quantiser; the same frames give the same bytes.

    The encoder may look ahead and predict from both sides, as it would for a file. Frames are
    padded to multiples of 8 with their edge values, and cropped when they are decoded.

    Args:
        frames: ``(N, H, W)`` of one channel, or ``(N, 3, H, W)``, whose channels are coded as
            4:4:4 planes. AV1 has no such encoder here, so that it sees them below each other, as
            one tall picture of one channel.
        codec: A name of :data:`CODECS`.
        qp: The quantiser: 0 is the finest, 51 the coarsest of x264 and x265, 63 of SVT-AV1.

    Raises:
        MediaError: If the codec is not in this build of PyAV; names it and those that are.
        ValueError: If the codec is unknown, the quantiser outside its range, or the frames are
            none.
    """
    known = codec_of(codec)
    if not 0 <= qp <= known.largest_qp:
        raise ValueError(f"{codec}: qp must be in 0..{known.largest_qp}, got {qp}")
    is_planar = frames.ndim == 4 and frames.shape[1] == CHANNELS
    if frames.dtype != np.uint8 or not frames.size or not (frames.ndim == 3 or is_planar):
        raise ValueError(
            f"{codec}: frames are uint8 (N, H, W) or (N, 3, H, W), got {frames.dtype} "
            f"{frames.shape}"
        )
    if is_planar and not known.is_planar:  # channels below each other
        pictures = _enlarged(frames.reshape(len(frames), -1, frames.shape[-1]))
    else:
        pictures = _enlarged(frames)
    context = _context(known.encoder, "w")
    context.height, context.width = pictures.shape[-2:]
    one_channel = "gray" if known.is_planar else "yuv420p"
    context.pix_fmt = one_channel if pictures.ndim == 3 else "yuv444p"
    context.framerate, context.time_base = Fraction(RATE), Fraction(1, RATE)
    given = {"qp": qp, "unit": largest_unit(*pictures.shape[-2:])}
    context.options = {name: text.format(**given) for name, text in known.options.items()}
    with normal_priority():
        packets = [bytes(packet) for packet in _packets(context, pictures)]
    if codec == "x264":
        packets = [_without_notes(packet) for packet in packets]
    return CodedVideo(codec, tuple(packets), frames.shape)


@contextlib.contextmanager
def normal_priority() -> Iterator[None]:
    """Restore the priority of this thread after the block.

    For the root user, SVT-AV1 raises it to real-time priority and leaves it there. Threads that are
    started later inherit it, and while they wait for each other no other process gets a core.
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
    """Return the frames of a coded video, in order of time, of the shape that they had.

    Raises:
        MediaError: If the decoder is not in this build of PyAV, or the stream has not as many
            frames as it should.
    """
    known = codec_of(coded.codec)
    context = _context(known.decoder, "r")
    try:
        decoded = [one for data in coded.packets for one in context.decode(av.Packet(data))]
        decoded += context.decode(None)
    except av.FFmpegError as error:
        raise MediaError(f"{coded.codec}: the stream is damaged ({error})") from error
    count, *_, height, width = coded.shape
    if len(decoded) != count:
        raise MediaError(
            f"{coded.codec}: the stream holds {len(decoded)} frames, {count} were coded"
        )
    is_planar = len(coded.shape) == 4
    if is_planar and not known.is_planar:
        tall = np.stack([_luma(frame) for frame in decoded])[:, : CHANNELS * height, :width]
        return np.ascontiguousarray(tall.reshape(count, CHANNELS, height, width))
    read = _planes if is_planar else _luma
    return np.ascontiguousarray(np.stack([read(one) for one in decoded])[..., :height, :width])


def _missing(codec: str) -> str:
    """Return which half of a codec this build of PyAV lacks, nothing where it has both."""
    known = CODECS[codec]
    try:
        av.Codec(known.encoder, "w")
    except (ValueError, av.FFmpegError):  # its UnknownCodecError is a ValueError
        return f"encoder {known.encoder}"
    try:
        av.Codec(known.decoder, "r")
    except (ValueError, av.FFmpegError):
        return f"decoder {known.decoder}"
    return ""


def _context(name: str, mode: Literal["r", "w"]) -> av.VideoCodecContext:
    context = cast("av.VideoCodecContext", av.CodecContext.create(name, mode))
    context.thread_count = 1
    return context


def largest_unit(height: int, width: int) -> int:
    """Return the side of x265's largest coding units, so that two stand beside each other.

    Where one is as wide as a picture it reads what it never wrote: bytes differ at every call.
    """
    return next((side for side in (64, 32) if width > side and height >= side), 16)


def padded_side(side: int, multiple: int) -> int:
    """Return the side of a frame that an encoder takes, at least 24 where 8 is the multiple."""
    return max(SMALLEST if multiple == MULTIPLE else 0, side + -side % multiple)


def _enlarged(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    sides = [padded_side(side, MULTIPLE) - side for side in frames.shape[-2:]]
    rest = [(0, 0)] * (frames.ndim - 2)
    return np.pad(frames, [*rest, *((0, side) for side in sides)], mode="edge")


def colourless(luma: NDArray[np.uint8]) -> av.VideoFrame:
    """Return a frame of 4:2:0 with some brightness ``(H, W)`` and no colour."""
    height, width = luma.shape
    planes = np.full((height * 3 // 2, width), NO_COLOUR, np.uint8)
    planes[:height] = luma
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def _packets(
    context: av.VideoCodecContext, pictures: NDArray[np.uint8]
) -> Iterator[av.Packet[Any]]:
    layout = str(context.pix_fmt)
    for number, picture in enumerate(pictures):
        is_420 = layout == "yuv420p"
        frame = (
            colourless(picture) if is_420 else av.VideoFrame.from_ndarray(picture, format=layout)
        )
        frame.pts = number
        yield from context.encode(frame)
    yield from context.encode(None)


def _without_notes(packet: bytes) -> bytes:
    """Return a packet of H.264 without supplemental units."""
    first, *units = packet.split(UNIT_START)
    kept = [unit for unit in units if unit[0] & 0x1F != H264_NOTES]
    return UNIT_START.join([first, *kept])


def _luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Return the first plane of a frame, without the padding of its rows."""
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width].copy()


def _planes(frame: av.VideoFrame) -> NDArray[np.uint8]:
    return cast("NDArray[np.uint8]", frame.to_ndarray(channel_last=False))
