"""Metrics: image quality per task, means over images."""

from spike_zoo.metrics.collections import PROTOCOLS, reconstruction_metrics
from spike_zoo.metrics.image import (
    MeanPerImage,
    psnr,
    psnr_stir,
    ssim,
    ssim_stir,
    ssim_uniform7,
)
from spike_zoo.metrics.perceptual import LPIPS, lpips_network

__all__ = [
    "LPIPS",
    "PROTOCOLS",
    "MeanPerImage",
    "lpips_network",
    "psnr",
    "psnr_stir",
    "reconstruction_metrics",
    "ssim",
    "ssim_stir",
    "ssim_uniform7",
]
