"""Writer of MP4 videos, image by image, with H.264, H.265 or AV1."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, cast

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from spike_zoo.errors import MediaError
from spike_zoo.media.coded_video import colourless, largest_unit, normal_priority, padded_side
from spike_zoo.media.images import ImageArray, to_bytes
from spike_zoo.utils.files import new_file


class VideoCodec(NamedTuple):
    """An encoder of videos with a constant rate factor.

    It uses one thread, so that the same images give the same bytes.
    """

    encoder: str  # FFmpeg's name
    tag: str  # four-character code in an MP4 file
    options: dict[str, str]  # with ``{unit}`` for the largest coding unit
    crf: int  # default; lower values give better quality
    largest_crf: int
    multiple: int  # divides both sides of the coded image


_X265 = "ctu={unit}:pools=none:frame-threads=1:info=0:log-level=none"
VIDEO_CODECS: Final = {
    "x264": VideoCodec("libx264", "avc1", {"preset": "medium"}, 18, 51, 2),
    "x265": VideoCodec(
        "libx265", "hev1", {"preset": "slow", "tune": "psnr", "x265-params": _X265}, 28, 51, 8
    ),
    "av1": VideoCodec("libsvtav1", "av01", {"preset": "4", "svtav1-params": "lp=1"}, 35, 63, 8),
}
X265_DELAY = 2  # images from decoding to presentation
BT709 = 1
STUDIO_LEVELS = np.rint(16 + np.arange(256) * 219 / 255).astype(np.uint8)
MIN_SIDE = 2
RATES = (0.001, 1001 * 1000)  # smallest and largest number of images per second


class VideoWriter:
    """Write an MP4 video, by default H.264, which all browsers play.

    A context manager. The file is created at the end of the block; after an error or Ctrl-C no file
    remains.

    Args:
        path: The file; missing folders are created.
        fps: Images per second.
        overwrite: Replace an existing file.
        codec: ``"x264"``, ``"x265"`` or ``"av1"``.
        crf: Constant rate factor; by default that of the codec in :data:`VIDEO_CODECS`.
        comment: Comment in the metadata of the file.

    Raises:
        ExistingFileError: If the file exists and ``overwrite`` is off.
        MediaError: At the end of the block, if no image was written; or if this build of PyAV does
            not have the encoder.
        ValueError: If ``fps`` is outside :data:`RATES`, or ``crf`` outside the codec's range.

    Example:
        >>> with VideoWriter("fade.mp4", fps=10) as video:
        ...     for level in (0.0, 0.5, 1.0):
        ...         video.write(np.full((16, 16), level))
        >>> video.images, video.path.exists()
        (3, True)
    """

    def __init__(
        self,
        path: str | Path,
        fps: float = 25.0,
        *,
        overwrite: bool = False,
        codec: str = "x264",
        crf: int | None = None,
        comment: str = "",
    ) -> None:
        if not RATES[0] <= fps <= RATES[1]:
            raise ValueError(f"fps must be {RATES[0]} to {RATES[1]} images per second, got {fps}")
        self.codec = VIDEO_CODECS[codec]
        self.crf = self.codec.crf if crf is None else crf
        if not 0 <= self.crf <= self.codec.largest_crf:
            raise ValueError(f"crf of {codec} must be 0 to {self.codec.largest_crf}, got {crf}")
        self.comment = comment
        self.path = Path(path)
        self.rate = Fraction(fps).limit_denominator(1001)
        self.overwrite = overwrite
        self.images = self._packets = 0
        self._stack = contextlib.ExitStack()
        self._shape: tuple[int, ...] | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:  # closes everything if this block fails
            temporary = stack.enter_context(new_file(self.path, overwrite=self.overwrite))
            options = {"movflags": "faststart"}
            container = av.open(temporary, "w", format="mp4", options=options)
            self._container = stack.enter_context(container)
            if self.comment:
                self._container.metadata["comment"] = self.comment
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        with self._stack:
            if kind is not None:
                self._stack.__exit__(kind, *error)
                return
            if self._shape is None:
                raise MediaError(f"{self.path}: a video needs at least one image")
            self._mux(self._stream.encode())

    def write(self, image: ImageArray) -> None:
        """Append an image.

        Args:
            image: An image as for :func:`spike_zoo.media.to_bytes`; all have the same shape. Sides
                are padded with their last row or column to a multiple that the codec supports.
        """
        pixels = to_bytes(image)
        if self._shape is None:
            self._open_stream(pixels)
        if pixels.shape != self._shape:
            raise MediaError(
                f"{self.path}: image {self.images} has shape {pixels.shape}, the first one had "
                f"{self._shape}"
            )
        padded = np.pad(pixels, [*self._padding, (0, 0)][: pixels.ndim], mode="edge")
        # rounded levels for grey: FFmpeg's conversion truncates
        is_grey = padded.ndim == 2
        frame = colourless(STUDIO_LEVELS[padded]) if is_grey else _colour_frame(padded)
        frame.pts = self.images
        with normal_priority():
            packets = self._stream.encode(frame)
        self._mux(packets)
        self.images += 1

    def _mux(self, packets: Sequence[av.Packet[Any]]) -> None:
        for packet in packets:
            if self.codec.encoder == "libx265":  # wrong decoding times in short videos
                packet.dts = self._packets - X265_DELAY
            self._packets += 1
            self._container.mux(packet)

    def _open_stream(self, pixels: NDArray[np.uint8]) -> None:
        height, width = pixels.shape[:2]
        if min(height, width) < MIN_SIDE:
            raise MediaError(f"{self.path}: a video needs 2 x 2 pixels, got {width} x {height}")
        self._shape = pixels.shape
        os.environ.setdefault("SVT_LOG", "1")  # errors only; read when the encoder is loaded
        try:
            added = self._container.add_stream(self.codec.encoder, rate=self.rate)
        except (ValueError, av.FFmpegError) as error:
            raise MediaError(
                f"{self.path}: this build of PyAV has no encoder {self.codec.encoder}; install "
                "PyAV's wheel (pip install av), or choose another codec"
            ) from error
        stream = cast("av.VideoStream", added)
        rows, columns = (padded_side(side, self.codec.multiple) for side in (height, width))
        self._padding = ((0, rows - height), (0, columns - width))
        stream.width, stream.height = columns, rows
        stream.pix_fmt = "yuv420p"
        unit = largest_unit(rows, columns)
        options = {name: text.format(unit=unit) for name, text in self.codec.options.items()}
        stream.options = {"crf": str(self.crf), **options}
        codec = stream.codec_context
        codec.codec_tag = self.codec.tag
        codec.time_base = 1 / self.rate
        codec.color_range = ColorRange.MPEG
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        self._stream = stream


def save_video(
    images: Iterable[ImageArray], path: str | Path, fps: float = 25.0, *, overwrite: bool = False
) -> None:
    """Write images as an MP4 video with :class:`VideoWriter`.

    Example:
        >>> save_video([np.full((16, 16), level) for level in (0.0, 1.0)], "fade.mp4")
        >>> Path("fade.mp4").exists()
        True
    """
    with VideoWriter(path, fps, overwrite=overwrite) as video:
        for image in images:
            video.write(image)


def _colour_frame(pixels: NDArray[np.uint8]) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
        format="yuv420p",
        src_color_range=ColorRange.JPEG,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
    )
