"""How S-SDM's authors measure: on images moved to [-1, 1], with scikit-image's defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from spike_zoo.metrics.image import ssim_uniform7

if TYPE_CHECKING:
    from torch import Tensor


def psnr_official(images: Tensor, targets: Tensor) -> Tensor:
    """Return the PSNR of each image as S-SDM's evaluation does, infinite for no error.

    The data range is 2 for an image with any value below one half, which in practice is the usual
    PSNR, and 1 for the others, as scikit-image takes it from the first image.

    Shape:
        - images, targets: ``(B, C, H, W)`` in [0, 1].
        - Output: ``(B,)``, dB.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024, released evaluation.
    """
    x, y = _moved(images), _moved(targets)
    data_range = torch.where((x < 0).flatten(1).any(dim=1), 2.0, 1.0)
    error = (x - y).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(data_range**2 / error)


def ssim_official(images: Tensor, targets: Tensor) -> Tensor:
    """Return the SSIM of each image as S-SDM's evaluation does.

    A 7x7 mean window and data range 2; the shift to [-1, 1] changes the comparison of luminance,
    so the value is not that of the images in [0, 1].

    Shape:
        - images, targets: ``(B, C, H, W)`` in [0, 1].
        - Output: ``(B,)``.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024, released evaluation.
    """
    return ssim_uniform7(_moved(images), _moved(targets), data_range=2.0)


def _moved(images: Tensor) -> Tensor:
    return (2 * images.double() - 1).clamp(-1, 1)
