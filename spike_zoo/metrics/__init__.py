"""Metrics of image quality, optical flow, recognition and rate.

Names load on first use, so that tables can read facts about metrics without importing torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.metrics.collections import reconstruction_metrics
    from spike_zoo.metrics.facts import METRICS, MetricFacts
    from spike_zoo.metrics.image import MeanOfValues, MeanPerImage, psnr, ssim, ssim_uniform7
    from spike_zoo.metrics.perceptual import LPIPS, lpips_network
    from spike_zoo.metrics.published import (
        PROTOCOLS,
        Protocol,
        psnr_border10,
        psnr_official,
        psnr_stir,
        ssim_official,
        ssim_stir,
    )
    from spike_zoo.metrics.rate import (
        AccuracyDecrease,
        BDRate,
        accuracy_decrease,
        bd_rate,
        bit_saving,
        bpp,
        bpp_f,
    )
    from spike_zoo.metrics.recognition import class_by_class, recognition_metrics
    from spike_zoo.metrics.smoothness import (
        LaplacianNorms,
        frame_deviation,
        laplacian,
        laplacian_norms,
    )
    from spike_zoo.metrics.speeds import SPEEDS, speed_of

__all__ = [
    "LPIPS",
    "METRICS",
    "PROTOCOLS",
    "SPEEDS",
    "AccuracyDecrease",
    "BDRate",
    "LaplacianNorms",
    "MeanOfValues",
    "MeanPerImage",
    "MetricFacts",
    "Protocol",
    "accuracy_decrease",
    "bd_rate",
    "bit_saving",
    "bpp",
    "bpp_f",
    "class_by_class",
    "frame_deviation",
    "laplacian",
    "laplacian_norms",
    "lpips_network",
    "psnr",
    "psnr_border10",
    "psnr_official",
    "psnr_stir",
    "recognition_metrics",
    "reconstruction_metrics",
    "speed_of",
    "ssim",
    "ssim_official",
    "ssim_stir",
    "ssim_uniform7",
]

__getattr__ = lazy_attributes(
    __name__,
    collections="reconstruction_metrics",
    facts="METRICS MetricFacts",
    image="MeanOfValues MeanPerImage psnr ssim ssim_uniform7",
    perceptual="LPIPS lpips_network",
    published="PROTOCOLS Protocol psnr_border10 psnr_official psnr_stir ssim_official ssim_stir",
    rate="AccuracyDecrease BDRate accuracy_decrease bd_rate bit_saving bpp bpp_f",
    recognition="class_by_class recognition_metrics",
    smoothness="LaplacianNorms frame_deviation laplacian laplacian_norms",
    speeds="SPEEDS speed_of",
)
