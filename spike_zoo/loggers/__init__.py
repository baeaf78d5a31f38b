"""Lightning loggers for CSV files and W&B."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo._lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.loggers.csv import AppendingCSVLogger
    from spike_zoo.loggers.wandb import SafeWandbLogger, finish_wandb

__all__ = ["AppendingCSVLogger", "SafeWandbLogger", "finish_wandb"]

__getattr__ = lazy_attributes(
    __name__,
    {"AppendingCSVLogger": "csv", "SafeWandbLogger": "wandb", "finish_wandb": "wandb"},
)
