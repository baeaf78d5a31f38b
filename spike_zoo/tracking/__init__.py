"""Tracking: records of runs, their pictures and costs, and where they come from.

Names load on first use: tables read records without waiting for the libraries that train.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo._first_use import on_first_use

if TYPE_CHECKING:
    from spike_zoo.tracking.confusion import ConfusionPicture
    from spike_zoo.tracking.cost import CostMeter, count_macs
    from spike_zoo.tracking.csv import AppendingCSVLogger
    from spike_zoo.tracking.feature_map import FeatureMap
    from spike_zoo.tracking.images import SampleImages
    from spike_zoo.tracking.per_image import PerImageMetrics
    from spike_zoo.tracking.predictions import PredictionFiles
    from spike_zoo.tracking.private import without_secrets
    from spike_zoo.tracking.provenance import commit, config_hash, versions
    from spike_zoo.tracking.result import RunResult, described_configs
    from spike_zoo.tracking.video import SampleVideo
    from spike_zoo.tracking.wandb import SafeWandbLogger, finish_wandb

__all__ = [
    "AppendingCSVLogger",
    "ConfusionPicture",
    "CostMeter",
    "FeatureMap",
    "PerImageMetrics",
    "PredictionFiles",
    "RunResult",
    "SafeWandbLogger",
    "SampleImages",
    "SampleVideo",
    "commit",
    "config_hash",
    "count_macs",
    "described_configs",
    "finish_wandb",
    "versions",
    "without_secrets",
]

_HOMES = {
    "AppendingCSVLogger": "csv",
    "ConfusionPicture": "confusion",
    "CostMeter": "cost",
    "FeatureMap": "feature_map",
    "PerImageMetrics": "per_image",
    "PredictionFiles": "predictions",
    "RunResult": "result",
    "SafeWandbLogger": "wandb",
    "SampleImages": "images",
    "SampleVideo": "video",
    "commit": "provenance",
    "config_hash": "provenance",
    "count_macs": "cost",
    "described_configs": "result",
    "finish_wandb": "wandb",
    "versions": "provenance",
    "without_secrets": "private",
}

__getattr__ = on_first_use(__name__, _HOMES)
