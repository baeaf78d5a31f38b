"""Lightning callbacks: images, video, per-image metrics, costs, checkpoints, stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo._first_use import on_first_use

if TYPE_CHECKING:
    from spike_zoo.callbacks.confusion import ConfusionPicture
    from spike_zoo.callbacks.cost import CostMeter, count_macs
    from spike_zoo.callbacks.divergence import SkipDivergedUpdates
    from spike_zoo.callbacks.feature_map import FeatureMap
    from spike_zoo.callbacks.images import SampleImages
    from spike_zoo.callbacks.per_image import PerImageMetrics
    from spike_zoo.callbacks.predictions import PredictionFiles
    from spike_zoo.callbacks.video import SampleVideo

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

__getattr__ = on_first_use(
    __name__,
    {
        "ConfusionPicture": "confusion",
        "CostMeter": "cost",
        "FeatureMap": "feature_map",
        "PerImageMetrics": "per_image",
        "PredictionFiles": "predictions",
        "SampleImages": "images",
        "SampleVideo": "video",
        "SkipDivergedUpdates": "divergence",
        "count_macs": "cost",
    },
)
