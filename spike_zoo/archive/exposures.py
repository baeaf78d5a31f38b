"""S-SDM's data sets: blurry images, the spikes of their exposure, sharp images where known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from spike_zoo.archive.published import read_image
from spike_zoo.errors import GeometryError, MissingFileError, PlaneRangeError
from spike_zoo.formats.recording import read_recording
from spike_zoo.spikes.take import Take

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from spike_zoo.archive.published import Found

GOPRO_SIZE = (180, 320)
GOPRO_RATE_SCALE = 0.9927  # of S-SDM's simulator at its released threshold
GOPRO_FPS = 240.0 * 8  # of the video times planes from one of its frames to the next
RSB_SIZE = (250, 400)

_SPIKES, _BLUR, _SHARP = "spike_data", "blur_data", "sharp_data"
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
_FRAMES = range(-6, 7, 2)  # of the video around a blurry image's middle one, as S-SDM is judged
_FRAME_PLANES = 8


@dataclass(frozen=True)
class ExposureRule:
    """Which planes of a recording its blurry image was exposed over, and how bright white is.

    Attributes:
        start: First plane, by default the one after the margin.
        length: Planes, by default all up to the margin before the end.
        margin: Planes recorded before and after the exposure.
        rate_scale: Spikes per plane at white; None: what is known of the set.
    """

    start: int | None = None
    length: int | None = None
    margin: int = 20
    rate_scale: float | None = None

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


def find_gopro(
    root: Path, height: int | None, width: int | None, rule: ExposureRule
) -> Iterator[Found]:
    """Yield the exposures of ``<stage>/spike_data/<sequence>/<name>.dat``, by its spike files.

    A blurry image without spikes is no sample: the set has none for the ends of its sequences.
    """
    rule = replace(rule, rate_scale=rule.rate_scale or GOPRO_RATE_SCALE)
    for stage in sorted(path for path in root.iterdir() if (path / _SPIKES).is_dir()):
        yield from _exposures(stage, stage.name, (height, width), GOPRO_SIZE, rule, GOPRO_FPS)


def find_rsb(
    root: Path, height: int | None, width: int | None, rule: ExposureRule
) -> Iterator[Found]:
    """Yield the exposures of ``spike_data/<sequence>/<name>.dat``, all of them to test."""
    if (root / _SPIKES).is_dir():
        yield from _exposures(root, "test", (height, width), RSB_SIZE, rule, 0.0)


def _exposures(
    home: Path,
    split: str,
    given: tuple[int | None, int | None],
    usual: tuple[int, int],
    rule: ExposureRule,
    fps: float,
) -> Iterator[Found]:
    size = given[0] or usual[0], given[1] or usual[1]
    for spikes in sorted((home / _SPIKES).glob("*/*.dat")):
        files = _files_of(home, spikes)
        name = f"{spikes.parent.name}-{spikes.stem}"
        yield name, split, partial(_read_exposure, files, size, rule, fps)


def _files_of(home: Path, spikes: Path) -> _Files:
    """Find the images of a spike file.

    Raises:
        MissingFileError: If there is no blurry image, or no sharp one where the set has them.
    """
    blur = _image(home / _BLUR / spikes.parent.name, spikes.stem)
    if blur is None:
        wanted = home / _BLUR / spikes.parent.name / f"{spikes.stem}.png"
        raise MissingFileError(
            f"{spikes}: its blurry image {wanted} (or {', '.join(_SUFFIXES[1:])}) is missing; add "
            "it, or leave these spikes out",
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
    candidates = (folder / f"{stem}{suffix}" for suffix in _SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def _read_exposure(files: _Files, size: tuple[int, int], rule: ExposureRule, fps: float) -> Take:
    recording = read_recording(files.spikes, height=size[0], width=size[1])
    recording.rate_scale = rule.rate_scale or recording.rate_scale
    recording.fps = recording.fps or fps
    start, stop = rule.span(len(recording), files.spikes)
    blur = _read_colour(files.blur, size)
    places = {start + (stop - start) // 2 + far: path for far, path in sorted(files.sharp.items())}
    inside = {plane: path for plane, path in places.items() if start <= plane < stop}
    span = np.array([[start, stop]])
    if not inside:
        return Take(recording, blur=blur[None], blur_span=span)
    images = np.stack([_read_colour(path, size) for path in inside.values()])
    return Take(recording, images, np.array(list(inside)), blur[None], span)


def _read_colour(path: Path, size: tuple[int, int]) -> NDArray[Any]:
    """Read a colour image whose sides are one whole multiple of the spikes'.

    Raises:
        GeometryError: If they are not.
    """
    image = read_image(path)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    image = image[..., :3]  # an opacity channel is left out
    ratio = image.shape[0] // size[0]
    if ratio < 1 or image.shape[:2] != (ratio * size[0], ratio * size[1]):
        raise GeometryError(
            f"{path}: {image.shape[0]}x{image.shape[1]} pixels are no whole multiple of the "
            f"spikes' {size[0]}x{size[1]}; cut the image to what the spike camera saw, or pass the "
            "spikes' --height and --width",
            path=str(path),
        )
    return image
