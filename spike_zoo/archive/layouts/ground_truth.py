"""Recordings of layouts, their ground-truth images by plane, and files of exports."""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import FormatError, GeometryError, PlaneRangeError
from spike_zoo.formats.recording import RecordingSource
from spike_zoo.formats.sidecar import RecordingSettings, own_sidecar, sidecar_path
from spike_zoo.media.image_files import is_result, read_image
from spike_zoo.media.images import IMAGE_SUFFIXES, save_image
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.take import Take
from spike_zoo.utils.files import natural_order, new_file

#: Name, split and reader of a take.
FoundTake = tuple[str, str | None, "Callable[[], Take]"]


def open_with_settings(path: Path, settings: RecordingSettings) -> SpikeRecording:
    """Open a recording of any format; its size and bit layout are used for ``.dat`` only."""
    if path.suffix.lower() != ".dat":
        settings = replace(settings, height=None, width=None, frame_align=None)
        settings = replace(settings, offset=None, bit_order=None)
    return RecordingSource(path, user_settings=settings).open(check_rows=True)


class GroundTruthImages(NamedTuple):
    """Files of the ground-truth images of a recording, in order of time."""

    files: tuple[Path, ...]
    #: plane of each image; None for a single image of the middle plane
    planes: tuple[int, ...] | None

    def read(self, recording: SpikeRecording, path: Path) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Read the images and return them with their planes, as in a take."""
        count, height, width = recording.shape
        planes = (count // 2,) if self.planes is None else self.planes
        for file, plane in zip(self.files, planes, strict=True):
            if not 0 <= plane < count:
                raise PlaneRangeError.at(
                    file,
                    f"shows plane {plane}, but {path} has planes 0..{count - 1}; "
                    "copy the recording again if it is truncated, or correct the number",
                )
        images = [read_fitting_image(file, (height, width)) for file in self.files]
        kinds = [(image.shape, image.dtype) for image in images]
        odd = next((n for n, kind in enumerate(kinds) if kind != kinds[0]), None)
        if odd is not None:
            raise FormatError.at(
                self.files[odd],
                f"{_format_kind(kinds[odd])}, but {self.files[0].name} is "
                f"{_format_kind(kinds[0])}; images of a recording must have one size and type",
            )
        return np.stack(images), np.array(planes, np.int64)


class ImageFiles:
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
            if file.suffix.lower() in IMAGE_SUFFIXES:
                self._beside.setdefault(file.with_suffix(""), []).append(file)
                self._inside.setdefault(file.parent, []).append(file)
                self._unassigned[file] = None

    def of(self, recording: Path) -> GroundTruthImages | None:
        """Return the images of a recording; None if there are none.

        Reconstructions are left out with a warning.
        """
        stem = recording.with_suffix("")
        named = self._beside.get(stem, []), self._inside.get(stem, [])
        results = [image for images in named for image in images if is_result(image)]
        beside, inside = ([p for p in images if p not in results] for images in named)
        if results:
            warnings.warn(
                f"{recording}: {len(results)} images of its name are reconstructions of "
                f"spike-zoo and are left out ({results[0].name} is the first); to use one as "
                "ground truth, save it with another program",
                stacklevel=2,
            )
        if len(beside) > 1 or (beside and inside):
            raise FormatError.at(
                recording,
                f"both {beside[0].name} and {[*beside[1:], *inside][0]} could be its "
                "image; keep one image next to it, or all in the folder of its name",
            )
        images = beside or inside
        for image in (*images, *results):
            self._unassigned.pop(image, None)
        sidecar_planes = planes_of_sidecar(recording, len(images))
        if not images:
            return None
        if sidecar_planes is None and beside:
            return GroundTruthImages((beside[0],), None)
        planes = (
            [_plane_of(image) for image in images] if sidecar_planes is None else sidecar_planes
        )
        ordered = sorted(zip(planes, images, strict=True))
        twice = [plane for plane, times in Counter(planes).items() if times > 1]
        if twice:
            raise FormatError.at(recording, f"two images show plane {twice[0]}; keep one")
        return GroundTruthImages(
            tuple(file for _, file in ordered), tuple(plane for plane, _ in ordered)
        )

    def unassigned(self) -> list[Path]:
        """Return the images that :meth:`of` has not assigned to a recording."""
        return list(self._unassigned)


def check_lengths(
    truths: Mapping[Path, GroundTruthImages | None], settings: RecordingSettings
) -> None:
    """Raise if a ``.dat`` with an image of its middle plane has an unusual number of planes.

    A truncated file is a valid recording, but with another middle plane. The usual length is the
    most frequent one of all ``.dat``, including those without images.
    """
    raw = {file: truth for file, truth in truths.items() if file.suffix.lower() == ".dat"}
    middles = [file for file, truth in raw.items() if truth is not None and truth.planes is None]
    if not middles:
        return  # an unknown size is then reported for the recording that is read first
    lengths = {file: len(open_with_settings(file, settings)) for file in raw}
    counts = Counter(lengths.values())
    usual = max(counts, key=lambda length: (counts[length], length))  # truncated ones are shorter
    odd = [file for file in middles if lengths[file] != usual]
    if odd:
        raise FormatError.at(
            odd[0],
            f"{lengths[odd[0]]} planes, but other recordings have {usual}, and the image must "
            "show the middle plane. If the recording is truncated, copy it again; if not, "
            f"state the plane that the image shows, such as planes: [{usual // 2}], in "
            f"{sidecar_path(odd[0]).name}",
        )


def planes_of_sidecar(recording: Path, count: int) -> tuple[int, ...] | None:
    """Return the planes that a sidecar states for ``count`` images; None if it states none."""
    planes = own_sidecar(recording).planes
    if planes is not None and len(planes) != count:
        raise FormatError.at(
            sidecar_path(recording),
            f"planes lists {len(planes)} planes, but {recording.name} has {count} images; "
            "list one plane for each, in the order of their names",
        )
    return planes


def _plane_of(image: Path) -> int:
    numbers = re.findall(r"\d+", image.stem)
    if not numbers:
        raise FormatError.at(
            image,
            "no plane in its name; name it after the plane that it shows, such as 000150.png, "
            "or list planes in the recording's sidecar",
        )
    return int(numbers[-1])


def _format_kind(kind: tuple[tuple[int, ...], np.dtype[Any]]) -> str:
    shape, dtype = kind
    return f"{'x'.join(map(str, shape))} {dtype}"


def read_fitting_image(path: Path, size: tuple[int, int]) -> NDArray[Any]:
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


def write_image(image: NDArray[Any], stem: Path, *, overwrite: bool = False) -> Path:
    """Write an image of an archive without loss: 8 bits as PNG, other values as TIFF.

    The image is ``(H, W)`` grey or ``(H, W, 3)`` R,G,B of uint8, uint16 or float32. Returns the
    path: ``stem`` with a suffix, in a folder that is created if it is missing.
    """
    path = stem.with_name(f"{stem.name}{'.png' if image.dtype == np.uint8 else '.tif'}")
    if image.dtype == np.uint8:
        save_image(image, path, overwrite=overwrite)
    else:
        import tifffile

        with new_file(path, overwrite=overwrite) as temporary:
            photometric = "rgb" if image.ndim == 3 else "minisblack"
            tifffile.imwrite(temporary, image, photometric=photometric)
    return path
