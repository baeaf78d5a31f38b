"""A callback that interrupts a run by a signal."""

import os
import signal
from typing import Any, Literal

from lightning import Callback, LightningModule, Trainer
from torch.optim import Optimizer


class StopAfter(Callback):
    """Send this process a signal at a given update.

    Args:
        steps: The number of the training batch, counted from 1.
        number: The signal; SIGINT by default.
        moment: ``"before"`` the optimizer step, ``"after"`` the batch, or at the first batch of
            the ``"validation"`` after it.
    """

    def __init__(
        self,
        steps: int = 2,
        number: int = int(signal.SIGINT),
        moment: Literal["before", "after", "validation"] = "before",
    ) -> None:
        self.steps = steps
        self.number = number
        self.moment = moment
        self.batches = 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.batches += 1

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        self._send("before")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._send("after")

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._send("validation")

    def _send(self, moment: str) -> None:
        if self.batches == self.steps and moment == self.moment:
            self.batches += 1000  # the signal is sent once
            os.kill(os.getpid(), self.number)
