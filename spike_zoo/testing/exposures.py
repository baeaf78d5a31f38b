"""Small samples of deblurring: blurry images with consistent spikes of the exposure."""

from pathlib import Path

import numpy as np
import torch

from spike_zoo.simulation.camera.spike_camera import SpikeCamera
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.take import Take
from spike_zoo.tasks.batch import DeblurBatch
from spike_zoo.testing.patterns import archive_of, drifting_pattern

MARGIN, EXPOSURE = 20, 97
PLANES = EXPOSURE + 2 * MARGIN
RATE_SCALE = 0.9
TINT = (1.0, 0.7, 0.4)  # constant over pixels, so that the deblurring model holds exactly
GREY = (0.30, 0.59, 0.11)


def exposed_take(seed: int = 0, height: int = 32, width: int = 32, images: int = 3) -> Take:
    """Return a take of a drifting colour pattern, exposed over 97 of 137 planes.

    Args:
        seed: Seed of the pattern and of the camera.
        height: Rows of a plane.
        width: Columns of a plane; images have four times the height and width.
        images: Number of sharp images.
    """
    waves = drifting_pattern(PLANES // 4 + 1, 4 * height, 4 * width, seed)
    colour = waves.repeat(4, axis=0)[:PLANES, ..., None] * np.array(TINT, np.float32)
    small = colour.reshape(PLANES, height, 4, width, 4, 3).mean(axis=(2, 4))
    camera = SpikeCamera(gain=RATE_SCALE, generator=np.random.default_rng(seed))
    spikes = camera.expose((small @ np.array(GREY)).astype(np.float32))
    span = np.array([[MARGIN, MARGIN + EXPOSURE]])
    blur = colour[MARGIN : MARGIN + EXPOSURE].mean(axis=0, keepdims=True)
    index = np.linspace(MARGIN, MARGIN + EXPOSURE - 1, images).round().astype(np.int64)
    return Take(
        SpikeRecording.from_planes(spikes, rate_scale=camera.rate_scale, meta={"source": "p"}),
        images=np.rint(255 * colour[index]).astype(np.uint8),
        image_index=index,
        blur=np.rint(255 * blur).astype(np.uint8),
        blur_span=span,
    )


def exposure_archive(path: Path, height: int = 32, width: int = 32) -> Path:
    """Write an archive of exposures: four for training, one each for validation and testing."""
    return archive_of(path, lambda seed: exposed_take(seed, height, width))


def exposure_batch(*takes: Take) -> DeblurBatch:
    """Return takes of the same size as a batch."""
    images = [take.images for take in takes if take.images is not None]
    index = [take.image_index for take in takes if take.image_index is not None]
    blurs = [take.blur[0] for take in takes if take.blur is not None]
    spikes = [take.recording.read(0, len(take.recording)) for take in takes]
    scales = [take.recording.rate_scale or 1.0 for take in takes]
    return {
        "spikes": torch.from_numpy(np.stack(spikes)).float(),
        "blur": torch.from_numpy(np.stack(blurs)).permute(0, 3, 1, 2).float() / 255,
        "images": torch.from_numpy(np.stack(images)).permute(0, 1, 4, 2, 3).float() / 255,
        "planes": torch.from_numpy(np.stack(index)),
        "exposure": torch.tensor([[MARGIN, MARGIN + EXPOSURE]] * len(takes)),
        "rate_scale": torch.tensor(scales),
        "name": [f"take{number}" for number in range(len(takes))],
    }
