"""Modules as people outside this package write them."""

from __future__ import annotations

from typing import Any

import torch

from spike_zoo.methods.stir import STIRModule


class OneCycleSTIR(STIRModule):
    """Asks for the run's length where Lightning's documentation does."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-3)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]
