"""Reconstructed images in an MP4, with a description of the recording and of the method."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import av
import numpy as np
from av.error import FFmpegError

from spike_zoo.errors import FormatError, MissingFileError
from spike_zoo.media.frames import VideoFrames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FORMAT: Final = "spike-zoo pictures 1"


@dataclass(frozen=True)
class CodedPictures:
    """What an MP4 of reconstructed images states of itself.

    Attributes:
        method: Name of the method that made the images.
        digest: Start of the SHA-256 of its weights.
        codec: Name of the video codec.
        crf: Its constant rate factor.
        first: The plane that the first image shows.
        stride: Planes from one image to the next.
        images: Number of images.
        planes: Number of planes that they stand for, of which bits per plane are counted.
        height: Rows of an image; the video has an even number.
        width: Columns of an image.
        rate_scale: Spikes per plane at white.
        fps: Planes per second of the camera; None where unknown.
    """

    method: str
    digest: str
    codec: str
    crf: int
    first: int
    stride: int
    images: int
    planes: int
    height: int
    width: int
    rate_scale: float
    fps: float | None = None

    def plane(self, number: int) -> int:
        """Return the plane that an image shows."""
        return self.first + self.stride * number

    def bits_per_pixel(self, size: float) -> float:
        """Return bits per pixel and plane of so many bytes; raw spikes have 1."""
        return 8 * size / (self.planes * self.height * self.width)

    def as_text(self) -> str:
        """Return the description as it is stored."""
        return json.dumps({"format": FORMAT, **asdict(self)}, separators=(",", ":"))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read the description of a file.

        Raises:
            MissingFileError: If there is no such file.
            FormatError: If it is no video, or one that ``compress --codec`` did not write.
        """
        if not Path(path).is_file():
            raise MissingFileError(f"{path}: there is no such file", path=str(path))
        try:
            with av.open(str(path), metadata_errors="replace") as container:
                comment = container.metadata.get("comment", "")
        except (FFmpegError, OSError) as error:
            raise FormatError(
                f"{path}: cannot be read as a video ({error}); copy the file again", path=str(path)
            ) from error
        try:
            content = json.loads(comment)
            values = {one.name: content[one.name] for one in fields(cls)}
            if content["format"] != FORMAT:
                raise ValueError(content["format"])
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(
                f"{path}: an MP4 without the description that 'compress --codec' stores, so its "
                "planes are unknown; play it as it is",
                path=str(path),
            ) from error
        return cls(**values)


def read_pictures(path: str | Path) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the plane of each image and the image, ``(1, H, W)`` in [0, 1].

    Raises:
        FormatError: See :meth:`CodedPictures.read`.
        MediaError: If the video is damaged, or does not have all images.
    """
    described, frames = CodedPictures.read(path), VideoFrames(path)
    if len(frames) != described.images:
        raise FormatError(
            f"{path}: has {len(frames)} of {described.images} images; copy the file again",
            path=str(path),
        )
    for number, frame in enumerate(frames.read(0, described.images)):
        pixels = frame[: described.height, : described.width, 0]
        image = np.asarray(pixels[None] / 255, np.float32)
        yield described.plane(number), image
