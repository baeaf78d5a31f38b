"""Frames of videos and of folders of images, read by ranges: a video may be longer than memory."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import av
import numpy as np
from av.error import FFmpegError

from spike_zoo.errors import MediaError, MissingFileError, UsageError
from spike_zoo.files import entries_below
from spike_zoo.media.pictures import PICTURE_SUFFIXES, load_picture, to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Frame = NDArray[np.uint8]

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")


class FrameSource(Protocol):
    """Frames in order of time; picklable, nothing stays open between reads.

    Attributes:
        path: Where they are.
        fps: Frames per second; 0 if unknown.
    """

    path: Path
    fps: float

    def __len__(self) -> int:
        """Return the number of frames."""

    def read(self, first: int, last: int) -> Iterator[Frame]:
        """Yield frames ``[first, last)``, R,G,B uint8 ``(H, W, 3)``."""


class FolderFrames:
    """The images of a folder, in the order of their names, as frames.

    Raises:
        MissingFileError: If there is no such folder.
        MediaError: If it holds no image.
    """

    fps = 0.0

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise MissingFileError(f"{self.path}: there is no such folder", path=str(self.path))
        self.files = images_in(self.path)
        if not self.files:
            raise MediaError(f"{self.path}: no image in it ({', '.join(PICTURE_SUFFIXES)})")

    def __len__(self) -> int:
        return len(self.files)

    def read(self, first: int, last: int) -> Iterator[Frame]:
        """Yield frames ``[first, last)``, R,G,B uint8 ``(H, W, 3)``.

        Raises:
            MediaError: If one is no picture.
        """
        for file in self.files[first:last]:
            pixels = to_bytes(load_picture(file))
            yield pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


class VideoFrames:
    """The frames of a video file; a range is read from the key frame before it.

    Args:
        path: The file, of any format that FFmpeg reads.

    Raises:
        MissingFileError: If there is no such file.
        MediaError: If it holds no video, or one whose frames have no times.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise MissingFileError(f"{self.path}: there is no such video", path=str(self.path))
        with _opened(self.path) as (container, stream):
            self.fps = float(stream.average_rate or 0)
            packets = container.demux(stream)  # kept, they would be the whole file in memory
            stamps = [packet.pts for packet in packets if packet.size and not packet.is_discard]
        times = {time for time in stamps if time is not None}
        if not times or len(times) != len(stamps):
            raise MediaError(
                f"{self.path}: its frames have no times of their own; write them as images into a "
                "folder and pass that"
            )
        self.times: Sequence[int] = sorted(times)

    def __len__(self) -> int:
        return len(self.times)

    def read(self, first: int, last: int) -> Iterator[Frame]:
        """Yield frames ``[first, last)``, R,G,B uint8 ``(H, W, 3)``.

        Raises:
            MediaError: If the video is damaged there.
        """
        wanted = iter(self.times[first:last])
        expected = next(wanted, None)
        if expected is None:
            return
        with _opened(self.path) as (container, stream):
            container.seek(expected, stream=stream)
            for frame in container.decode(stream):
                if frame.pts is None or frame.pts < expected:
                    continue
                if frame.pts > expected:
                    break
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                expected = next(wanted, None)
                if expected is None:
                    return
        number = self.times.index(expected)
        raise MediaError(f"{self.path}: frame {number} cannot be decoded; the file is damaged")


def find_footage(path: str | Path) -> dict[str, FrameSource]:
    """Return what a video, a folder of images, or a folder of either holds.

    Returns:
        The sources by their place below the folder, without suffix, as ``train/GOPR0372``; of a
        single one by its name.

    Raises:
        MissingFileError: If there is nothing of that name.
        MediaError: If there are no frames in it.
        UsageError: If two of them have the same place and name.
    """
    root = Path(path)
    if root.is_file():
        return {root.stem: VideoFrames(root)}
    if not root.is_dir():
        raise MissingFileError(f"{root}: there is no such video or folder", path=str(root))
    if images_in(root):
        return {root.resolve().name: FolderFrames(root)}
    found: dict[str, FrameSource] = {}
    for entry in entries_below(root):
        is_folder = entry.is_dir() and bool(images_in(entry))
        if not is_folder and not (entry.suffix.lower() in VIDEO_SUFFIXES and entry.is_file()):
            continue
        place = entry.relative_to(root)
        name = (place if is_folder else place.with_suffix("")).as_posix()
        if name in found:
            raise UsageError(
                f"{found[name].path} and {entry} would both be called {name}; rename one of them, "
                "or move it elsewhere"
            )
        found[name] = FolderFrames(entry) if is_folder else VideoFrames(entry)
    if not found:
        raise MediaError(f"{root}: no video and no folder of images in it")
    return found


def images_in(folder: Path) -> list[Path]:
    """Return the image files of a folder in the order of their names."""
    files = (path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    return sorted(path for path in files if path.is_file())


def middle_image(path: str | Path) -> NDArray[np.uint8]:
    """Return the image in the middle of a video, ``(H, W, 3)``.

    Raises:
        MediaError: If it is not a video that can be read.
    """
    path = Path(path)
    with _opened(path) as (container, stream):
        middle = (stream.start_time or 0) + (stream.duration or 0) // 2
        container.seek(middle, stream=stream)  # to the key frame before it
        image = None
        for frame in container.decode(stream):
            image = frame
            if frame.pts is None or frame.pts >= middle:
                break
        if image is None:
            raise MediaError(f"{path}: the video has no image", path=str(path))
        return np.asarray(image.to_ndarray(format="rgb24"), np.uint8)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open a file and its video; FFmpeg's errors name the file."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise MediaError(f"{path}: there is no video in it")
            yield container, container.streams.video[0]
    except FFmpegError as error:
        raise MediaError(f"{path}: not a video that can be read ({error.strerror})") from error
