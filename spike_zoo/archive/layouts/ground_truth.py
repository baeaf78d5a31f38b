"""Recordings of layouts, their ground-truth images by plane, and files of exports."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spike_zoo.errors import FormatError, GeometryError, PlaneRangeError
from spike_zoo.formats.recording import RecordingSource
from spike_zoo.formats.sidecar import own_sidecar, sidecar_path
from spike_zoo.media.image_files import is_result, read_image
from spike_zoo.media.pictures import PICTURE_SUFFIXES, save_picture
from spike_zoo.utils.files import natural_order, new_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from spike_zoo.formats.sidecar import RecordingSettings
    from spike_zoo.spikes.recording import SpikeRecording
    from spike_zoo.spikes.take import Take

#: Name, split and reader of a take.
FoundTake = tuple[str, str | None, "Callable[[], Take]"]


def open_stated(path: Path, stated: RecordingSettings) -> SpikeRecording:
    """Open a recording of any format; its size and bit layout are used for ``.dat`` only."""
    if path.suffix.lower() != ".dat":
        stated = replace(stated, height=None, width=None, frame_align=None)
        stated = replace(stated, offset=None, bit_order=None)
    return RecordingSource(path, stated=stated).open(check_rows=True)


class GroundTruthImages(NamedTuple):
    """Files of the ground-truth images of a recording, in order of time."""

    pictures: tuple[Path, ...]  #: the files
    #: plane of each image; None for a single image of the middle plane
    planes: tuple[int, ...] | None

    def read(self, recording: SpikeRecording, path: Path) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Read the images and return them with their planes, as in a take."""
        count, height, width = recording.shape
        planes = (count // 2,) if self.planes is None else self.planes
        for picture, plane in zip(self.pictures, planes, strict=True):
            if not 0 <= plane < count:
                raise PlaneRangeError.at(
                    picture,
                    f"shows plane {plane}, but {path} has planes 0..{count - 1}; "
                    "copy the recording again if it is truncated, or correct the number",
                )
        images = [read_picture(picture, (height, width)) for picture in self.pictures]
        kinds = [(image.shape, image.dtype) for image in images]
        odd = next((n for n, kind in enumerate(kinds) if kind != kinds[0]), None)
        if odd is not None:
            raise FormatError.at(
                self.pictures[odd],
                f"{_format_kind(kinds[odd])}, but {self.pictures[0].name} is "
                f"{_format_kind(kinds[0])}; pictures of a recording must have one size and type",
            )
        return np.stack(images), np.array(planes, np.int64)


class PictureFiles:
    """Image files of a folder by recording.

    ``clip.png`` next to ``clip.dat`` is the image of the middle plane; ``clip/000150.png`` is that
    of plane 150. ``planes: [150]`` in the sidecar ``clip.dat.yaml`` states other planes, in the
    order of the names.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._beside: dict[Path, list[Path]] = {}
        self._inside: dict[Path, list[Path]] = {}
        self._unassigned: dict[Path, None] = {}
        for file in sorted(files, key=natural_order):
            if file.suffix.lower() in PICTURE_SUFFIXES:
                self._beside.setdefault(file.with_suffix(""), []).append(file)
                self._inside.setdefault(file.parent, []).append(file)
                self._unassigned[file] = None

    def of(self, recording: Path) -> GroundTruthImages | None:
        """Return the images of a recording; None if there are none.

        Reconstructions are left out with a warning.
        """
        stem = recording.with_suffix("")
        named = self._beside.get(stem, []), self._inside.get(stem, [])
        results = [picture for pictures in named for picture in pictures if is_result(picture)]
        beside, inside = ([p for p in pictures if p not in results] for pictures in named)
        if results:
            warnings.warn(
                f"{recording}: {len(results)} pictures of its name are reconstructions of "
                f"spike-zoo and are left out ({results[0].name} is the first); to use one as "
                "ground truth, save it with another program",
                stacklevel=2,
            )
        if len(beside) > 1 or (beside and inside):
            raise FormatError.at(
                recording,
                f"both {beside[0].name} and {[*beside[1:], *inside][0]} could be its "
                "picture; keep one picture next to it, or all in the folder of its name",
            )
        pictures = beside or inside
        for picture in (*pictures, *results):
            self._unassigned.pop(picture, None)
        stated = stated_planes(recording, len(pictures))
        if not pictures:
            return None
        if stated is None and beside:
            return GroundTruthImages((beside[0],), None)
        planes = [_plane_of(picture) for picture in pictures] if stated is None else stated
        ordered = sorted(zip(planes, pictures, strict=True))
        twice = [plane for plane, times in Counter(planes).items() if times > 1]
        if twice:
            raise FormatError.at(recording, f"two pictures show plane {twice[0]}; keep one")
        return GroundTruthImages(
            tuple(file for _, file in ordered), tuple(plane for plane, _ in ordered)
        )

    def unassigned(self) -> list[Path]:
        """Return the images that :meth:`of` has not assigned to a recording."""
        return list(self._unassigned)


def check_lengths(
    truths: Mapping[Path, GroundTruthImages | None], stated: RecordingSettings
) -> None:
    """Raise if a ``.dat`` with an image of its middle plane has an unusual number of planes.

    A truncated file is a valid recording, but with another middle plane. The usual length is the
    most frequent one of all ``.dat``, including those without images.
    """
    raw = {file: truth for file, truth in truths.items() if file.suffix.lower() == ".dat"}
    middles = [file for file, truth in raw.items() if truth is not None and truth.planes is None]
    if not middles:
        return  # an unknown size is then reported for the recording that is read first
    lengths = {file: len(open_stated(file, stated)) for file in raw}
    counts = Counter(lengths.values())
    usual = max(counts, key=lambda length: (counts[length], length))  # truncated ones are shorter
    odd = [file for file in middles if lengths[file] != usual]
    if odd:
        raise FormatError.at(
            odd[0],
            f"{lengths[odd[0]]} planes, but other recordings have {usual}, and the picture must "
            "show the middle plane. If the recording is truncated, copy it again; if not, "
            f"state the plane that the picture shows, such as planes: [{usual // 2}], in "
            f"{sidecar_path(odd[0]).name}",
        )


def stated_planes(recording: Path, count: int) -> tuple[int, ...] | None:
    """Return the planes that a sidecar states for ``count`` images; None if it states none."""
    stated = own_sidecar(recording).planes
    if stated is not None and len(stated) != count:
        raise FormatError.at(
            sidecar_path(recording),
            f"planes lists {len(stated)} planes, but {recording.name} has {count} pictures; "
            "list one plane for each, in the order of their names",
        )
    return stated


def _plane_of(picture: Path) -> int:
    numbers = re.findall(r"\d+", picture.stem)
    if not numbers:
        raise FormatError.at(
            picture,
            "no plane in its name; name it after the plane that it shows, such as 000150.png, "
            "or list planes in the recording's sidecar",
        )
    return int(numbers[-1])


def _format_kind(kind: tuple[tuple[int, ...], np.dtype[Any]]) -> str:
    shape, dtype = kind
    return f"{'x'.join(map(str, shape))} {dtype}"


def read_picture(path: Path, size: tuple[int, int]) -> NDArray[Any]:
    """Read an image ``(H', W'[, 3])`` of a recording of size H, W, without opacity."""
    image = read_image(path)
    ratio = image.shape[0] // size[0]
    if ratio < 1 or image.shape[:2] != (ratio * size[0], ratio * size[1]):
        raise GeometryError.at(
            path,
            f"{image.shape[0]}x{image.shape[1]} pixels are not a whole multiple of the "
            f"spikes' {size[0]}x{size[1]}; crop the image to the field of view of the spike "
            "camera, or pass the spikes' --height and --width",
        )
    return image


def write_picture(image: NDArray[Any], stem: Path, *, overwrite: bool = False) -> Path:
    """Write an image of an archive without loss: 8 bits as PNG, other values as TIFF.

    The image is ``(H, W)`` grey or ``(H, W, 3)`` R,G,B of uint8, uint16 or float32. Returns the
    path: ``stem`` with a suffix, in a folder that is created if it is missing.
    """
    path = stem.with_name(f"{stem.name}{'.png' if image.dtype == np.uint8 else '.tif'}")
    if image.dtype == np.uint8:
        save_picture(image, path, overwrite=overwrite)
    else:
        import tifffile

        with new_file(path, overwrite=overwrite) as temporary:
            photometric = "rgb" if image.ndim == 3 else "minisblack"
            tifffile.imwrite(temporary, image, photometric=photometric)
    return path
