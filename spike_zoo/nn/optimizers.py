"""Fused Adam optimiser and its learning-rate schedule, shared by all methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from spike_zoo.nn.schedules import make_scheduler

if TYPE_CHECKING:
    from lightning import LightningModule
    from lightning.pytorch.utilities.types import OptimizerLRScheduler


def adam(
    parameters: Iterable[torch.nn.Parameter], learning_rate: float, weight_decay: float = 0.0
) -> torch.optim.Adam:
    """Return fused Adam with betas 0.9 and 0.999.

    On CPUs, PyTorch's default (not fused) takes two to four times as long.
    """
    optimizer = torch.optim.Adam(
        parameters, lr=learning_rate, weight_decay=weight_decay, fused=True
    )
    # So that the trainer unscales gradients of float16 training; otherwise it cannot clip them.
    optimizer._step_supports_amp_scaling = False
    return optimizer


def scheduled_adam(
    module: LightningModule,
    parameters: Iterable[torch.nn.Parameter],
    learning_rate: float | None = None,
    *,
    warmup: float = 0.0,
    per_batch: int = 1,
) -> OptimizerLRScheduler:
    """Return Adam with a learning-rate schedule per update, from a module's hyperparameters.

    Reads ``learning_rate`` and ``schedule``, and ``weight_decay`` and ``warmup`` if present.

    Args:
        module: Module of the fit.
        parameters: Trained parameters.
        learning_rate: Overrides the hyperparameter ``learning_rate``.
        warmup: Warm-up if the module has no such hyperparameter.
        per_batch: Updates per batch, see :func:`make_scheduler`.

    Raises:
        ConfigError: If the run has no finite length.
    """
    options = module.hparams
    rate = options["learning_rate"] if learning_rate is None else learning_rate
    optimizer = adam(parameters, rate, options.get("weight_decay", 0.0))
    warmup = options.get("warmup", warmup)
    scheduler = make_scheduler(
        optimizer, options["schedule"], module.trainer, per_batch, warmup=warmup
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
