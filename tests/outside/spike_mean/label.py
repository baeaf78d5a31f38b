"""Classification of clips by a convolution of their playback."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spike_zoo.tasks import ClassificationModule


class SpikeLabel(ClassificationModule):
    """Classify a clip by the mean of convolved playback."""

    clip_length = 21

    def __init__(
        self, classes: int = 2, label_names: Sequence[str] = (), learning_rate: float = 2e-2
    ) -> None:
        super().__init__(classes=classes, label_names=label_names)
        self.save_hyperparameters()
        self.edges = nn.Conv2d(1, 16, 3, padding=1)
        self.head = nn.Linear(16, classes)

    def forward(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        """Return the logits: ``(B, 21, H, W)`` -> ``(B, classes)``."""
        light = spikes.mean(1, keepdim=True) / rate_scale[:, None, None, None]
        return self.head(self.edges(light).abs().mean(dim=(2, 3)))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.hparams["learning_rate"])
