"""Batches of every stage, of drifting patterns whose motion is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from spike_zoo.testing import clip_batch

if TYPE_CHECKING:
    from spike_zoo.methods.sci import SCICodecModule


def batch_of(module: SCICodecModule, height: int = 32, width: int = 32) -> Any:
    """Return two samples of what a stage takes."""
    if module.stage != "motion":
        return clip_batch(module.clip_length, height, width)
    spikes = torch.rand(2, 20, height, width, generator=torch.Generator().manual_seed(1)) < 0.4
    motion = torch.full((2, 2, 2, height, width), torch.nan)
    motion[:, 1] = 1.0
    return {
        "spikes": spikes.to(torch.uint8),
        "images": torch.zeros(2, 2, 1, height, width),
        "planes": torch.tensor([[6, 13], [6, 13]]),
        "start": torch.tensor([0, 0]),
        "motion": motion,
        "rate_scale": torch.full((2,), 0.6),
        "name": ["slow-1", "fast-2"],
    }
