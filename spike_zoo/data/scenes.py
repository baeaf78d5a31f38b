"""Whole scenes as samples: all images of a recording with the spikes around them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spike_zoo.data.base import DEFAULT_ARCHIVE, unpacked
from spike_zoo.data.reconstruction import ReconstructionDataModule, ReconstructionWindows
from spike_zoo.data.sampling import SampleKey
from spike_zoo.errors import ConfigError
from spike_zoo.spikes.take import grey
from spike_zoo.spikes.windows import centred_window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spike_zoo.archive import SpikeArchive
    from spike_zoo.batch import Split


class SceneWindows(ReconstructionWindows):
    """The recordings of one split, each with all images whose window lies inside it.

    Args:
        archive: Where the recordings are.
        split: Which of them.
        clip_length: Planes of the window around one image.
        stride: Take every ``stride``-th image of a recording.
        crop: Side of the square cut at random, None for whole frames.
        augment: Draw one of the eight flips and rotations; one cut and one turn for a whole scene.
        rate_scale: Of recordings that do not tell theirs; by default 1.

    Raises:
        ConfigError: If a frame is smaller than the crop, or images are not of the spikes' size.
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
        self.scenes = [list(windows) for _, windows in named]

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
        return {
            "packed": self._read(first, start, stop, rows, columns),
            "width": columns.stop - columns.start,
            "mode": mode,
            "images": np.stack([image[None, rows, columns] for image in images]),
            "planes": planes - start,
            "rate_scale": np.float32(first.rate_scale),
            "name": first.name,
        }


class SceneDataModule(ReconstructionDataModule):
    """Serve whole scenes: recordings with all their images.

    A training sample is a recording with all its images, cut and turned as one; an epoch draws
    recordings, not images, and scenes of one batch have equally many planes and images. Whether
    validation, test and prediction see whole scenes too is the task's choice: a method that
    reconstructs is measured on single clips, one that codes a video on all of it.

    Source of the regime: Fan et al., *Spatio-Temporal Interactive Learning for Efficient Image
    Reconstruction of Spiking Cameras*, NeurIPS 2024.

    Args:
        archive: The archive's file.
        clip_length: Planes of the window around one image.
        stride: Take every ``stride``-th image of a recording.
        whole: Splits that are served as scenes; single clips are in the others' batches.
        loading: See :class:`ArchiveDataModule`.

    Raises:
        ConfigError: If ``whole`` names no split.
    """

    def __init__(
        self,
        archive: str = DEFAULT_ARCHIVE,
        clip_length: int = 61,
        stride: int = 1,
        whole: Sequence[str] = ("train",),
        **loading: Any,
    ) -> None:
        super().__init__(archive, clip_length, stride, **loading)
        if unknown := [split for split in whole if split not in self.named_splits]:
            raise ConfigError(
                f"whole: {unknown[0]!r} is no split; they are {', '.join(self.named_splits)}"
            )
        self.whole = tuple(whole)

    def make_samples(self, split: Split) -> ReconstructionWindows:
        """Return the scenes of a split that is served whole, the clips of another."""
        if split not in self.whole:
            return super().make_samples(split)
        is_training = split == "train"
        return SceneWindows(
            self.archive,
            self.split_name(split),
            self.clip_length,
            stride=self.stride,
            crop=self.crop if is_training else None,
            augment=self.augment and is_training,
            rate_scale=self.rate_scale,
        )

    def on_after_batch_transfer(self, batch: Mapping[str, Any], dataloader_idx: int) -> Any:  # noqa: ANN401  (the task's batch)
        """Unpack and turn scenes or clips, on the device; scenes as bytes."""
        return unpacked(batch, torch.uint8 if "images" in batch else self.spike_dtype)
