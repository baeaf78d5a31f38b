"""A person who stops a run with Ctrl-C."""

from __future__ import annotations

from typing import Any

from lightning import Callback, LightningModule, Trainer


class StopAfter(Callback):
    """Interrupt the run when some steps are done.

    Args:
        steps: How many.
    """

    def __init__(self, steps: int = 2) -> None:
        self.steps = steps

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.steps:
            raise KeyboardInterrupt
