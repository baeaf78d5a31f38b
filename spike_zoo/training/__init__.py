"""Runs of Lightning: configuration, callbacks, loggers, records and resuming."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.training.csv_logger import AppendingCSVLogger
    from spike_zoo.training.divergence import SkipDivergedUpdates
    from spike_zoo.training.evaluation import PerImageMetrics, PredictionFiles
    from spike_zoo.training.images import SampleImages, SampleVideo
    from spike_zoo.training.result import RunResult
    from spike_zoo.training.wandb_logger import SafeWandbLogger

__all__ = [
    "AppendingCSVLogger",
    "PerImageMetrics",
    "PredictionFiles",
    "RunResult",
    "SafeWandbLogger",
    "SampleImages",
    "SampleVideo",
    "SkipDivergedUpdates",
]

__getattr__, __dir__ = lazy_attributes(
    __name__,
    csv_logger="AppendingCSVLogger",
    divergence="SkipDivergedUpdates",
    evaluation="PerImageMetrics PredictionFiles",
    images="SampleImages SampleVideo",
    result="RunResult",
    wandb_logger="SafeWandbLogger",
)
