"""The optimiser that every method trains with, so that all of them take its fastest form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from spike_zoo.nn.schedules import make_scheduler

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lightning import LightningModule
    from lightning.pytorch.utilities.types import OptimizerLRScheduler


def adam(
    parameters: Iterable[torch.nn.Parameter], learning_rate: float, weight_decay: float = 0.0
) -> torch.optim.Adam:
    """Return Adam with betas 0.9 and 0.999 that updates all weights in one pass over memory.

    PyTorch's default takes CPUs two to four times as long.
    """
    optimizer = torch.optim.Adam(
        parameters, lr=learning_rate, weight_decay=weight_decay, fused=True
    )
    # The trainer undoes the scale of float16 losses; else it would not clip gradients.
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
    """Return Adam with a learning rate that moves at every update, by the module's options.

    These are ``learning_rate``, ``schedule`` and, where it has them, ``weight_decay``, ``warmup``.

    Args:
        module: About to be fitted.
        parameters: What is trained.
        learning_rate: Replaces the option of that name.
        warmup: Of a module without that option.
        per_batch: See :func:`make_scheduler`.

    Raises:
        ConfigError: If the schedule is a fraction of a run without an end.
    """
    options = module.hparams
    rate = options["learning_rate"] if learning_rate is None else learning_rate
    optimizer = adam(parameters, rate, options.get("weight_decay", 0.0))
    warmup = options.get("warmup", warmup)
    scheduler = make_scheduler(
        optimizer, options["schedule"], module.trainer, per_batch, warmup=warmup
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
