"""Random batches of every stage."""

from typing import Any

import torch

from spike_zoo.methods.sci import SCICodecModule
from spike_zoo.testing import clip_batch

IMAGES = {"motion": 2, "codec": 3, "joint": 5}


def batch_of(module: SCICodecModule, height: int = 32, width: int = 32) -> Any:
    """Return a batch of two samples for a stage."""
    if module.stage not in IMAGES:
        return clip_batch(module.clip_length, height, width)
    return scene_batch(IMAGES[module.stage], height, width)


def one_scene(images: int, height: int = 32, width: int = 32) -> Any:
    """Return the first scene of a batch of scenes."""
    return {name: value[:1] for name, value in scene_batch(images, height, width).items()}


def reversed_batch(batch: Any) -> Any:
    """Return the samples of a batch in reversed order."""
    return {
        name: value[::-1] if isinstance(value, list) else value.flip(0)
        for name, value in batch.items()
    }


def scene_batch(images: int, height: int = 32, width: int = 32) -> Any:
    """Return two scenes with images 7 planes apart and a motion of 1 pixel along both axes."""
    generator = torch.Generator().manual_seed(1)
    planes = 13 + 7 * (images - 1)
    spikes = torch.rand(2, planes, height, width, generator=generator) < 0.4
    motion = torch.full((2, images, 2, height, width), torch.nan)
    motion[:, 1:] = 1.0
    return {
        "spikes": spikes.to(torch.uint8),
        "images": torch.rand(2, images, 1, height, width, generator=generator),
        "planes": torch.arange(6, planes - 6, 7).repeat(2, 1),
        "start": torch.tensor([0, 0]),
        "flow": motion,
        "rate_scale": torch.full((2,), 0.6),
        "name": ["slow-1", "fast-2"],
    }
