"""Playback with learned weights of planes."""

import torch
from torch import Tensor, nn

from spike_zoo.tasks import ReconstructionModule
from spike_zoo.tasks.batch import ReconstructionBatch


class SpikeMean(ReconstructionModule):
    """Reconstruct the middle plane of a clip by two convolutions."""

    clip_length = 21

    def __init__(self, channels: int = 16, learning_rate: float = 2e-3, lpips: str = "off") -> None:
        super().__init__(lpips=lpips)
        self.save_hyperparameters()
        first, last = (nn.Conv2d(*sizes, 3, padding=1) for sizes in ((21, channels), (channels, 1)))
        self.network = nn.Sequential(first, nn.PReLU(), last, nn.Sigmoid())

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, 21, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        return self.network(spikes)

    def training_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        """Return the mean absolute error and log it."""
        loss = (self(batch["spikes"], batch["rate_scale"]) - batch["image"]).abs().mean()
        self.log("train/l1", loss, batch_size=len(batch["spikes"]))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.hparams["learning_rate"])
