"""Blurry images with the spikes of their exposure, and the sharp images inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spike_zoo.data.base import ArchiveDataModule, check_at_least
from spike_zoo.data.reconstruction import draw_cut
from spike_zoo.data.sampling import SampleKey
from spike_zoo.errors import ConfigError
from spike_zoo.spikes import spread_planes
from spike_zoo.spikes.packing import packed_width

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spike_zoo.archive import SpikeArchive
    from spike_zoo.batch import Split

DEBLUR_ARCHIVE = "data/deblur.h5"
MAKE_DEBLUR_ARCHIVE = "python -m spike_zoo simulate --kind deblur"


class ExposureSample(NamedTuple):
    """One sample: a blurry image of a recording, its planes, and the sharp images inside them."""

    name: str
    number: int
    start: int
    stop: int
    images: tuple[int, ...]
    planes: tuple[int, ...]
    height: int
    width: int
    rate_scale: float


class Exposures:
    """The blurry images of one split, each with the planes of its exposure and a margin.

    Args:
        archive: Where the recordings are.
        split: Which of them.
        margin: Planes before and after an exposure.
        ratio: Pixels of the images along one of the spikes'.
        frames: Sharp images of a sample, at most; those nearest to times spread evenly over the
            exposure, or one in its middle. 0 leaves them out.
        crop: Side in pixels of the spikes of the square cut at random, None for whole frames.
        augment: Draw one of the eight flips and rotations.
        rate_scale: Of recordings that do not state theirs; by default 1.

    Raises:
        ConfigError: If a recording has no blurry image, too few planes around an exposure, images
            of another ratio, or is smaller than the crop.
    """

    def __init__(
        self,
        archive: SpikeArchive,
        split: str,
        *,
        margin: int = 20,
        ratio: int = 4,
        frames: int = 7,
        crop: int | None = None,
        augment: bool = False,
        rate_scale: float | None = None,
    ) -> None:
        self.archive = archive
        self.rate_scale = rate_scale
        self.margin = margin
        self.ratio = ratio
        self.frames = frames
        self.crop = crop
        self.augment = augment
        self.exposures = [
            exposure for name in archive.names(split) for exposure in self._exposures_of(name)
        ]

    @property
    def names(self) -> list[str]:
        """The recording of each sample."""
        return [one.name for one in self.exposures]

    def __len__(self) -> int:
        return len(self.exposures)

    def __getitem__(self, key: int | SampleKey) -> dict[str, Any]:
        """Read one exposure; an int takes the whole frame, a key cuts and turns it by its seed."""
        index, seed = key if isinstance(key, SampleKey) else (key, None)
        taken = self.exposures[index]
        size = taken.height, taken.width
        rows, columns, mode = draw_cut(size, seed, crop=self.crop, augment=self.augment)
        first, last = taken.start - self.margin, taken.stop + self.margin
        row_bytes = slice(columns.start // 8, packed_width(columns.stop))
        area = {"rows": _times(rows, self.ratio), "columns": _times(columns, self.ratio)}
        blur = _colour(self.archive.blurry_image(taken.name, taken.number, **area))
        images = [_colour(self.archive.image(taken.name, n, **area)) for n in taken.images]
        return {
            "packed": self.archive.read_packed(
                taken.name, first, last, rows=rows, byte_columns=row_bytes
            ),
            "width": columns.stop - columns.start,
            "mode": mode,
            "blur": blur,
            "images": np.stack(images) if images else np.empty((0, *blur.shape), blur.dtype),
            "planes": np.array(taken.planes, np.int64) - first,
            "exposure": np.array([taken.start - first, taken.stop - first], np.int64),
            "rate_scale": np.float32(taken.rate_scale),
            "name": taken.name,
        }

    def _exposures_of(self, name: str) -> list[ExposureSample]:
        recording, spans = self.archive[name], self.archive.blur_span(name)
        _, height, width = recording.shape
        self._check(name, spans, recording.shape)
        index = self.archive.image_index(name)
        found = []
        for number, (start, stop) in enumerate(spans.tolist()):
            images = self._inside(index, start, stop)
            planes = tuple(index[list(images)].tolist())
            scale = recording.rate_scale or self.rate_scale or 1.0
            sample = (name, number, start, stop, images, planes, height, width, scale)
            found.append(ExposureSample(*sample))
        return found

    def _inside(self, index: NDArray[np.int64], start: int, stop: int) -> tuple[int, ...]:
        """Return which sharp images are wanted of those inside an exposure, in order of time."""
        inside = np.flatnonzero((index >= start) & (index < stop))
        if not self.frames or not inside.size:
            return ()
        wanted = spread_planes(start, stop, min(self.frames, inside.size))
        nearest = {int(inside[np.abs(index[inside] - plane).argmin()]) for plane in wanted}
        return tuple(sorted(nearest))

    def _check(self, name: str, spans: NDArray[np.int64], shape: tuple[int, int, int]) -> None:
        where = f"{self.archive.path}: recording {name!r}"
        planes, height, width = shape
        if not len(spans):
            raise ConfigError(
                f"{where} has no blurry image, so there is nothing to deblur; make an archive that "
                f"has them with '{MAKE_DEBLUR_ARCHIVE}' or 'python -m spike_zoo archive build'"
            )
        before, after = int(spans[:, 0].min()), planes - int(spans[:, 1].max())
        if min(before, after) < self.margin:
            raise ConfigError(
                f"{where} has {before} planes before its exposure and {after} after it, and the "
                f"margin is {self.margin}; set margin to at most {min(before, after)}"
            )
        if self.crop is not None and self.crop > min(height, width):
            raise ConfigError(
                f"crop: {self.crop} pixels of the spikes do not fit into recording {name!r} of "
                f"{height}x{width}; use a smaller crop"
            )
        wanted = self.ratio * height, self.ratio * width
        for found in self.archive.picture_sizes(name):
            if found != wanted:
                raise ConfigError(
                    f"{where} has images of {found[0]}x{found[1]} and spikes of {height}x{width}; "
                    f"expected {wanted[0]}x{wanted[1]} at ratio {self.ratio}. Set ratio to "
                    f"{found[0] / height:g} if your method takes it, or build the archive from "
                    "images of the right size"
                )


class DeblurDataModule(ArchiveDataModule):
    """Serve blurry images with the spikes of their exposure, and sharp ones to compare with.

    Training needs no sharp image and gets none. A set that has no split of its own to validate
    with names another; S-SDM's released student was trained on the images it was tested with
    (``train_split="test"``).

    Args:
        archive: The archive's file.
        margin: Planes before and after the exposure, for the windows around its ends.
        ratio: Pixels of the images along one of the spikes'.
        frames: Sharp images per exposure to validate and test with, at most; fewer where the
            archive has fewer, 1 takes the middle one.
        crop: Side in pixels of the spikes of the square cut from training exposures (128 of the
            spikes are 512 of the images at ratio 4); None keeps them whole.
        augment: Turn and flip training exposures at random; the published training does not.
        loading: See :class:`ArchiveDataModule`.

    Raises:
        ConfigError: If the margin or ``frames`` is negative, or the ratio below 1.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024.

    Example:
        >>> from pathlib import Path
        >>> from spike_zoo.testing import exposure_archive
        >>> archive = exposure_archive(Path("exposures.h5"))
        >>> data = DeblurDataModule(str(archive), batch_size=1, crop=16, seed=0)
        >>> batch = next(iter(data.train_dataloader()))
        >>> batch["blur"].shape, batch["exposure"].tolist()
        (torch.Size([1, 3, 64, 64]), [[20, 117]])
    """

    simulate_command = MAKE_DEBLUR_ARCHIVE

    def __init__(
        self,
        archive: str = DEBLUR_ARCHIVE,
        margin: int = 20,
        ratio: int = 4,
        frames: int = 7,
        crop: int | None = 64,
        augment: bool = False,
        **loading: Any,
    ) -> None:
        super().__init__(archive, crop=crop, augment=augment, **loading)
        check_at_least({"margin": (margin, 0), "ratio": (ratio, 1), "frames": (frames, 0)})
        self.margin = margin
        self.ratio = ratio
        self.frames = frames

    def make_samples(self, split: Split) -> Exposures:
        """Return the exposures of one split; those to train on are cut and have no sharp image."""
        is_training = split == "train"
        return Exposures(
            self.archive,
            self.split_name(split),
            margin=self.margin,
            ratio=self.ratio,
            frames=0 if is_training else self.frames,
            crop=self.crop if is_training else None,
            augment=self.augment and is_training,
            rate_scale=self.rate_scale,
        )


def _times(pixels: slice, ratio: int) -> slice:
    """Return the pixels of the image that those of the spikes cover."""
    return slice(ratio * pixels.start, ratio * pixels.stop)


def _colour(image: NDArray[Any]) -> NDArray[Any]:
    """Return an image as R,G,B ``(3, H, W)``, uint8 or float32 in [0, 1]; grey in all three."""
    if image.dtype == np.uint16:
        image = image.astype(np.float32) / 65535
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(image.transpose(2, 0, 1))
