"""Lightning callbacks: images, video, per-image metrics, costs, checkpoints, stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo._lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.callbacks.cost import CostMeter, count_macs
    from spike_zoo.callbacks.divergence import SkipDivergedUpdates
    from spike_zoo.callbacks.images import SampleImages, SampleVideo
    from spike_zoo.callbacks.per_image import PerImageMetrics
    from spike_zoo.callbacks.predictions import PredictionFiles
    from spike_zoo.callbacks.recognition import ConfusionPicture, FeatureMap

__all__ = [
    "ConfusionPicture",
    "CostMeter",
    "FeatureMap",
    "PerImageMetrics",
    "PredictionFiles",
    "SampleImages",
    "SampleVideo",
    "SkipDivergedUpdates",
    "count_macs",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "ConfusionPicture": "recognition",
        "CostMeter": "cost",
        "FeatureMap": "recognition",
        "PerImageMetrics": "per_image",
        "PredictionFiles": "predictions",
        "SampleImages": "images",
        "SampleVideo": "images",
        "SkipDivergedUpdates": "divergence",
        "count_macs": "cost",
    },
)
