"""Modules as people outside this package write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from spike_zoo.methods.stir import STIRModule
from spike_zoo.tasks import ReconstructionModule

if TYPE_CHECKING:
    from spike_zoo.batch import ReconstructionBatch


class OneCycleSTIR(STIRModule):
    """Asks for the run's length where Lightning's documentation does."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-3)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


class Doubled(nn.Module):
    """A network of which some call the parts one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = _Block(9, 8)
        self.last = _Block(8, 1)

    def forward(self, spikes: Tensor) -> Tensor:
        return self.last(self.first(spikes))


class _Block(nn.Module):
    def __init__(self, channels: int, made: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, made, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).sigmoid()


class DoubledModule(ReconstructionModule):
    """Trains by the network's parts, predicts by the whole."""

    clip_length = 9

    def __init__(self, learning_rate: float = 1e-2, lpips: str = "off") -> None:
        super().__init__(lpips=lpips)
        self.save_hyperparameters()
        self.network = nn.Sequential(Doubled())

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        return self.network(spikes)

    def training_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        doubled = cast("Doubled", self.network[0])
        loss = (doubled.last(doubled.first(batch["spikes"])) - batch["image"]).square().mean()
        self.log("train/total", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams["learning_rate"])
