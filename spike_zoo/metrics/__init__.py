"""Metrics: image quality per task, means over images.

Names load on first use: tables ask for facts about metrics without what it takes to measure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo._first_use import on_first_use

if TYPE_CHECKING:
    from spike_zoo.metrics.collections import reconstruction_metrics
    from spike_zoo.metrics.facts import METRICS, MetricFacts
    from spike_zoo.metrics.image import MeanOfValues, MeanPerImage, psnr, ssim, ssim_uniform7
    from spike_zoo.metrics.paces import PACES, pace_of
    from spike_zoo.metrics.perceptual import LPIPS, lpips_network
    from spike_zoo.metrics.published import (
        PROTOCOLS,
        Protocol,
        psnr_official,
        psnr_stir,
        ssim_official,
        ssim_stir,
    )

__all__ = [
    "LPIPS",
    "METRICS",
    "PACES",
    "PROTOCOLS",
    "MeanOfValues",
    "MeanPerImage",
    "MetricFacts",
    "Protocol",
    "lpips_network",
    "pace_of",
    "psnr",
    "psnr_official",
    "psnr_stir",
    "reconstruction_metrics",
    "ssim",
    "ssim_official",
    "ssim_stir",
    "ssim_uniform7",
]

_HOMES = {
    "LPIPS": "perceptual",
    "METRICS": "facts",
    "PACES": "paces",
    "PROTOCOLS": "published",
    "MeanOfValues": "image",
    "MeanPerImage": "image",
    "MetricFacts": "facts",
    "Protocol": "published",
    "lpips_network": "perceptual",
    "pace_of": "paces",
    "psnr": "image",
    "psnr_official": "published",
    "psnr_stir": "published",
    "reconstruction_metrics": "collections",
    "ssim": "image",
    "ssim_official": "published",
    "ssim_stir": "published",
    "ssim_uniform7": "image",
}

__getattr__ = on_first_use(__name__, _HOMES)
