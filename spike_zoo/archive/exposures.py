"""S-SDM's data sets: blurry images, the spikes of their exposure, sharp images where known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from spike_zoo.archive.camera import Camera
from spike_zoo.archive.pictures import read_picture
from spike_zoo.errors import MissingFileError, PlaneRangeError
from spike_zoo.media.pictures import PICTURE_SUFFIXES
from spike_zoo.spikes.take import Take

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from spike_zoo.archive.published import Found

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
    """

    start: int | None = None
    length: int | None = None
    margin: int = 20

    def span(self, planes: int, where: object) -> tuple[int, int]:
        """Return first and past-the-last plane of the exposure.

        Raises:
            PlaneRangeError: If that is no range of planes of the recording.
        """
        start = self.margin if self.start is None else self.start
        stop = planes - self.margin if self.length is None else start + self.length
        if not 0 <= start < stop <= planes:
            raise PlaneRangeError(
                f"{where}: {planes} planes, and the exposure would be planes {start}..{stop} "
                "(first, past the last); give --exposure-start and --exposure-length, or the "
                "--margin on either side",
                path=str(where),
            )
        return start, stop


@dataclass(frozen=True)
class _Files:
    """The files of one exposure; sharp images by their distance to the middle in planes."""

    spikes: Path
    blur: Path
    sharp: dict[int, Path]


def is_gopro(root: Path) -> bool:
    """Tell whether a folder has S-SDM's GOPRO folders below its stages."""
    return any(root.glob(f"*/{_SPIKES}/*/*.dat"))


def is_rsb(root: Path) -> bool:
    """Tell whether a folder has RSB's folders."""
    return any(root.glob(f"{_SPIKES}/*/*.dat"))


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


def _exposures(
    home: Path, split: str, rule: ExposureRule, camera: Camera, usual: Camera
) -> Iterator[Found]:
    for spikes in sorted((home / _SPIKES).glob("*/*.dat")):
        files = _files_of(home, spikes)
        name = f"{spikes.parent.name}-{spikes.stem}"
        yield name, split, partial(_read_exposure, files, rule, camera, usual)


def _files_of(home: Path, spikes: Path) -> _Files:
    """Find the images of a spike file.

    Raises:
        MissingFileError: If there is no blurry image, or no sharp one where the set has them.
    """
    blur = _image(home / _BLUR / spikes.parent.name, spikes.stem)
    if blur is None:
        wanted = home / _BLUR / spikes.parent.name / f"{spikes.stem}.png"
        raise MissingFileError(
            f"{spikes}: its blurry image {wanted} (or {', '.join(PICTURE_SUFFIXES[1:])}) is "
            "missing; add it, or leave these spikes out",
            path=str(wanted),
        )
    folder = home / _SHARP / spikes.parent.name
    if not (home / _SHARP).is_dir():
        return _Files(spikes, blur, {})
    sharp = {}
    for frame in _FRAMES:
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
