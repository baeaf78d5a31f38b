"""Metrics: image quality per task, means over images.

Names load on first use: tables ask for facts about metrics without what it takes to measure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo._first_use import on_first_use

if TYPE_CHECKING:
    from spike_zoo.metrics.collections import reconstruction_metrics
    from spike_zoo.metrics.facts import METRICS, MetricFacts
    from spike_zoo.metrics.heldout import (
        HeldOut,
        count_log2,
        heldout_likelihood,
        pattern_probability,
    )
    from spike_zoo.metrics.image import (
        MeanOfValues,
        MeanPerImage,
        WindowedQuality,
        psnr,
        ssim,
        ssim_uniform7,
        windowed,
    )
    from spike_zoo.metrics.perceptual import LPIPS, lpips_network
    from spike_zoo.metrics.published import (
        PROTOCOLS,
        Protocol,
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
    "HeldOut",
    "LaplacianNorms",
    "MeanOfValues",
    "MeanPerImage",
    "MetricFacts",
    "Protocol",
    "WindowedQuality",
    "accuracy_decrease",
    "bd_rate",
    "bit_saving",
    "bpp",
    "bpp_f",
    "class_by_class",
    "count_log2",
    "frame_deviation",
    "heldout_likelihood",
    "laplacian",
    "laplacian_norms",
    "lpips_network",
    "pattern_probability",
    "psnr",
    "psnr_official",
    "psnr_stir",
    "recognition_metrics",
    "reconstruction_metrics",
    "speed_of",
    "ssim",
    "ssim_official",
    "ssim_stir",
    "ssim_uniform7",
    "windowed",
]

_HOMES = {
    "LPIPS": "perceptual",
    "METRICS": "facts",
    "SPEEDS": "speeds",
    "PROTOCOLS": "published",
    "AccuracyDecrease": "rate",
    "BDRate": "rate",
    "HeldOut": "heldout",
    "count_log2": "heldout",
    "heldout_likelihood": "heldout",
    "pattern_probability": "heldout",
    "LaplacianNorms": "smoothness",
    "MeanOfValues": "image",
    "MeanPerImage": "image",
    "MetricFacts": "facts",
    "Protocol": "published",
    "WindowedQuality": "image",
    "accuracy_decrease": "rate",
    "bd_rate": "rate",
    "bit_saving": "rate",
    "bpp": "rate",
    "bpp_f": "rate",
    "class_by_class": "recognition",
    "frame_deviation": "smoothness",
    "laplacian": "smoothness",
    "laplacian_norms": "smoothness",
    "lpips_network": "perceptual",
    "speed_of": "speeds",
    "psnr": "image",
    "psnr_official": "published",
    "psnr_stir": "published",
    "recognition_metrics": "recognition",
    "reconstruction_metrics": "collections",
    "ssim": "image",
    "ssim_official": "published",
    "ssim_stir": "published",
    "ssim_uniform7": "image",
    "windowed": "image",
}

__getattr__ = on_first_use(__name__, _HOMES)
