"""Blurry images with the spikes of their exposure, as S-SDM and USP-Gaussian store them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from spike_zoo.archive.layouts.camera import Camera
from spike_zoo.archive.layouts.folders import SPLIT_FOLDERS
from spike_zoo.archive.layouts.image_files import read_picture
from spike_zoo.errors import MissingFileError, PlaneRangeError
from spike_zoo.media.pictures import PICTURE_SUFFIXES
from spike_zoo.spikes.take import Take

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from spike_zoo.archive.layouts.published import Found

# S-SDM's simulator at its released threshold; the video's 240 frames, 8 planes to the next one
GOPRO = Camera(180, 320, rate_scale=0.9927, fps=240.0 * 8)
RSB = Camera(250, 400)

_SPIKES, _BLUR, _SHARP = "spike_data", "blur_data", "sharp_data"
_FRAMES = range(-6, 7, 2)  # of the video around a blurry image's middle one, as S-SDM is judged
_FRAME_PLANES = 8


@dataclass(frozen=True)
class ExposureRule:
    """Which planes of a recording its blurry image was exposed over, and how bright white is.

    Attributes:
        start: First plane, by default the one after the margin.
        length: Planes, by default all up to the margin before the end.
        margin: Planes recorded before and after the exposure.
        central: Length of an exposure in the middle of the recording, instead of the others.
    """

    start: int | None = None
    length: int | None = None
    margin: int = 20
    central: int | None = None

    def span(self, planes: int, where: object) -> tuple[int, int]:
        """Return first and past-the-last plane of the exposure."""
        if self.central is not None:
            start = (planes - self.central) // 2
            stop = start + self.central
        else:
            start = self.margin if self.start is None else self.start
            stop = planes - self.margin if self.length is None else start + self.length
        if not 0 <= start < stop <= planes:
            raise PlaneRangeError.at(
                where,
                f"{planes} planes, and the exposure would be planes {start}..{stop} "
                "(first, past the last); give --exposure-start and --exposure-length, or the "
                "--margin on either side",
            )
        return start, stop


@dataclass(frozen=True)
class _Files:
    """The files of one exposure; sharp images by their distance to the middle in planes."""

    spikes: Path
    blur: Path
    sharp: dict[int, Path]


USP_EXPOSURE = ExposureRule(central=97)  # as long as those of GOPRO


def is_gopro(root: Path) -> bool:
    """Return whether a folder has S-SDM's GOPRO folders below its stages."""
    return any(root.glob(f"*/{_SPIKES}/*/*.dat"))


def is_rsb(root: Path) -> bool:
    """Return whether a folder has RSB's folders."""
    return any(root.glob(f"{_SPIKES}/*/*.dat"))


def is_usp(root: Path) -> bool:
    """Return whether a folder is a scene of USP-Gaussian, or contains some."""
    return any(_usp_scenes(root))


def find_gopro(root: Path, camera: Camera, rule: ExposureRule) -> Iterator[Found]:
    """Yield the exposures of ``<stage>/spike_data/<sequence>/<name>.dat``, by its spike files.

    A blurry image without spikes is no sample: the set has none for the ends of its sequences.
    """
    for stage in sorted(path for path in root.iterdir() if (path / _SPIKES).is_dir()):
        yield from _exposures(stage, stage.name, rule, camera, GOPRO)


def find_rsb(root: Path, camera: Camera, rule: ExposureRule) -> Iterator[Found]:
    """Yield the exposures of ``spike_data/<sequence>/<name>.dat``, all of them to test."""
    if (root / _SPIKES).is_dir():
        yield from _exposures(root, "test", rule, camera, RSB)


def find_usp(root: Path, camera: Camera, rule: ExposureRule) -> Iterator[Found]:
    """Yield the exposures of ``spike_data/<name>.dat`` in a scene, or in all scenes of a folder.

    A scene called train, val or test belongs to that split, others belong to test. The names number
    views of the scene, so that each exposure has one sharp image, at its middle plane.
    """
    for scene in _usp_scenes(root):
        split = SPLIT_FOLDERS.get(scene.name.lower(), "test") if scene != root else "test"
        for spikes in sorted((scene / _SPIKES).glob("*.dat")):
            name = spikes.stem if scene == root else f"{scene.name}-{spikes.stem}"
            files = _files_of(scene, spikes, frames=(0,))
            yield name, split, partial(_read_exposure, files, rule, camera, Camera())


def _usp_scenes(root: Path) -> list[Path]:
    folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    return [
        folder
        for folder in folders
        if (folder / _BLUR).is_dir() and any((folder / _SPIKES).glob("*.dat"))
    ]


def _exposures(
    home: Path, split: str, rule: ExposureRule, camera: Camera, usual: Camera
) -> Iterator[Found]:
    for spikes in sorted((home / _SPIKES).glob("*/*.dat")):
        files = _files_of(home, spikes, _FRAMES)
        name = f"{spikes.parent.name}-{spikes.stem}"
        yield name, split, partial(_read_exposure, files, rule, camera, usual)


def _files_of(home: Path, spikes: Path, frames: Iterable[int]) -> _Files:
    """Find the images of a spike file: the blurry one, and the sharp ones at some frames."""
    sequence = spikes.parent.relative_to(home / _SPIKES)
    blur = _image(home / _BLUR / sequence, spikes.stem)
    if blur is None:
        wanted = home / _BLUR / sequence / f"{spikes.stem}.png"
        raise MissingFileError(
            f"{spikes}: its blurry image {wanted} (or {', '.join(PICTURE_SUFFIXES[1:])}) is "
            "missing; add it, or leave these spikes out",
            path=str(wanted),
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
        wanted = folder / f"{spikes.stem}.png"
        raise MissingFileError(
            f"{spikes}: its sharp image {wanted} is missing; add it, or leave the folder {_SHARP} "
            "out",
            path=str(wanted),
        )
    return _Files(spikes, blur, sharp)


def _neighbour(stem: str, frame: int) -> str | None:
    """Return the name of a frame some frames later, None where names are no numbers."""
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
    places = {start + (stop - start) // 2 + far: path for far, path in sorted(files.sharp.items())}
    inside = {plane: path for plane, path in places.items() if start <= plane < stop}
    span = np.array([[start, stop]])
    if not inside:
        return Take(recording, blur=blur[None], blur_span=span)
    images = np.stack([_read_colour(path, size) for path in inside.values()])
    return Take(recording, images, np.array(list(inside)), blur[None], span)


def _read_colour(path: Path, size: Sequence[int]) -> NDArray[Any]:
    """Read a picture of a recording as colours, whatever it is."""
    image = read_picture(path, (size[0], size[1]))
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
