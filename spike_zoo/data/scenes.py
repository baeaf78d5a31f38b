"""Data module of image sequences: all or consecutive images of a recording with their spikes."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.data.base import DEFAULT_ARCHIVE, check_at_least
from spike_zoo.data.batches import unpacked
from spike_zoo.data.reconstruction import ReconstructionDataModule
from spike_zoo.data.sampling import SampleKey
from spike_zoo.data.windows import ReconstructionWindows, Window
from spike_zoo.errors import ConfigError
from spike_zoo.spikes.take import grey
from spike_zoo.spikes.windows import centred_window
from spike_zoo.tasks.batch import Split


class SceneWindows(ReconstructionWindows):
    """Sequences of images of the recordings of one split, each with the spikes around them.

    A sequence contains all images of a recording whose window lies inside it, or a number of
    consecutive ones. The flow from each image to the previous one is included if all recordings
    have it and ``stride`` is 1.

    Args:
        archive: The archive.
        split: Name of the split in the archive.
        clip_length: Planes of the window around one image.
        images: Images of one sequence; None selects all of a recording.
        is_training: Start a sequence at every image. Otherwise a sequence starts with the last
            image of the previous one, so that each pair of neighbouring images occurs once, and a
            shorter rest is left out, unless the whole recording is shorter than a sequence.
        stride: Select every ``stride``-th image of a recording.
        options: Arguments of :class:`ReconstructionWindows`; crop and turn are the same for all
            images of a sequence.

    Raises:
        ConfigError: If the planes of a recording are smaller than the crop, images and planes
            differ in size, or a training recording has fewer images than a sequence.
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
        **options: Any,
    ) -> None:
        super().__init__(archive, split, clip_length, stride=stride, **options)
        named = itertools.groupby(self.windows, key=lambda window: window.name)
        scenes = [list(windows) for _, windows in named]
        if images is not None and is_training:
            _check_length(archive, scenes, images)
        self.scenes = [run for scene in scenes for run in _runs(scene, images, is_training)]
        self._has_flow = stride == 1 and all(
            archive.facts(scene[0].name).has_flow for scene in scenes
        )

    @property
    def used(self) -> int:
        """Number of images that are part of a sample."""
        return len({(window.name, window.image) for scene in self.scenes for window in scene})

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, key: int | SampleKey) -> dict[str, Any]:
        """Read one sequence: uncropped for an int, cropped and turned by the seed of a key."""
        index, seed = key if isinstance(key, SampleKey) else (key, None)
        scene = self.scenes[index]
        first, planes = scene[0], np.array([window.plane for window in scene])
        rows, columns, mode = self._cut(first, seed)
        start, _ = centred_window(int(planes.min()), self.clip_length)
        _, stop = centred_window(int(planes.max()), self.clip_length)
        area = {"rows": rows, "columns": columns}
        images = [grey(self.archive.image(first.name, window.image, **area)) for window in scene]
        sample = {
            "packed": self._read(first, start, stop, rows, columns),
            "width": columns.stop - columns.start,
            "mode": mode,
            "images": np.stack(images)[:, None],
            "planes": planes - start,
            "start": start,
            "rate_scale": np.float32(first.rate_scale),
            "name": first.name,
        }
        if self._has_flow:
            numbers = [window.image for window in scene]
            sample["flow"] = self._flow(first.name, numbers, rows, columns)
        return sample

    def _flow(
        self, name: str, numbers: list[int], rows: slice, columns: slice
    ) -> NDArray[np.float16]:
        read = self.archive.image_motion
        return np.stack([read(name, number, rows=rows, columns=columns) for number in numbers])


def _runs(scene: list[Window], images: int | None, is_training: bool) -> list[list[Window]]:
    """Return the sequences of one recording."""
    if images is None or len(scene) <= images:
        return [scene]
    step = 1 if is_training else max(1, images - 1)
    return [scene[first : first + images] for first in range(0, len(scene) - images + 1, step)]


def _check_length(archive: SpikeArchive, scenes: list[list[Window]], images: int) -> None:
    for scene in scenes:
        if len(scene) < images:
            raise ConfigError(
                f"images_per_sample: {images} images per sample, but recording {scene[0].name!r} "
                f"of {archive.path} has only {len(scene)} whose clips fit; use a smaller number"
            )


class SceneDataModule(ReconstructionDataModule):
    """Load sequences of images with their spikes, or single clips for some splits.

    A training sample contains all images of a recording, or ``images_per_sample`` consecutive ones,
    with the same crop and mode. An epoch draws sequences, not images. The sequences of a batch must
    have equally many planes and images. Training sequences start at every image. Sequences in
    validation and test share their last image with the next sequence, so that each pair of
    neighbouring images is evaluated once. ``full_sequence_splits`` selects the splits with
    sequences: reconstruction is evaluated on single clips, video coding on whole recordings.

    If an archive has the flow from each image to the previous one, batches include it. The flow of
    the first image leads out of the sample.

    Source of this training: Fan et al., *Spatio-Temporal Interactive Learning for Efficient Image
    Reconstruction of Spiking Cameras*, NeurIPS 2024.

    Args:
        archive: The archive's file, or several, see :class:`ArchiveDataModule`.
        clip_length: Planes of the window around one image.
        stride: Select every ``stride``-th image of a recording; above 1, no flow is included.
        full_sequence_splits: Splits with sequences; other splits have single clips.
        images_per_sample: Images of one sample; None selects all of a recording.
        eval_images_per_sample: Images of one sample in validation and test; 0 selects all of a
            recording, None uses ``images_per_sample``.
        loading: Further arguments of :class:`ReconstructionDataModule`.

    Raises:
        ConfigError: If ``full_sequence_splits`` contains an unknown split, ``images_per_sample`` is
            below 1, ``eval_images_per_sample`` below 0, or ``colour``, ``flow_offset`` or
            ``targets`` is set, which only :class:`ReconstructionDataModule` supports.

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
        archive: list[str] | str = DEFAULT_ARCHIVE,
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
                "ReconstructionDataModule, which includes it with single clips"
            )
        if self.colour:
            raise ConfigError("colour: scenes are grey; use ReconstructionDataModule")
        if self.targets is not None:
            raise ConfigError("targets: scenes need images; use ReconstructionDataModule")
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
        """Return the sequences of the test, or clips with or without ground-truth images."""
        return (
            self.make_samples("test")
            if "test" in self.full_sequence_splits
            else self.clips_to_predict()
        )

    def make_samples(self, split: Split) -> ReconstructionWindows:
        """Return sequences for the splits in ``full_sequence_splits``, clips for the others."""
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
        """Unpack and turn sequences or clips on the device; planes of sequences are uint8."""
        return unpacked(batch, torch.uint8 if "images" in batch else self.spike_dtype)
