"""Images to MP4, one by one, so that a video may be longer than memory."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Self

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from spike_zoo.errors import MediaError
from spike_zoo.files import new_file
from spike_zoo.media.pictures import to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from numpy.typing import NDArray

    from spike_zoo.media.pictures import Picture

QUALITY = 18
"""Constant rate factor of H.264: 0 loses nothing, 18 looks like it, 51 is worst."""
BT709 = 1
STUDIO_LEVELS = np.rint(16 + np.arange(256) * 219 / 255).astype(np.uint8)
NO_COLOUR = 128
SMALLEST_SIDE = 2
FINEST_RATE = 1001 * 1000


class VideoWriter:
    """Write an H.264 MP4 that every browser plays; the file appears whole or not at all.

    Use it as a context manager. When the block ends with an error, Ctrl-C included, nothing
    stays behind.

    Args:
        path: The file; missing folders are made.
        fps: Images per second.
        overwrite: Replace a file that is there.

    Raises:
        ExistingFileError: If the file exists and ``overwrite`` is off.
        MediaError: At the end of the block, if no image was written.
        ValueError: If ``fps`` is not above 0.

    Example:
        >>> with VideoWriter("fade.mp4", fps=10) as video:
        ...     for level in (0.0, 0.5, 1.0):
        ...         video.write(np.full((16, 16), level))
        >>> video.images, video.path.exists()
        (3, True)
    """

    def __init__(self, path: str | Path, fps: float = 25.0, *, overwrite: bool = False) -> None:
        if not 0 < fps < FINEST_RATE:
            raise ValueError(f"fps must be above 0 images per second, got {fps}")
        self.path = Path(path)
        self.rate = Fraction(fps).limit_denominator(1001)
        self.overwrite = overwrite
        self.images = 0
        self._stack = contextlib.ExitStack()
        self._shape: tuple[int, ...] | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:  # no __exit__ is called where this fails
            temporary = stack.enter_context(new_file(self.path, overwrite=self.overwrite))
            options = {"movflags": "faststart"}
            container = av.open(temporary, "w", format="mp4", options=options)
            self._container = stack.enter_context(container)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._stack:
            if error is not None:
                self._stack.__exit__(kind, error, traceback)
                return
            if self._shape is None:
                raise MediaError(f"{self.path}: a video needs at least one image")
            self._container.mux(self._stream.encode())

    def write(self, image: Picture) -> None:
        """Append an image.

        Args:
            image: What :func:`spike_zoo.media.to_bytes` takes; all of one size. Where a side is
                odd, its last row or column is repeated.

        Raises:
            MediaError: If the size differs from the first image's, or is below 2x2.
        """
        pixels = to_bytes(image)
        if self._shape is None:
            self._begin(pixels)
        if pixels.shape != self._shape:
            raise MediaError(
                f"{self.path}: image {self.images} has shape {pixels.shape}, the first one had "
                f"{self._shape}"
            )
        odd = [(0, side % 2) for side in pixels.shape[:2]]
        padded = np.pad(pixels, [*odd, (0, 0)][: pixels.ndim], mode="edge")
        frame = _grey_frame(padded) if padded.ndim == 2 else _colour_frame(padded)
        frame.pts = self.images
        self._container.mux(self._stream.encode(frame))
        self.images += 1

    def _begin(self, pixels: NDArray[np.uint8]) -> None:
        height, width = pixels.shape[:2]
        if min(height, width) < SMALLEST_SIDE:
            raise MediaError(f"{self.path}: a video needs 2 x 2 pixels, got {width} x {height}")
        self._shape = pixels.shape
        stream = self._container.add_stream("libx264", rate=self.rate)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(QUALITY), "preset": "medium"}
        codec = stream.codec_context
        codec.time_base = 1 / self.rate
        codec.color_range = ColorRange.MPEG
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        self._stream = stream


def save_video(
    images: Iterable[Picture], path: str | Path, fps: float = 25.0, *, overwrite: bool = False
) -> None:
    """Write images as MP4 (see :class:`VideoWriter`).

    Raises:
        ExistingFileError: If the file exists and ``overwrite`` is off.
        MediaError: If there is no image, or their sizes differ.

    Example:
        >>> save_video([np.full((16, 16), level) for level in (0.0, 1.0)], "fade.mp4")
        >>> Path("fade.mp4").exists()
        True
    """
    with VideoWriter(path, fps, overwrite=overwrite) as video:
        for image in images:
            video.write(image)


def _grey_frame(pixels: NDArray[np.uint8]) -> av.VideoFrame:
    """Return a frame whose brightness is rounded; the library's own conversion cuts off."""
    height, width = pixels.shape
    planes = np.full((height * 3 // 2, width), NO_COLOUR, np.uint8)
    planes[:height] = STUDIO_LEVELS[pixels]
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def _colour_frame(pixels: NDArray[np.uint8]) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
        format="yuv420p",
        src_color_range=ColorRange.JPEG,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
    )
