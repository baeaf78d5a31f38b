"""Tracking: records of runs, their pictures and costs, and where they come from."""

from spike_zoo.tracking.cost import CostMeter, count_macs
from spike_zoo.tracking.csv import AppendingCSVLogger
from spike_zoo.tracking.images import PredictionPictures, SampleImages
from spike_zoo.tracking.provenance import commit, config_hash, versions
from spike_zoo.tracking.result import RunResult, described_configs

__all__ = [
    "AppendingCSVLogger",
    "CostMeter",
    "PredictionPictures",
    "RunResult",
    "SampleImages",
    "commit",
    "config_hash",
    "count_macs",
    "described_configs",
    "versions",
]
