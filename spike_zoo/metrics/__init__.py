"""Metrics of image quality, optical flow, recognition and rate.

Names load on first use, so that tables can read facts about metrics without importing torch.
"""

from typing import TYPE_CHECKING

from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.metrics.image import psnr, ssim
    from spike_zoo.metrics.perceptual import LPIPS
    from spike_zoo.metrics.published import psnr_official, psnr_stir, ssim_official, ssim_stir
    from spike_zoo.metrics.rate import bd_rate

__all__ = [
    "LPIPS",
    "bd_rate",
    "psnr",
    "psnr_official",
    "psnr_stir",
    "ssim",
    "ssim_official",
    "ssim_stir",
]

__getattr__, __dir__ = lazy_attributes(__name__)
