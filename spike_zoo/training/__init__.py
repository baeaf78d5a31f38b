"""Runs of Lightning: configuration, callbacks, loggers, records and resuming."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.training.cost import CostMeter
    from spike_zoo.training.csv_logger import AppendingCSVLogger
    from spike_zoo.training.divergence import SkipDivergedUpdates
    from spike_zoo.training.evaluation import PerImageMetrics, PredictionFiles
    from spike_zoo.training.images import ConfusionPicture, FeatureMap, SampleImages, SampleVideo
    from spike_zoo.training.provenance import commit, config_hash, redact, versions
    from spike_zoo.training.result import RunResult, variant_and_profile
    from spike_zoo.training.wandb_logger import SafeWandbLogger, finish_wandb

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
    "SkipDivergedUpdates",
    "commit",
    "config_hash",
    "finish_wandb",
    "redact",
    "variant_and_profile",
    "versions",
]

__getattr__ = lazy_attributes(
    __name__,
    cost="CostMeter",
    csv_logger="AppendingCSVLogger",
    divergence="SkipDivergedUpdates",
    evaluation="PerImageMetrics PredictionFiles",
    images="ConfusionPicture FeatureMap SampleImages SampleVideo",
    provenance="commit config_hash redact versions",
    result="RunResult variant_and_profile",
    wandb_logger="SafeWandbLogger finish_wandb",
)
