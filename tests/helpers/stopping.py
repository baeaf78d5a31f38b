"""People and machines that stop a run."""

from __future__ import annotations

import os
import signal
from typing import Any, Literal

from lightning import Callback, LightningModule, Trainer
from torch.optim import Optimizer


class StopAfter(Callback):
    """Send this process a signal while some update is made.

    Args:
        steps: The update, counted from 1; of every stage's own batches where it makes several.
        number: The signal; Ctrl-C by default.
        moment: ``"before"`` the weights change, ``"after"`` the whole batch, or during
            ``"validation"`` that follows so many batches.
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
            self.batches += 1000  # once
            os.kill(os.getpid(), self.number)
