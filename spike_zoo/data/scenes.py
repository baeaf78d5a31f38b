"""Whole scenes as samples: all images of a recording with the spikes around them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from spike_zoo.data.augment import apply_modes
from spike_zoo.data.base import unit_range, unpack_clips
from spike_zoo.data.reconstruction import ReconstructionDataModule, ReconstructionWindows
from spike_zoo.data.sampling import SampleKey
from spike_zoo.spikes.packing import unpack_tensor
from spike_zoo.spikes.take import grey
from spike_zoo.spikes.windows import centred_window

if TYPE_CHECKING:
    from spike_zoo.archive import SpikeArchive
    from spike_zoo.batch import PackedClip, PackedScene, ReconstructionBatch, SceneBatch, Split


class SceneWindows(ReconstructionWindows):
    """The recordings of one split, each with all images whose window lies inside it.

    Args:
        archive: Where the recordings are.
        split: Which of them.
        clip_length: Planes of the window around one image.
        stride: Take every ``stride``-th image of a recording.
        crop: Side of the square cut at random, None for whole frames.
        augment: Draw one of the eight flips and rotations; one cut and one turn for a whole scene.
        rate_scale: Of recordings that do not tell theirs; 1 where not given.

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
            "images": np.stack([image[rows, columns] for image in images]),
            "planes": planes - start,
            "rate_scale": np.float32(first.rate_scale),
            "name": first.name,
        }


class SceneDataModule(ReconstructionDataModule):
    """Serve whole scenes to train on; validation, test and prediction see single clips.

    A training sample is a recording with all its images, cut and turned as one; an epoch draws
    recordings, not images, and scenes of one batch have equally many planes and images.

    Source of the regime: Fan et al., *Spatio-Temporal Interactive Learning for Efficient Image
    Reconstruction of Spiking Cameras*, NeurIPS 2024.

    Args:
        archive: The archive's file.
        clip_length: Planes of the window around one image.
        stride: Take every ``stride``-th image of a recording.
        batch_size: Training scenes in one batch.
        eval_batch_size: Clips in one batch of validation, test and prediction; above 1 only where
            all recordings have one size.
        crop: Side in pixels of the square cut from training scenes; None keeps them whole.
        augment: Turn and flip training scenes at random.
        samples_per_epoch: Training scenes of one epoch; each once where not given.
        workers: Processes that read ahead; 0 reads in the training process.
        seed: Seed of order, crops and turns; that of ``--seed_everything`` where not given.
        test_split: Split of the archive to test on, for sets whose results are those of another.
        rate_scale: Spikes per plane at white of recordings that do not tell theirs; 1 with a
            warning where not given.
    """

    def make_samples(self, split: Split) -> ReconstructionWindows:
        """Return the scenes to train on, or the clips of another split."""
        if split != "train":
            return super().make_samples(split)
        return SceneWindows(
            self.archive,
            split,
            self.clip_length,
            stride=self.stride,
            crop=self.crop,
            augment=self.augment,
            rate_scale=self.rate_scale,
        )

    def on_after_batch_transfer(  # type: ignore[override]  # scenes besides clips
        self, batch: PackedClip | PackedScene, dataloader_idx: int
    ) -> ReconstructionBatch | SceneBatch:
        """Unpack and turn scenes or clips, on the device."""
        if "images" in batch:
            return unpack_scenes(cast("PackedScene", batch))
        return unpack_clips(batch)


def unpack_scenes(batch: PackedScene) -> SceneBatch:
    """Turn packed scenes into planes of 0 and 1 and images of [0, 1], turned as drawn."""
    spikes = unpack_tensor(batch["packed"], int(batch["width"][0]))
    images = apply_modes(unit_range(batch["images"]), batch["mode"])
    return {
        "spikes": apply_modes(spikes, batch["mode"]),
        "images": images[:, :, None],  # (B, N, H, W) -> (B, N, 1, H, W)
        "planes": batch["planes"],
        "rate_scale": batch["rate_scale"],
        "name": batch["name"],
    }
