"""Layouts of blurry images with spikes: GOPRO and RSB of S-SDM, and USP-Gaussian."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_zoo.archive.layouts.folders import SPLIT_FOLDERS
from spike_zoo.archive.layouts.ground_truth import FoundTake, open_with_settings, read_fitting_image
from spike_zoo.errors import MissingFileError, PlaneRangeError
from spike_zoo.formats.sidecar import RecordingSettings
from spike_zoo.media.images import IMAGE_SUFFIXES
from spike_zoo.spikes.take import Take
from spike_zoo.spikes.windows import planes_inside
from spike_zoo.utils.files import folder_entries

_SPIKES, _BLUR, _SHARP = "spike_data", "blur_data", "sharp_data"
_FRAMES = range(-6, 7, 2)  # video frames around the middle of the exposure that S-SDM evaluates
_FRAME_PLANES = 8


@dataclass(frozen=True)
class ExposureRule:
    """Planes of a recording during the exposure of its blurry image."""

    start: int | None = None  #: first plane; by default 20
    #: number of planes; by default as many planes are left at the end as at the start
    length: int | None = None
    #: number of planes of an exposure in the middle of the recording; if set, the other attributes
    #: are ignored
    central: int | None = None

    def span(self, planes: int, where: object) -> tuple[int, int]:
        """Return the half-open plane range of the exposure."""
        start, length = self.start, self.length
        if self.central is not None:
            start, length = (planes - self.central) // 2, self.central
        try:
            return planes_inside(planes, start, length)
        except PlaneRangeError as error:
            raise PlaneRangeError.at(where, error.message) from error


class ExposureFiles(NamedTuple):
    """Folders of a layout of exposures."""

    #: return the folders with ``spike_data``, each with its split
    homes: Callable[[Path], Iterable[tuple[Path, str]]]
    pattern: str  #: files of spikes in ``spike_data``
    #: video frames of the sharp images, from the one at the middle of the exposure
    frames: Sequence[int]

    def matches(self, root: Path) -> bool:
        """Return whether a folder has files of the layout."""
        return any(folder_entries(home / _SPIKES, self.pattern) for home, _ in self.homes(root))

    def find(
        self, root: Path, settings: RecordingSettings, rule: ExposureRule
    ) -> Iterator[FoundTake]:
        """Yield the exposures. Blurry images without spikes are left out."""
        for home, split in self.homes(root):
            for spikes in folder_entries(home / _SPIKES, self.pattern):
                blur, sharp = _images_of(home, spikes, self.frames)
                folder = home if spikes.parent.name == _SPIKES else spikes.parent
                name = spikes.stem if folder == root else f"{folder.name}-{spikes.stem}"
                yield name, split, partial(_read_exposure, spikes, blur, sharp, rule, settings)


def _gopro_homes(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield stages, which are the splits."""
    return ((path, path.name) for path in folder_entries(root) if (path / _SPIKES).is_dir())


def _usp_homes(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield scenes: the folder or folders in it, with their splits, by default test."""
    for home in (root, *(path for path in folder_entries(root) if path.is_dir())):
        if (home / _BLUR).is_dir():
            yield home, "test" if home == root else SPLIT_FOLDERS.get(home.name.lower(), "test")


GOPRO = ExposureFiles(_gopro_homes, "*/*.dat", _FRAMES)
RSB = ExposureFiles(lambda root: [(root, "test")], "*/*.dat", _FRAMES)
# names are numbers of views of the scene, so each exposure has one sharp image
USP = ExposureFiles(_usp_homes, "*.dat", (0,))


def _images_of(home: Path, spikes: Path, frames: Iterable[int]) -> tuple[Path, dict[int, Path]]:
    """Find the blurry image of a spike file, and its sharp images at the given video frames.

    Keys of the sharp images are planes from the middle of the exposure.
    """
    sequence = spikes.parent.relative_to(home / _SPIKES)
    blur = _image(home / _BLUR / sequence, spikes.stem)
    if blur is None:
        expected = home / _BLUR / sequence / f"{spikes.stem}.png"
        raise MissingFileError(
            f"{spikes}: its blurry image {expected} (or {', '.join(IMAGE_SUFFIXES[1:])}) is "
            "missing; add it, or remove the spikes",
            path=str(expected),
        )
    folder = home / _SHARP / sequence
    if not (home / _SHARP).is_dir():
        return blur, {}
    sharp = {}
    for frame in frames:
        name = spikes.stem if frame == 0 else _neighbour(spikes.stem, frame)
        image = _image(folder, name) if name else None
        if image is not None:
            sharp[_FRAME_PLANES * frame] = image
    if 0 not in sharp:
        expected = folder / f"{spikes.stem}.png"
        raise MissingFileError(
            f"{spikes}: its sharp image {expected} is missing; add it, or remove the folder "
            f"{_SHARP}",
            path=str(expected),
        )
    return blur, sharp


def _neighbour(stem: str, frame: int) -> str | None:
    """Return the name of a frame ``frame`` frames later; None if names are not numbers."""
    if not stem.isdecimal() or int(stem) + frame < 0:
        return None
    return f"{int(stem) + frame:0{len(stem)}d}"


def _image(folder: Path, stem: str) -> Path | None:
    candidates = (folder / f"{stem}{suffix}" for suffix in IMAGE_SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def _read_exposure(
    spikes: Path,
    blurry: Path,
    offsets: dict[int, Path],
    rule: ExposureRule,
    settings: RecordingSettings,
) -> Take:
    recording = open_with_settings(spikes, settings)
    count, *size = recording.shape
    start, stop = rule.span(count, spikes)
    blur = _read_colour(blurry, size)
    middle = start + (stop - start) // 2
    sharp = {middle + offset: path for offset, path in sorted(offsets.items())}
    inside = {plane: path for plane, path in sharp.items() if start <= plane < stop}
    span = np.array([[start, stop]])
    if not inside:
        return Take(recording, blur=blur[None], blur_span=span)
    images = np.stack([_read_colour(path, size) for path in inside.values()])
    return Take(recording, images, np.array(list(inside)), blur[None], span)


def _read_colour(path: Path, size: Sequence[int]) -> NDArray[Any]:
    """Read an image of a recording ``(H', W', 3)``; grey is repeated."""
    image = read_fitting_image(path, (size[0], size[1]))
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
