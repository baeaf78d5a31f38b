"""Readers of ranges of frames in videos and in folders of images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from spike_zoo.errors import MediaError, MissingFileError, UsageError
from spike_zoo.media.images import IMAGE_SUFFIXES, load_image, to_bytes
from spike_zoo.utils.files import entries_below, folder_entries

Frame = NDArray[np.uint8]

_TIMED = 14  # frames whose times are compared with evenly spaced ones: an exposure of footage
_MAX_SHIFT = 0.15  # of the interval of frames
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")


class FrameSource(Protocol):
    """Frames in temporal order. Picklable; no file is open between reads."""

    path: Path
    fps: float  # 0 if unknown

    def __len__(self) -> int:
        """Return the number of frames."""

    def read(self, first: int, last: int) -> Iterator[Frame]:
        """Yield frames ``[first, last)``, R,G,B uint8 ``(H, W, 3)``."""


class FolderFrames:
    """The images of a folder, in the natural order of their names, as frames."""

    fps = 0.0

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise MissingFileError.at(self.path, "there is no such folder")
        self.files = images_in(self.path)
        if not self.files:
            raise MediaError(
                f"{self.path}: the folder contains no image ({', '.join(IMAGE_SUFFIXES)})"
            )

    def check_even(self) -> None:
        """Raise MediaError if the last numbers in the names are not equally far apart."""
        numbers = [re.findall(r"\d+", file.stem)[-1:] for file in self.files]
        if not all(numbers):
            return
        times = np.array(numbers, np.float64)[:, 0]
        if (np.diff(times) <= 0).any():  # not the numbers of frames
            return
        rounding = 1.0 if times[-1] - times[0] > 10 * len(times) else 0.0  # numbers of milliseconds
        if _is_uneven(times, rounding):
            raise MediaError(
                f"{self.path}: the numbers in the names of its images are not equally far apart, "
                "but its images would be used as frames that are. Add the missing images, or "
                "number images that are equally far apart in time one after the other"
            )

    def __len__(self) -> int:
        return len(self.files)

    def read(self, first: int, last: int) -> Iterator[Frame]:
        """Yield frames ``[first, last)``, R,G,B uint8 ``(H, W, 3)``."""
        for file in self.files[first:last]:
            pixels = to_bytes(load_image(file))
            yield pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


class VideoFrames:
    """The frames of a video file. A range is decoded from the key frame before its start.

    Args:
        path: The file, of any format that FFmpeg reads.

    Attributes:
        times: Time stamp of each frame in ticks.
        tick: Seconds per tick.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise MissingFileError.at(self.path, "there is no such video")
        with _opened(self.path) as (container, stream):
            self.fps = float(stream.average_rate or 0)
            self.tick = float(stream.time_base or 0)
            packets = container.demux(stream)  # a list of packets would load the whole file
            stamps = [packet.pts for packet in packets if packet.size and not packet.is_discard]
        times = {time for time in stamps if time is not None}
        if not times or len(times) != len(stamps):
            raise MediaError(
                f"{self.path}: the frames have no time stamps; write them as images into a "
                "folder and use the folder"
            )
        self.times: Sequence[int] = sorted(times)

    def check_even(self) -> None:
        """Raise MediaError if the frames are not equally far apart in time."""
        seconds = self.tick * (np.asarray(self.times) - self.times[0])
        # many programs round times to milliseconds
        is_rounded = np.allclose(1000 * seconds, np.rint(1000 * seconds), rtol=0, atol=1e-3)
        rounding = 0.001 if is_rounded else self.tick
        if _is_uneven(seconds, rounding):
            intervals = np.diff(seconds)
            ratio = intervals.max() / intervals.min()
            raise MediaError(
                f"{self.path}: a video of variable frame rate (the longest interval between two "
                f"frames is {ratio:.1f} times the shortest), but its frames would be used as "
                "equally far apart. Give a video of constant frame rate, or write frames that are "
                "equally far apart as images into a folder and give the folder"
            )

    def __len__(self) -> int:
        return len(self.times)

    def read(self, first: int, last: int) -> Iterator[Frame]:
        """Yield frames ``[first, last)``, R,G,B uint8 ``(H, W, 3)``."""
        times = iter(self.times[first:last])
        expected = next(times, None)
        if expected is None:
            return
        with _opened(self.path) as (container, stream):
            container.seek(expected, stream=stream)
            for frame in container.decode(stream):
                if frame.pts is None or frame.pts < expected:
                    continue
                if frame.pts > expected:
                    break
                yield _pixels(frame)
                expected = next(times, None)
                if expected is None:
                    return
        number = self.times.index(expected)
        raise MediaError(f"{self.path}: frame {number} cannot be decoded; the file is damaged")


def find_footage(path: str | Path) -> dict[str, FrameSource]:
    """Return the frames of a video, of a folder of images, or of a folder with several of these.

    In a folder their name is the relative path without suffix, such as ``train/GOPR0372``.

    Raises:
        MissingFileError: If there is no such file or folder.
        MediaError: If a video cannot be read or has a variable frame rate, the numbers of images
            have gaps, or the folder is empty.
        UsageError: If two sources would have one name.
    """
    root = Path(path)
    if root.is_file():
        return {root.stem: _even(VideoFrames(root))}
    if not root.is_dir():
        raise MissingFileError.at(root, "there is no such video or folder")
    if images_in(root):
        return {root.resolve().name: _even(FolderFrames(root))}
    sources: dict[str, FrameSource] = {}
    for entry in entries_below(root):
        is_folder = entry.is_dir() and bool(images_in(entry))
        if not is_folder and not (entry.suffix.lower() in VIDEO_SUFFIXES and entry.is_file()):
            continue
        place = entry.relative_to(root)
        name = (place if is_folder else place.with_suffix("")).as_posix()
        if name in sources:
            raise UsageError(
                f"{sources[name].path} and {entry} would both be named {name}; rename or move one"
            )
        sources[name] = _even(FolderFrames(entry) if is_folder else VideoFrames(entry))
    if not sources:
        raise MediaError(f"{root}: the folder contains no video and no folder of images")
    return sources


def _even(source: FolderFrames | VideoFrames) -> FolderFrames | VideoFrames:
    source.check_even()
    return source


def _is_uneven(times: NDArray[np.float64], rounding: float) -> bool:
    """Return whether some frames are not equally far apart, apart from a rounding of times."""
    length = min(_TIMED, len(times))
    if length < 3:
        return False
    windows = np.lib.stride_tricks.sliding_window_view(times, length)
    even = np.linspace(windows[:, 0], windows[:, -1], length, axis=1)
    limit = _MAX_SHIFT * np.median(np.diff(times)) + rounding
    return bool(np.abs(windows - even).max() > limit)


def footage_files(path: str | Path) -> list[Path]:
    """Return the files of :func:`find_footage`."""
    entries = entries_below(Path(path)) if Path(path).is_dir() else [Path(path)]
    known = (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)
    return [file for file in entries if file.suffix.lower() in known and file.is_file()]


def images_in(folder: Path) -> list[Path]:
    """Return the image files of a folder in the natural order of their names."""
    files = (path for path in folder_entries(folder) if path.suffix.lower() in IMAGE_SUFFIXES)
    return [path for path in files if path.is_file()]


def _pixels(frame: av.VideoFrame) -> Frame:
    """Return a frame as players show it, ``(H, W, 3)``, turned as the video states."""
    turned = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
    return np.ascontiguousarray(turned, np.uint8)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open a file and its video stream; errors of FFmpeg become MediaError with the path."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise MediaError(f"{path}: the file contains no video")
            yield container, container.streams.video[0]
    except FFmpegError as error:
        raise MediaError(f"{path}: not a video that can be read ({error.strerror})") from error
