"""Data module of reconstruction: clips with the ground-truth image at their middle plane."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn

from spike_zoo.data.base import DEFAULT_ARCHIVE, ArchiveDataModule, check_at_least, counted_reasons
from spike_zoo.data.sampling import SampleKey
from spike_zoo.errors import ConfigError
from spike_zoo.spikes.packing import packed_width
from spike_zoo.spikes.recording import stated_cfa
from spike_zoo.spikes.take import channels_first, grey
from spike_zoo.spikes.turning import MODES, SHAPE_KEEPING_MODES
from spike_zoo.spikes.windows import centred_window, consecutive_clips

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from spike_zoo.archive.contents import Facts
    from spike_zoo.archive.reader import SpikeArchive
    from spike_zoo.data.base import Samples
    from spike_zoo.tasks.batch import Split


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
    def served(self) -> int:
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
            self._check_motion(name, facts.image_index)
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
        """Return the planes of the images of a recording."""
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

    def _check_motion(self, name: str, planes: Sequence[int]) -> None:
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


class ReconstructionDataModule(ArchiveDataModule):
    """Load clips of spikes with the ground-truth image at their middle plane.

    Args:
        archive: The archive's file, or several, see :class:`ArchiveDataModule`.
        clip_length: Planes of one clip, as the method requires.
        stride: Select every ``stride``-th image of a recording.
        flow_offset: Include the flow from each image to the planes this many before and after it,
            as ``simulate --flow_offset`` stores it; 0 includes none.
        colour: Load images in colour, with the layouts of the sensors' Bayer filters. Training
            clips are then neither cropped nor turned.
        targets: Method whose images are the targets of training, such as ``"tfi-aligned"``. The
            archive's images are then used in neither training nor validation, and validation
            estimates the squared error from held-out spikes.
        loading: Arguments of :class:`ArchiveDataModule`.

    Raises:
        ConfigError: If ``clip_length`` or ``stride`` is below 1, ``flow_offset`` is negative, or
            ``targets`` is used with ``colour`` or ``flow_offset``.

    Example:
        >>> from pathlib import Path
        >>> from spike_zoo.testing import tiny_archive
        >>> archive = tiny_archive(Path("takes.h5"))  # or your own, or what simulate makes
        >>> data = ReconstructionDataModule(str(archive), crop=32, batch_size=2, seed=0)
        >>> for epoch in range(2):  # a loop without a Trainer; each epoch has a different order
        ...     for batch in data.train_dataloader():
        ...         spikes, image = batch["spikes"], batch["image"]
        >>> spikes.shape, image.shape
        (torch.Size([2, 61, 32, 32]), torch.Size([2, 1, 32, 32]))
    """

    def __init__(
        self,
        archive: list[str] | str = DEFAULT_ARCHIVE,
        clip_length: int = 61,
        stride: int = 1,
        flow_offset: int = 0,
        colour: bool = False,
        targets: str | None = None,
        **loading: Any,
    ) -> None:
        super().__init__(archive, **loading)
        self.colour = colour
        self.targets = targets
        check_at_least({"clip_length": (clip_length, 1), "stride": (stride, 1)})
        check_at_least({"flow_offset": (flow_offset, 0)})
        if targets is not None and (colour or flow_offset):
            option = "colour" if colour else "flow_offset"
            raise ConfigError(f"targets: not with {option}; remove one of them")
        self.flow_offset = flow_offset
        self.clip_length = clip_length
        self.stride = stride

    def list_samples(self, *splits: Split) -> None:
        """List the samples of some splits again, and warn of left-out recordings and images.

        Left-out images change the results, so validation and test warn of them.
        """
        super().list_samples(*splits)
        for split in splits:
            self._warn_of_recordings_left_out(split, self._samples[split])
            if split != "train":
                self._warn_of_images_left_out(split)

    def setup(self, stage: str) -> None:
        """List the samples of a stage; prediction also warns of left-out recordings."""
        super().setup(stage)
        if stage == "predict":
            self._warn_of_recordings_left_out("test", self._predicted)

    def _warn_of_recordings_left_out(self, split: Split, samples: Samples | None) -> None:
        if left_out := getattr(samples, "left_out", ""):
            rank_zero_warn(f"{self.archive_path}: of {split}, {left_out} are left out.")

    def _warn_of_images_left_out(self, split: Split) -> None:
        samples = self._samples[split]
        if not isinstance(samples, ReconstructionWindows) or samples.served == samples.images:
            return
        near, skipped = samples.images - samples.fitting, samples.fitting - len(samples.windows)
        over = len(samples.windows) - samples.served
        reasons = {
            f"{near} because clip_length {self.clip_length} does not fit around them": near,
            f"{skipped} by stride {self.stride}": skipped,
            f"{over} at the ends of recordings, too few for a sample": over,
        }
        why = " and ".join(reason for reason, count in reasons.items() if count)
        rank_zero_warn(
            f"{self.archive_path}: {samples.images - samples.served} of {samples.images} images of "
            f"{split} are left out: {why}. Do not compare the results with those over other images."
        )

    def make_predicted(self) -> ReconstructionWindows:
        """Return the clips of the test split, with or without ground-truth images.

        If a subclass overrides :meth:`make_samples`, return its test samples.
        """
        if type(self).make_samples is not ReconstructionDataModule.make_samples:
            return self.make_samples("test")
        return self.clips_to_predict()

    def clips_to_predict(self) -> ReconstructionWindows:
        """Return clips without ground truth: around each image, or overlapping if none exists."""
        return ReconstructionWindows(
            self.archive,
            self.split_name("test"),
            self.clip_length,
            stride=self.stride,
            rate_scale=self.rate_scale,
            truth=False,
            colour=self.colour,
        )

    def make_samples(self, split: Split) -> ReconstructionWindows:
        """Return the clips of one split; only training clips are cropped and turned."""
        is_training = split == "train" and not self.colour  # crops and turns change the layout
        kind: Callable[..., ReconstructionWindows] = ReconstructionWindows
        options: dict[str, Any] = {"flow_offset": self.flow_offset, "colour": self.colour}
        if self.targets is not None and split != "test":
            from spike_zoo.data.without_truth import HiddenPixelWindows, TargetWindows

            kind = TargetWindows if is_training else HiddenPixelWindows
            options = {"targets": self.targets}
        return kind(
            self.archive,
            self.split_name(split),
            self.clip_length,
            stride=self.stride,
            crop=self.crop if is_training else None,
            augment=self.augment and is_training,
            rate_scale=self.rate_scale,
            **options,
        )
