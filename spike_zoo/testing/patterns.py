"""Small recordings, archives and batches of drifting patterns with ground truth."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from spike_zoo.archive.build import build_archive
from spike_zoo.data.batches import unpacked
from spike_zoo.simulation.camera.spike_camera import SpikeCamera
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.take import Take
from spike_zoo.tasks.batch import LabelledBatch, ReconstructionBatch


def drifting_pattern(planes: int, height: int, width: int, seed: int) -> NDArray[np.float32]:
    """Return the luminance of three drifting sine waves, ``(T, H, W)`` in [0, 1].

    The phases change by at most 0.3 rad per plane.
    """
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    time = np.arange(planes, dtype=np.float32)[:, None, None]
    pattern = np.zeros((planes, height, width), dtype=np.float32)
    for _ in range(3):
        across, down = generator.uniform(-0.12, 0.12, 2)
        phase, speed = generator.uniform(0, 2 * np.pi), generator.uniform(-0.3, 0.3)
        angle = 2 * np.pi * (down * rows + across * columns) + phase
        pattern += np.sin(angle + speed * time)
    return np.clip(0.5 + pattern / 6, 0, 1)


def pattern_take(
    seed: int, planes: int = 81, height: int = 40, width: int = 48, stride: int = 0
) -> Take:
    """Return a take of a drifting pattern, recorded by a noiseless camera.

    Ground truth is an image at the middle plane; with a stride also at all planes that are a
    multiple of the stride away from it.
    """
    luminance = drifting_pattern(planes, height, width, seed)
    camera = SpikeCamera(generator=np.random.default_rng(seed))
    recording = SpikeRecording.from_planes(
        camera.expose(luminance), rate_scale=camera.rate_scale, meta={"source": "pattern"}
    )
    middle = planes // 2
    index = np.arange(middle % stride, planes, stride) if stride else np.array([middle])
    images = np.rint(255 * luminance[index]).astype(np.uint8)
    return Take(recording, images=images, image_index=index)


def tiny_archive(
    path: Path, planes: int = 81, height: int = 40, width: int = 48, stride: int = 0
) -> Path:
    """Write an archive of drifting patterns: 4 for training, 1 each for validation and testing."""
    return archive_of(path, lambda seed: pattern_take(seed, planes, height, width, stride))


def archive_of(path: Path, take: Callable[[int], Take], held_out: int = 1) -> Path:
    """Write an archive of four training takes, and ``held_out`` validation and test takes each.

    ``take`` returns a take from a seed.
    """
    counts = {"train": 4, "val": held_out, "test": held_out}
    names = {split: [f"{split}-{n}" for n in range(count)] for split, count in counts.items()}
    all_names = [name for split in names.values() for name in split]
    jobs = {name: functools.partial(take, seed) for seed, name in enumerate(all_names)}
    return build_archive(path, jobs, splits=names)


def clip_batch(length: int, height: int = 40, width: int = 48) -> ReconstructionBatch:
    """Return a batch of two clips of drifting patterns with their middle images."""
    takes = [pattern_take(seed, length, height, width) for seed in (0, 1)]
    images = [take.images for take in takes if take.images is not None]
    return unpacked(
        {
            "packed": torch.stack([torch.from_numpy(take.recording.packed) for take in takes]),
            "width": torch.tensor([width] * 2),
            "mode": torch.zeros(2, dtype=torch.int64),
            "image": torch.from_numpy(np.stack(images)),
            "rate_scale": torch.tensor([take.recording.rate_scale for take in takes]),
            "plane": torch.tensor([length // 2] * 2),
            "name": ["zero", "one"],
        }
    )


def labelled_take(
    seed: int, planes: int = 41, height: int = 40, width: int = 48, classes: int = 2
) -> Take:
    """Return a labelled take of drifting stripes, recorded by a noiseless camera.

    The class is ``seed % classes`` and determines the direction of the stripes. Phase and speed are
    random.
    """
    label, generator = seed % classes, np.random.default_rng(seed)
    angle = np.pi * label / classes
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    across = np.cos(angle) * columns + np.sin(angle) * rows
    time = np.arange(planes, dtype=np.float32)[:, None, None]
    drift = generator.uniform(-0.3, 0.3) * time + generator.uniform(0, 2 * np.pi)
    luminance = (0.5 + 0.5 * np.sin(2 * np.pi * across / 8 + drift)).astype(np.float32)
    camera = SpikeCamera(generator=generator)
    recording = SpikeRecording.from_planes(
        camera.expose(luminance), rate_scale=camera.rate_scale, meta={"source": "stripes"}
    )
    return Take(recording, label=label)


def labelled_archive(
    path: Path, planes: int = 41, height: int = 40, width: int = 48, classes: int = 2
) -> Path:
    """Write an archive of labelled stripes: 4 for training, 2 each for validation and testing."""
    return archive_of(path, lambda seed: labelled_take(seed, planes, height, width, classes), 2)


def labelled_batch(
    length: int, height: int = 40, width: int = 48, classes: int = 2
) -> LabelledBatch:
    """Return a batch of two clips of stripes, of the first two classes."""
    takes = [labelled_take(seed, length, height, width, classes) for seed in (0, 1)]
    return {
        "spikes": torch.stack([take.recording.to_tensor() for take in takes]),
        "label": torch.tensor([take.label for take in takes]),
        "rate_scale": torch.tensor([take.recording.rate_scale for take in takes]),
        "plane": torch.tensor([length // 2] * 2),
        "name": ["zero", "one"],
    }
