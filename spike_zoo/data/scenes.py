"""Whole scenes as samples: all images of a recording with the spikes around them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spike_zoo.data.base import DEFAULT_ARCHIVE, check_at_least, unpacked
from spike_zoo.data.reconstruction import ReconstructionDataModule, ReconstructionWindows
from spike_zoo.data.sampling import SampleKey
from spike_zoo.errors import ConfigError
from spike_zoo.spikes.take import grey
from spike_zoo.spikes.windows import centred_window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from spike_zoo.archive import SpikeArchive
    from spike_zoo.batch import Split
    from spike_zoo.data.reconstruction import Window


class SceneWindows(ReconstructionWindows):
    """Runs of images of the recordings of one split, each with the spikes around them.

    A run is all images of a recording whose window lies inside it, or some that follow one another.
    The motion from image to image comes with them where all recordings have it and no image between
    two is left out by the stride.

    Args:
        archive: Where the recordings are.
        split: Which of them.
        clip_length: Planes of the window around one image.
        images: Images of one run; None takes all of a recording.
        is_training: Take every run there is; otherwise each begins with the last image of the one
            before it, so that two neighbouring images are together once, and a rest that is too
            short is left out where it is not all that a recording has.
        stride: Take every ``stride``-th image of a recording.
        crop: Side of the square cut at random, None for whole frames.
        augment: Draw one of the eight flips and rotations; one cut and one turn for a whole run.
        rate_scale: Of recordings that do not state theirs; by default 1.

    Raises:
        ConfigError: If a frame is smaller than the crop, images are not of the spikes' size, or a
            recording to train on has fewer images than a run.
    """

    def __init__(
        self,
        archive: SpikeArchive,
        split: str,
        clip_length: int,
        *,
        images: int | None = None,
        is_training: bool = False,
        stride: int = 1,
        crop: int | None = None,
        augment: bool = False,
        rate_scale: float | None = None,
    ) -> None:
        super().__init__(
            archive,
            split,
            clip_length,
            stride=stride,
            crop=crop,
            augment=augment,
            rate_scale=rate_scale,
        )
        named = itertools.groupby(self.windows, key=lambda window: window.name)
        scenes = [list(windows) for _, windows in named]
        if images is not None and is_training:
            _check_length(archive, scenes, images)
        self.scenes = [run for scene in scenes for run in _runs(scene, images, is_training)]
        self._has_motion = stride == 1 and all(
            archive.facts(scene[0].name).has_motion for scene in scenes
        )

    @property
    def served(self) -> int:
        """How many images are in a sample."""
        return len({(window.name, window.image) for scene in self.scenes for window in scene})

    @property
    def names(self) -> list[str]:
        """The recording of each sample."""
        return [scene[0].name for scene in self.scenes]

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, key: int | SampleKey) -> dict[str, Any]:
        """Read one scene; an int takes whole frames, a key cuts and turns them by its seed."""
        index, seed = key if isinstance(key, SampleKey) else (key, None)
        scene = self.scenes[index]
        first, planes = scene[0], np.array([window.plane for window in scene])
        rows, columns, mode = self._cut(first, seed)
        start, _ = centred_window(int(planes.min()), self.clip_length)
        _, stop = centred_window(int(planes.max()), self.clip_length)
        images = [grey(self.archive.image(first.name, window.image)) for window in scene]
        sample = {
            "packed": self._read(first, start, stop, rows, columns),
            "width": columns.stop - columns.start,
            "mode": mode,
            "images": np.stack([image[None, rows, columns] for image in images]),
            "planes": planes - start,
            "start": start,
            "rate_scale": np.float32(first.rate_scale),
            "name": first.name,
        }
        if self._has_motion:
            numbers = [window.image for window in scene]
            sample["flow"] = self._motion(first.name, numbers, rows, columns)
        return sample

    def _motion(
        self, name: str, numbers: list[int], rows: slice, columns: slice
    ) -> NDArray[np.float16]:
        """Read the motion from each of some images to the one before it."""
        read = self.archive.image_motion
        return np.stack([read(name, number, rows=rows, columns=columns) for number in numbers])


def _runs(scene: list[Window], images: int | None, is_training: bool) -> list[list[Window]]:
    """Return the samples of one recording."""
    if images is None or len(scene) <= images:
        return [scene]
    step = 1 if is_training else max(1, images - 1)
    return [scene[first : first + images] for first in range(0, len(scene) - images + 1, step)]


def _check_length(archive: SpikeArchive, scenes: list[list[Window]], images: int) -> None:
    for scene in scenes:
        if len(scene) < images:
            raise ConfigError(
                f"images: {images} are asked for in a sample, and recording {scene[0].name!r} of "
                f"{archive.path} has {len(scene)} whose clips fit; ask for fewer"
            )


class SceneDataModule(ReconstructionDataModule):
    """Serve whole scenes, or runs of their images: recordings with what belongs to them.

    A training sample is a recording with all its images, or with ``images`` of them that follow
    one another, cut and turned as one; an epoch draws scenes or runs, not images, and those of one
    batch have equally many planes and images. Runs to train on begin at every image. Runs to
    validate and test with share their end image with the next one, so that each two neighbouring
    images are evaluated together once. Whether validation, test and prediction see scenes too is
    the task's choice: a method that reconstructs is measured on single clips, one that codes a
    video on all of it.

    Where an archive has the motion from each image to the one before it, batches have it too; that
    of the first image leads out of the sample.

    Source of the regime: Fan et al., *Spatio-Temporal Interactive Learning for Efficient Image
    Reconstruction of Spiking Cameras*, NeurIPS 2024.

    Args:
        archive: The archive's file.
        clip_length: Planes of the window around one image.
        stride: Take every ``stride``-th image of a recording; above 1 no motion is served.
        full_sequence_splits: Splits served as whole scenes; other splits give single clips.
        images_per_sample: Images of one sample; None takes all of a recording.
        eval_images_per_sample: The same in validation and test, where it differs; 0 takes all of
            a recording.
        loading: See :class:`ArchiveDataModule`.

    Raises:
        ConfigError: If ``full_sequence_splits`` names no split, ``images_per_sample`` is below 1,
            ``eval_images_per_sample`` below 0, or ``flow_offset`` is given, which only
            :class:`ReconstructionDataModule` serves.

    Example:
        >>> from pathlib import Path
        >>> from spike_zoo.testing import tiny_archive
        >>> archive = tiny_archive(Path("scenes.h5"), planes=121, stride=20)
        >>> data = SceneDataModule(str(archive), crop=32, batch_size=2, seed=0)
        >>> next(iter(data.train_dataloader()))["images"].shape
        torch.Size([2, 3, 1, 32, 32])
    """

    def __init__(
        self,
        archive: str = DEFAULT_ARCHIVE,
        clip_length: int = 61,
        stride: int = 1,
        full_sequence_splits: Sequence[str] = ("train",),
        images_per_sample: int | None = None,
        eval_images_per_sample: int | None = None,
        **loading: Any,
    ) -> None:
        super().__init__(archive, clip_length, stride, **loading)
        if self.flow_offset:
            raise ConfigError(
                "flow_offset: scenes have the flow from image to image, not to other planes; use "
                "ReconstructionDataModule, which serves it with single clips"
            )
        if unknown := [split for split in full_sequence_splits if split not in self.named_splits]:
            raise ConfigError(
                f"full_sequence_splits: {unknown[0]!r} is not a split; expected one of "
                f"{', '.join(self.named_splits)}"
            )
        check_at_least({"images_per_sample": (images_per_sample, 1)})
        check_at_least({"eval_images_per_sample": (eval_images_per_sample, 0)})
        self.full_sequence_splits = tuple(full_sequence_splits)
        self.images_per_sample = images_per_sample
        self.eval_images_per_sample = (
            images_per_sample if eval_images_per_sample is None else eval_images_per_sample or None
        )

    def make_predicted(self) -> ReconstructionWindows:
        """Return the scenes that are tested, or clips, whether there are images of them or not."""
        return (
            self.make_samples("test")
            if "test" in self.full_sequence_splits
            else self.clips_to_predict()
        )

    def make_samples(self, split: Split) -> ReconstructionWindows:
        """Return the scenes of a split that is served whole, the clips of another."""
        if split not in self.full_sequence_splits:
            return super().make_samples(split)
        is_training = split == "train"
        return SceneWindows(
            self.archive,
            self.split_name(split),
            self.clip_length,
            images=self.images_per_sample if is_training else self.eval_images_per_sample,
            is_training=is_training,
            stride=self.stride,
            crop=self.crop if is_training else None,
            augment=self.augment and is_training,
            rate_scale=self.rate_scale,
        )

    def on_after_batch_transfer(self, batch: Mapping[str, Any], dataloader_idx: int) -> Any:  # noqa: ANN401  (the task's batch)
        """Unpack and turn scenes or clips, on the device; scenes as bytes."""
        return unpacked(batch, torch.uint8 if "images" in batch else self.spike_dtype)
