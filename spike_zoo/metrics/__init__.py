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
from spike_zoo.metrics.ssdm import psnr_official, ssim_official

__all__ = [
    "LPIPS",
    "PROTOCOLS",
    "MeanPerImage",
    "lpips_network",
    "psnr",
    "psnr_official",
    "psnr_stir",
    "reconstruction_metrics",
    "ssim",
    "ssim_official",
    "ssim_stir",
    "ssim_uniform7",
]
