"""MP4 files of reconstructed images with metadata on recording and method."""

import contextlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from spike_zoo.errors import ConfigError, FormatError, MissingFileError
from spike_zoo.media.frames import VideoFrames
from spike_zoo.utils.yaml_files import parse_dataclass

FORMAT: Final = "spike-zoo pictures 1"


@dataclass(frozen=True)
class CodedImages:
    """Metadata of an MP4 file of reconstructed images."""

    method: str
    digest: str  # start of the SHA-256 of its weights
    codec: str
    crf: int
    first: int  # plane of the first image
    stride: int  # planes from one image to the next
    images: int
    planes: int  # of the recording, for the bits per pixel and plane
    height: int  # of an image; the video may be larger, for a multiple of 8
    width: int
    rate_scale: float
    fps: float | None = None  # planes per second of the camera

    def __post_init__(self) -> None:
        for name in ("images", "planes", "height", "width", "stride", "crf", "first"):
            least = 0 if name in ("crf", "first") else 1
            if not least <= getattr(self, name) < 1 << 31:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least {least}")
        for name, value in (("rate_scale", self.rate_scale), ("fps", self.fps)):
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}, expected a number > 0")

    def plane(self, number: int) -> int:
        """Return the plane of an image."""
        return self.first + self.stride * number

    def bits_per_pixel(self, size: float) -> float:
        """Return the bits per pixel and plane of a size in bytes; raw spikes have 1."""
        return 8 * size / (self.planes * self.height * self.width)

    def as_text(self) -> str:
        """Return the metadata as JSON, as stored in the comment of the MP4."""
        return json.dumps({"format": FORMAT, **asdict(self)}, separators=(",", ":"))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read the metadata of a file."""
        if not Path(path).is_file():
            raise MissingFileError.at(path, "there is no such file")
        try:
            with av.open(str(path), metadata_errors="replace") as container:
                comment = container.metadata.get("comment", "")
        except (FFmpegError, OSError) as error:
            raise FormatError.at(
                path, f"cannot be read as a video ({error}); copy the file again"
            ) from error
        content = None
        with contextlib.suppress(ValueError, RecursionError):
            content = json.loads(comment)
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise FormatError.at(
                path,
                "an MP4 without the description that 'compress --out X.mp4' stores, so its "
                "planes are unknown; it can only be played",
            )
        try:
            return parse_dataclass(cls, content, "its description")
        except ConfigError as error:
            raise FormatError.at(path, f"{error}; compress the recording again") from error


def read_images(path: str | Path) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the plane of each image and the image, ``(1, H, W)`` in [0, 1]."""
    metadata, frames = CodedImages.read(path), VideoFrames(path)
    if len(frames) != metadata.images:
        raise FormatError.at(
            path, f"has {len(frames)} of {metadata.images} images; copy the file again"
        )
    for number, frame in enumerate(frames.read(0, metadata.images)):
        pixels = frame[: metadata.height, : metadata.width, 0]
        if pixels.shape != (metadata.height, metadata.width):
            size = f"{metadata.height}x{metadata.width}, which its description states"
            raise FormatError.at(path, f"images of {pixels.shape}, not {size}; compress it again")
        image = np.asarray(pixels[None] / 255, np.float32)
        yield metadata.plane(number), image
