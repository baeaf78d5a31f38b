"""Published evaluation protocols, for comparison with the numbers of papers.

Protocols differ from the usual metrics in the range of values, the windows or the value of a
perfect image.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import kornia
import torch
from torch import Tensor

from spike_zoo.metrics.image import Measure, psnr, ssim_uniform7
from spike_zoo.metrics.perceptual import LPIPS

_BORDER: Final = 10


def psnr_stir(images: Tensor, targets: Tensor) -> Tensor:
    """Return the PSNR of each image as in STIR's evaluation: on 0..255, infinite for no error.

    Shape:
        - images, targets: ``(B, C, H, W)`` in [0, 1].
        - Output: ``(B,)``, dB.

    Source: Fan et al., *Spatio-Temporal Interactive Learning for Efficient Image Reconstruction of
    Spiking Cameras*, NeurIPS 2024, released evaluation.
    """
    error = (255 * (images - targets)).double().square().mean(dim=(1, 2, 3))
    return 20 * torch.log10(255 / error.sqrt())


def ssim_stir(images: Tensor, targets: Tensor) -> Tensor:
    """Return the SSIM of each image as in STIR's evaluation.

    On 0..255 in float64, Gaussian window 11x11 with sigma 1.5, no padding.

    Shape:
        - images, targets: ``(B, C, H, W)`` in [0, 1].
        - Output: ``(B,)``.

    Source: Fan et al., *Spatio-Temporal Interactive Learning for Efficient Image Reconstruction of
    Spiking Cameras*, NeurIPS 2024, released evaluation.
    """
    x, y = 255 * images.double(), 255 * targets.double()
    similarity = kornia.metrics.ssim(x, y, window_size=11, max_val=255.0, padding="valid")
    return similarity.mean(dim=(1, 2, 3))


def psnr_border10(images: Tensor, targets: Tensor) -> Tensor:
    """Return the PSNR of each image over all channels, without 10 pixels at each border.

    Pixels near a border have fewer neighbours for demosaicking, and moving objects leave the
    sensor there first.

    Shape:
        - images, targets: ``(B, C, H, W)`` in [0, 1], larger than 20 x 20.
        - Output: ``(B,)``, dB.

    Raises:
        ValueError: If a side is not larger than 20 pixels.
    """
    if min(images.shape[-2:]) <= 2 * _BORDER:
        size = " x ".join(str(side) for side in images.shape[-2:])
        raise ValueError(f"images must be larger than 20 x 20 without their border, got {size}")
    inside = (..., slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    return psnr(images[inside], targets[inside])


def psnr_official(images: Tensor, targets: Tensor) -> Tensor:
    """Return the PSNR of each image as in S-SDM's evaluation, infinite for no error.

    Images are mapped to [-1, 1]. The data range is 2 for an image with any value below one half,
    which in practice gives the usual PSNR, and 1 otherwise, because scikit-image derives it from
    the first image.

    Shape:
        - images, targets: ``(B, C, H, W)`` in [0, 1].
        - Output: ``(B,)``, dB.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024, released evaluation.
    """
    x, y = _to_signed(images), _to_signed(targets)
    data_range = torch.where((x < 0).flatten(1).any(dim=1), 2.0, 1.0)
    error = (x - y).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(data_range**2 / error)


def ssim_official(images: Tensor, targets: Tensor) -> Tensor:
    """Return the SSIM of each image as in S-SDM's evaluation.

    Uniform 7x7 window and data range 2 on images mapped to [-1, 1]. The shift changes the
    luminance term, so the value differs from that of the images in [0, 1].

    Shape:
        - images, targets: ``(B, C, H, W)`` in [0, 1].
        - Output: ``(B,)``.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024, released evaluation.
    """
    return ssim_uniform7(_to_signed(images), _to_signed(targets), data_range=2.0)


@dataclass(frozen=True)
class Protocol:
    """Metrics of one published evaluation."""

    source: str  #: publication of the protocol
    measures: Mapping[str, Measure]  #: name of a metric -> its measure
    #: name of a metric -> function that builds its measure from the file of LPIPS's backbone
    perceptual: Mapping[str, Callable[[str | Path], Measure]] = field(default_factory=dict)


PROTOCOLS: Final[dict[str, Protocol]] = {
    "ssdm": Protocol(
        "Chen et al., SpikeReveal, NeurIPS 2024, released evaluation",
        {"psnr_official": psnr_official, "ssim_official": ssim_official},
    ),
    "stir": Protocol(
        "Fan et al., Spatio-Temporal Interactive Learning for Efficient Image Reconstruction of "
        "Spiking Cameras, NeurIPS 2024, released evaluation",
        {"psnr_stir": psnr_stir, "ssim_stir": ssim_stir},
        {"lpips_stir": partial(LPIPS, rescale=False)},
    ),
    "uniform7": Protocol(
        "scikit-image, structural_similarity with its defaults", {"ssim_uniform7": ssim_uniform7}
    ),
    "border10": Protocol("PSNR without a border of 10 pixels", {"psnr_border10": psnr_border10}),
}


def _to_signed(images: Tensor) -> Tensor:
    """Map images from [0, 1] to [-1, 1], clamped, float64."""
    return (2 * images.double() - 1).clamp(-1, 1)
