"""Noisy images for tests of metrics."""

import torch
from torch import Tensor


def noisy_pair() -> tuple[Tensor, Tensor]:
    """Return three smooth images with noise of deviation 0.01, 0.05 and 0.2, and without noise."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.rand(3, 1, 40, 52, generator=generator)
    targets = torch.nn.functional.avg_pool2d(targets, 3, 1, 1)
    noise = torch.randn(3, 1, 40, 52, generator=generator)
    strength = torch.tensor([0.01, 0.05, 0.2]).view(-1, 1, 1, 1)
    return (targets + strength * noise).clamp(0, 1), targets
