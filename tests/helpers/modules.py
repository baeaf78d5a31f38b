"""Modules like those of external users."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from spike_zoo.methods.stir import STIRModule
from spike_zoo.tasks import ClassificationModule, ReconstructionModule
from spike_zoo.tasks.batch import LabelledBatch, ReconstructionBatch


class OneCycleSTIR(STIRModule):
    """STIR with a schedule from ``trainer.estimated_stepping_batches``, as in Lightning's docs."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-3)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


class PlateauSTIR(STIRModule):
    """STIR with a schedule that monitors a metric."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-3)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        schedules = {"scheduler": schedule, "monitor": "val/psnr"}
        return {"optimizer": optimizer, "lr_scheduler": schedules}


class Doubled(nn.Module):
    """A network of two parts that can be called separately."""

    def __init__(self) -> None:
        super().__init__()
        self.first = _Block(9, 8)
        self.last = _Block(8, 1)

    def forward(self, spikes: Tensor) -> Tensor:
        return self.last(self.first(spikes))


class _Block(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).sigmoid()


class DoubledModule(ReconstructionModule):
    """A module that calls the parts of its network in training, and the network in prediction."""

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


class StripesModule(ClassificationModule):
    """Classify stripes by the mean absolute output of convolutions."""

    clip_length = 9

    def __init__(
        self, classes: int = 2, label_names: Sequence[str] = (), learning_rate: float = 2e-2
    ) -> None:
        super().__init__(classes=classes, label_names=label_names)
        self.save_hyperparameters()
        self.edges = nn.Conv2d(1, 8, 3, padding=1)
        self.head = nn.Linear(8, classes)

    def forward(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        return self.head(self._edge_features(spikes, rate_scale))

    def features(self, batch: LabelledBatch) -> Tensor:
        return self._edge_features(batch["spikes"], batch["rate_scale"])

    def _edge_features(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        light = spikes.mean(1, keepdim=True) / rate_scale[:, None, None, None]
        return self.edges(light).abs().mean(dim=(2, 3))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams["learning_rate"])
