"""Clips of spikes with the ground-truth image at their middle plane, and random crops."""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_zoo.archive.contents import Facts
from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.data.base import counted_reasons
from spike_zoo.data.sampling import SampleKey
from spike_zoo.errors import ConfigError
from spike_zoo.spikes.packing import packed_width
from spike_zoo.spikes.recording import stated_cfa
from spike_zoo.spikes.take import channels_first, grey
from spike_zoo.spikes.turning import MODES, SHAPE_KEEPING_MODES
from spike_zoo.spikes.windows import centred_window, consecutive_clips


class Window(NamedTuple):
    """One sample: the image and the middle plane of a clip, with its size and rate scale."""

    name: str
    image: int
    plane: int
    height: int
    width: int
    rate_scale: float


class ReconstructionWindows:
    """The clips of one split that lie inside their recordings.

    Args:
        archive: The archive.
        split: Name of the split in the archive.
        clip_length: Planes of one clip.
        stride: Select every ``stride``-th image of a recording.
        crop: Side of the random square crop in pixels; None crops nothing.
        augment: Apply one of the eight flips and rotations at random.
        rate_scale: Rate scale of recordings that do not state theirs, by default 1.
        flow_offset: Include the flow from each image to the planes this many before and after it;
            0 includes none.
        truth: Include images. If False, recordings without images are included too, as overlapping
            clips, see :func:`spike_zoo.spikes.windows.consecutive_clips`.
        colour: Include images in colour and the layout of the Bayer filters.

    Attributes:
        images: Number of images of the split.
        fitting: Number of images whose clip lies inside the recording.
        windows: The samples: those clips, selected by stride.
        without: Names of left-out recordings without images.
        short: Names of left-out recordings with fewer planes than a clip.

    Raises:
        ConfigError: If the planes of a recording are smaller than the crop, or images and planes
            differ in size.
    """

    def __init__(
        self,
        archive: SpikeArchive,
        split: str,
        clip_length: int,
        *,
        stride: int = 1,
        crop: int | None = None,
        augment: bool = False,
        rate_scale: float | None = None,
        flow_offset: int = 0,
        truth: bool = True,
        colour: bool = False,
    ) -> None:
        self.archive = archive
        self.colour = colour
        self.flow_offset = flow_offset if truth else 0
        self.truth = truth
        self.clip_length = clip_length
        self.crop = crop
        self.augment = augment
        self.rate_scale = rate_scale
        self.images = 0
        self.without: list[str] = []
        self.short: list[str] = []
        fitting = [self._windows_of(name) for name in archive.names(split)]
        self.fitting = sum(map(len, fitting))
        self.windows = [window for windows in fitting for window in windows[::stride]]

    @property
    def used(self) -> int:
        """Number of images that are part of a sample."""
        return len(self.windows)

    @property
    def left_out(self) -> str:
        """Number of left-out recordings by reason, with the first name; empty if none exists."""
        too_short = f"recordings with fewer than {self.clip_length} planes"
        return counted_reasons({"recordings without images": self.without, too_short: self.short})

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, key: int | SampleKey) -> dict[str, Any]:
        """Read one clip: uncropped for an int, cropped and turned by the seed of a key."""
        index, seed = key if isinstance(key, SampleKey) else (key, None)
        window = self.windows[index]
        rows, columns, mode = self._cut(window, seed)
        sample = {
            "packed": self._read(
                window, *centred_window(window.plane, self.clip_length), rows, columns
            ),
            "width": columns.stop - columns.start,
            "mode": mode,
            "rate_scale": np.float32(window.rate_scale),
            "plane": window.plane,
            "name": window.name,
        }
        if self.truth:
            image = self.archive.image(window.name, window.image, rows=rows, columns=columns)
            sample["image"] = channels_first(image if self.colour else grey(image))
        if self.colour:
            sample["cfa"] = stated_cfa(self.archive[window.name])
        if self.flow_offset:
            sample["flow"] = self.archive.image_motion(
                window.name, window.image, rows=rows, columns=columns, around=True
            )
        return sample

    def _windows_of(self, name: str) -> list[Window]:
        facts = self.archive.facts(name)
        planes, height, width = facts.shape
        scale = facts.rate_scale or self.rate_scale or 1.0
        self._check_images(name, facts.image_size, (height, width))
        if self.flow_offset:
            self._check_flow(name, facts.image_index)
        if self.crop is not None and self.crop > min(height, width):
            raise ConfigError(
                f"crop: {self.crop} pixels do not fit into recording {name!r} of {height}x{width}; "
                "use a smaller crop"
            )
        windows = []
        centers = self._centers(facts)
        self.images += len(centers)
        if planes < self.clip_length:
            self.short.append(name)
        elif not centers and self.truth:
            self.without.append(name)
        elif not centers:
            centers = consecutive_clips(planes, self.clip_length)
        for image, plane in enumerate(centers):
            start, stop = centred_window(plane, self.clip_length)
            if start >= 0 and stop <= planes:
                windows.append(Window(name, image, plane, height, width, scale))
        return windows

    def _centers(self, facts: Facts) -> list[int]:
        return list(facts.image_index)

    def _check_images(
        self, name: str, images: tuple[int, int] | None, planes: tuple[int, int]
    ) -> None:
        if images not in (None, planes):
            raise ConfigError(
                f"{self.archive.path}: recording {name!r} has images of {images[0]}x{images[1]} "
                f"and spikes of {planes[0]}x{planes[1]}; reconstruction requires equal sizes. "
                "Build the archive from images of the spikes' size, or deblur with "
                "DeblurDataModule"
            )

    def _check_flow(self, name: str, planes: Sequence[int]) -> None:
        around = self.archive.around_index(name)
        if around.tolist() != [
            [plane - self.flow_offset, plane + self.flow_offset] for plane in planes
        ]:
            raise ConfigError(
                f"{self.archive.path}: recording {name!r} has no flow to the planes "
                f"{self.flow_offset} before and after each image (flow_offset); make an "
                f"archive with 'python -m spike_zoo simulate --flow_offset {self.flow_offset}'"
            )

    def _read(
        self, window: Window, start: int, stop: int, rows: slice, columns: slice
    ) -> NDArray[np.uint8]:
        byte_columns = slice(columns.start // 8, packed_width(columns.stop))
        return self.archive.read_packed(
            window.name, start, stop, rows=rows, byte_columns=byte_columns
        )

    def _cut(self, window: Window, seed: int | None) -> tuple[slice, slice, int]:
        size = window.height, window.width
        return sample_crop(size, seed, crop=self.crop, augment=self.augment)


def sample_crop(
    size: tuple[int, int], seed: int | None, *, crop: int | None, augment: bool
) -> tuple[slice, slice, int]:
    """Draw rows, columns and mode of a sample. Crops start at whole bytes, so no bit is shifted.

    Without a seed it is the whole frame in mode 0. ``crop`` is the side of the square crop, if any;
    ``augment`` draws one of the flips and rotations that keep the shape.
    """
    rows, columns = slice(0, size[0]), slice(0, size[1])
    if seed is None:
        return rows, columns, 0
    generator = random.Random(seed)  # created ten times faster than numpy's generator
    if crop is not None:
        top = generator.randrange(size[0] - crop + 1)
        left = 8 * generator.randrange((size[1] - crop) // 8 + 1)
        rows, columns = slice(top, top + crop), slice(left, left + crop)
    is_square = rows.stop - rows.start == columns.stop - columns.start
    modes = range(len(MODES)) if is_square else SHAPE_KEEPING_MODES
    return rows, columns, generator.choice(modes) if augment else 0
