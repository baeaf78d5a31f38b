"""Data module of motion deblurring: blurry images, spikes of the exposure and sharp images."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.data.base import ArchiveDataModule, check_at_least
from spike_zoo.data.sampling import SampleKey
from spike_zoo.data.windows import sample_crop
from spike_zoo.errors import ConfigError
from spike_zoo.spikes.packing import packed_width
from spike_zoo.spikes.take import channels_first
from spike_zoo.spikes.windows import spread_planes
from spike_zoo.tasks.batch import Split

DEBLUR_ARCHIVE = "data/deblur.h5"
MAKE_DEBLUR_ARCHIVE = "python -m spike_zoo simulate --kind deblur"


class ExposureSample(NamedTuple):
    """One sample: a blurry image, the planes of its exposure, and the sharp images inside it."""

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
        archive: The archive.
        split: Name of the split in the archive.
        margin: Planes before and after an exposure.
        ratio: Ratio of the size of images to the size of planes.
        frames: Maximum number of sharp images per sample: those nearest to times spread evenly over
            the exposure; for 1, the one nearest to its middle; for 0, none.
        crop: Side of the random square crop in pixels of the spikes; None crops nothing.
        augment: Apply one of the eight flips and rotations at random.
        rate_scale: Rate scale of recordings that do not state theirs; by default 1.

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

    def __len__(self) -> int:
        return len(self.exposures)

    def __getitem__(self, key: int | SampleKey) -> dict[str, Any]:
        """Read one exposure: uncropped for an int, cropped and turned by the seed of a key."""
        index, seed = key if isinstance(key, SampleKey) else (key, None)
        exposure = self.exposures[index]
        size = exposure.height, exposure.width
        rows, columns, mode = sample_crop(size, seed, crop=self.crop, augment=self.augment)
        first, last = exposure.start - self.margin, exposure.stop + self.margin
        row_bytes = slice(columns.start // 8, packed_width(columns.stop))
        area = {"rows": _scaled(rows, self.ratio), "columns": _scaled(columns, self.ratio)}
        blur = _colour(self.archive.blurry_image(exposure.name, exposure.number, **area))
        images = [_colour(self.archive.image(exposure.name, n, **area)) for n in exposure.images]
        return {
            "packed": self.archive.read_packed(
                exposure.name, first, last, rows=rows, byte_columns=row_bytes
            ),
            "width": columns.stop - columns.start,
            "mode": mode,
            "blur": blur,
            "images": np.stack(images) if images else np.empty((0, *blur.shape), blur.dtype),
            "planes": np.array(exposure.planes, np.int64) - first,
            "exposure": np.array([exposure.start - first, exposure.stop - first], np.int64),
            "rate_scale": np.float32(exposure.rate_scale),
            "name": exposure.name,
        }

    def _exposures_of(self, name: str) -> list[ExposureSample]:
        recording, spans = self.archive[name], self.archive.blur_span(name)
        _, height, width = recording.shape
        self._check(name, spans, recording.shape)
        index = self.archive.image_index(name)
        samples = []
        for number, (start, stop) in enumerate(spans.tolist()):
            images = self._inside(index, start, stop)
            planes = tuple(index[list(images)].tolist())
            scale = recording.rate_scale or self.rate_scale or 1.0
            sample = (name, number, start, stop, images, planes, height, width, scale)
            samples.append(ExposureSample(*sample))
        return samples

    def _inside(self, index: NDArray[np.int64], start: int, stop: int) -> tuple[int, ...]:
        """Return the numbers of the selected sharp images inside an exposure, in order of time."""
        inside = np.flatnonzero((index >= start) & (index < stop))
        if not self.frames or not inside.size:
            return ()
        times = spread_planes(start, stop, min(self.frames, inside.size))
        nearest = {int(inside[np.abs(index[inside] - plane).argmin()]) for plane in times}
        return tuple(sorted(nearest))

    def _check(self, name: str, spans: NDArray[np.int64], shape: tuple[int, int, int]) -> None:
        where = f"{self.archive.path}: recording {name!r}"
        planes, height, width = shape
        if not len(spans):
            raise ConfigError(
                f"{where} has no blurry image, so there is nothing to deblur; make an archive with "
                f"blurry images with '{MAKE_DEBLUR_ARCHIVE}' or 'python -m spike_zoo archive build'"
            )
        before, after = int(spans[:, 0].min()), planes - int(spans[:, 1].max())
        if min(before, after) < self.margin:
            raise ConfigError(
                f"{where} has {before} planes before its exposure and {after} after it, fewer than "
                f"the margin of {self.margin}; set margin to at most {min(before, after)}"
            )
        if self.crop is not None and self.crop > min(height, width):
            raise ConfigError(
                f"crop: {self.crop} pixels of the spikes do not fit into recording {name!r} of "
                f"{height}x{width}; use a smaller crop"
            )
        expected = self.ratio * height, self.ratio * width
        for size in self.archive.image_sizes(name):
            if size != expected:
                raise ConfigError(
                    f"{where} has images of {size[0]}x{size[1]} and spikes of {height}x{width}; "
                    f"expected {expected[0]}x{expected[1]} at ratio {self.ratio}. Set ratio to "
                    f"{size[0] / height:g} if your method takes it, or build the archive from "
                    "images of the right size"
                )


class DeblurDataModule(ArchiveDataModule):
    """Load blurry images with the spikes of their exposure, and sharp images for evaluation.

    By default, training is self-supervised: its samples have no sharp images. For a data set
    without a validation split, set ``val_split`` to another one. S-SDM's released student was
    trained on the test images (``train_split="test"``).

    Args:
        archive: The archive's file, or several, see :class:`ArchiveDataModule`.
        margin: Planes before and after the exposure, for the windows around its ends.
        ratio: Ratio of the size of images to the size of planes.
        frames: Maximum number of sharp images per exposure in validation and test; 1 selects the
            one nearest to the middle.
        train_frames: The same in training, for supervised students; 0 reads none.
        crop: Side in pixels of the spikes of the square cut from training exposures (128 of the
            spikes are 512 of the images at ratio 4); None crops nothing.
        augment: Rotate and flip training exposures at random; the published training does not.
        loading: Arguments of :class:`ArchiveDataModule`.

    Raises:
        ConfigError: If the margin or a number of frames is negative, or the ratio below 1.

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
        archive: list[str] | str = DEBLUR_ARCHIVE,
        margin: int = 20,
        ratio: int = 4,
        frames: int = 7,
        train_frames: int = 0,
        crop: int | None = 64,
        augment: bool = False,
        **loading: Any,
    ) -> None:
        super().__init__(archive, crop=crop, augment=augment, **loading)
        check_at_least({"margin": (margin, 0), "ratio": (ratio, 1), "frames": (frames, 0)})
        check_at_least({"train_frames": (train_frames, 0)})
        self.margin = margin
        self.ratio = ratio
        self.frames = frames
        self.train_frames = train_frames

    def make_samples(self, split: Split) -> Exposures:
        """Return the exposures of one split; training samples are cropped."""
        is_training = split == "train"
        return Exposures(
            self.archive,
            self.split_name(split),
            margin=self.margin,
            ratio=self.ratio,
            frames=self.train_frames if is_training else self.frames,
            crop=self.crop if is_training else None,
            augment=self.augment and is_training,
            rate_scale=self.rate_scale,
        )


def _scaled(pixels: slice, ratio: int) -> slice:
    """Return the pixels of an image that correspond to pixels of the spikes."""
    return slice(ratio * pixels.start, ratio * pixels.stop)


def _colour(image: NDArray[Any]) -> NDArray[Any]:
    """Convert an image to R,G,B ``(3, H, W)``, uint8 or float32 in [0, 1]; grey is repeated."""
    image = channels_first(image)
    return np.repeat(image, 3, axis=0) if len(image) == 1 else image
