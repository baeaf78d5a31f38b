"""Layouts of blurry images with spikes: GOPRO and RSB of S-SDM, and USP-Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from spike_zoo.archive.layouts.camera import Camera
from spike_zoo.archive.layouts.folders import SPLIT_FOLDERS
from spike_zoo.archive.layouts.image_files import read_picture
from spike_zoo.errors import MissingFileError, PlaneRangeError
from spike_zoo.files import listed
from spike_zoo.media.pictures import PICTURE_SUFFIXES
from spike_zoo.spikes.take import Take
from spike_zoo.spikes.windows import planes_inside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from spike_zoo.archive.layouts.published import Found

# rate scale of S-SDM's simulator at its released threshold; video of 240 fps, 8 planes per frame
GOPRO = Camera(180, 320, rate_scale=0.9927, fps=240.0 * 8)
RSB = Camera(250, 400)

_SPIKES, _BLUR, _SHARP = "spike_data", "blur_data", "sharp_data"
_FRAMES = range(-6, 7, 2)  # video frames around the middle of the exposure that S-SDM evaluates
_FRAME_PLANES = 8


@dataclass(frozen=True)
class ExposureRule:
    """Planes of a recording during the exposure of its blurry image.

    Attributes:
        start: First plane; by default 20.
        length: Number of planes; by default as many planes are left at the end as at the start.
        central: Number of planes of an exposure in the middle of the recording; if set, the other
            attributes are ignored.
    """

    start: int | None = None
    length: int | None = None
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


@dataclass(frozen=True)
class _Files:
    """The files of one exposure. Keys of ``sharp``: planes from the middle of the exposure."""

    spikes: Path
    blur: Path
    sharp: dict[int, Path]


USP_EXPOSURE = ExposureRule(central=97)  # as long as those of GOPRO


def is_gopro(root: Path) -> bool:
    """Return whether a folder has the folders of S-SDM's GOPRO."""
    return bool(listed(root, f"*/{_SPIKES}/*/*.dat"))


def is_rsb(root: Path) -> bool:
    """Return whether a folder has the folders of RSB."""
    return bool(listed(root, f"{_SPIKES}/*/*.dat"))


def is_usp(root: Path) -> bool:
    """Return whether a folder is a scene of USP-Gaussian, or contains scenes."""
    return any(_usp_scenes(root))


def find_gopro(root: Path, camera: Camera, rule: ExposureRule) -> Iterator[Found]:
    """Yield the exposures of ``<stage>/spike_data/<sequence>/<name>.dat``.

    Blurry images without spikes, at the ends of sequences, are left out.
    """
    for stage in (path for path in listed(root) if (path / _SPIKES).is_dir()):
        yield from _exposures(stage, stage.name, rule, camera, GOPRO)


def find_rsb(root: Path, camera: Camera, rule: ExposureRule) -> Iterator[Found]:
    """Yield the exposures of ``spike_data/<sequence>/<name>.dat``, all in the split test."""
    if (root / _SPIKES).is_dir():
        yield from _exposures(root, "test", rule, camera, RSB)


def find_usp(root: Path, camera: Camera, rule: ExposureRule) -> Iterator[Found]:
    """Yield the exposures of ``spike_data/<name>.dat`` in a scene, or in all scenes of a folder.

    A scene called train, val or test belongs to that split, others belong to test. The names are
    numbers of views of the scene, so each exposure has one sharp image, at its middle plane.
    """
    for scene in _usp_scenes(root):
        split = SPLIT_FOLDERS.get(scene.name.lower(), "test") if scene != root else "test"
        for spikes in listed(scene / _SPIKES, "*.dat"):
            name = spikes.stem if scene == root else f"{scene.name}-{spikes.stem}"
            files = _files_of(scene, spikes, frames=(0,))
            yield name, split, partial(_read_exposure, files, rule, camera, Camera())


def _usp_scenes(root: Path) -> list[Path]:
    folders = [root, *(path for path in listed(root) if path.is_dir())]
    return [
        folder
        for folder in folders
        if (folder / _BLUR).is_dir() and listed(folder / _SPIKES, "*.dat")
    ]


def _exposures(
    home: Path, split: str, rule: ExposureRule, camera: Camera, usual: Camera
) -> Iterator[Found]:
    for spikes in listed(home / _SPIKES, "*/*.dat"):
        files = _files_of(home, spikes, _FRAMES)
        name = f"{spikes.parent.name}-{spikes.stem}"
        yield name, split, partial(_read_exposure, files, rule, camera, usual)


def _files_of(home: Path, spikes: Path, frames: Iterable[int]) -> _Files:
    """Find the blurry image of a spike file, and its sharp images at the given video frames."""
    sequence = spikes.parent.relative_to(home / _SPIKES)
    blur = _image(home / _BLUR / sequence, spikes.stem)
    if blur is None:
        expected = home / _BLUR / sequence / f"{spikes.stem}.png"
        raise MissingFileError(
            f"{spikes}: its blurry image {expected} (or {', '.join(PICTURE_SUFFIXES[1:])}) is "
            "missing; add it, or remove the spikes",
            path=str(expected),
        )
    folder = home / _SHARP / sequence
    if not (home / _SHARP).is_dir():
        return _Files(spikes, blur, {})
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
    return _Files(spikes, blur, sharp)


def _neighbour(stem: str, frame: int) -> str | None:
    """Return the name of a frame ``frame`` frames later; None if names are not numbers."""
    if not stem.isdecimal() or int(stem) + frame < 0:
        return None
    return f"{int(stem) + frame:0{len(stem)}d}"


def _image(folder: Path, stem: str) -> Path | None:
    candidates = (folder / f"{stem}{suffix}" for suffix in PICTURE_SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def _read_exposure(files: _Files, rule: ExposureRule, camera: Camera, usual: Camera) -> Take:
    recording = camera.read(files.spikes, usual)
    count, *size = recording.shape
    start, stop = rule.span(count, files.spikes)
    blur = _read_colour(files.blur, size)
    middle = start + (stop - start) // 2
    sharp = {middle + offset: path for offset, path in sorted(files.sharp.items())}
    inside = {plane: path for plane, path in sharp.items() if start <= plane < stop}
    span = np.array([[start, stop]])
    if not inside:
        return Take(recording, blur=blur[None], blur_span=span)
    images = np.stack([_read_colour(path, size) for path in inside.values()])
    return Take(recording, images, np.array(list(inside)), blur[None], span)


def _read_colour(path: Path, size: Sequence[int]) -> NDArray[Any]:
    """Read an image of a recording ``(H', W', 3)``; grey is repeated."""
    image = read_picture(path, (size[0], size[1]))
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
