"""BASE, five convolutions on 41 planes (Spike-Zoo, arXiv 2501.04477), and its training."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.nn.optimizers import adam
from spike_zoo.nn.schedules import RunSchedule, schedule_factor, total_updates
from spike_zoo.tasks import ReconstructionModule
from spike_zoo.tasks.batch import ReconstructionBatch

CHANNELS = (41, 64, 128, 64, 16, 1)
RATE_SCALE = 0.6  # of the published training


def published(step: int, updates: float) -> float:
    """Return the factor of the published learning rate: 0.2 after two thirds of the run."""
    return 1.0 if step < 2 / 3 * updates else 0.2


class BaseModule(ReconstructionModule):
    """Train BASE, and reconstruct with it.

    The input of the network is the spikes, its output the image at rate scale 0.6. At another rate
    scale, the output is multiplied by 0.6 / rate scale, also in training.

    Args:
        learning_rate: Learning rate of Adam.
        schedule: ``"published"``, see :func:`published`, or ``"cosine"``, which decreases the
            learning rate to 0 after a rise over 2 % of the run.
    """

    clip_length = CHANNELS[0]

    def __init__(
        self,
        learning_rate: float = 1e-4,
        schedule: Literal["published", "cosine"] = "published",
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential()
        for sizes in pairwise(CHANNELS):
            self.network.extend([nn.Conv2d(*sizes, 3, padding=1), nn.ReLU()])
        del self.network[-1]

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct plane 20: ``(B, 41, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        return self._images(spikes, rate_scale).clamp(0, 1)

    def training_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        """Return the L1 distance to the ground truth."""
        loss = F.l1_loss(self._images(batch["spikes"], batch["rate_scale"]), batch["image"])
        self.log("train/total", loss, batch_size=len(batch["image"]))
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return Adam with the schedule, one step per update."""
        is_published = self.hparams["schedule"] == "published"
        factor = published if is_published else schedule_factor("cosine", warmup=0.02)
        optimizer = adam(self.parameters(), self.hparams["learning_rate"])
        schedule = RunSchedule(optimizer, factor, lambda: total_updates(self.trainer))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _images(self, spikes: Tensor, rate_scale: Tensor | None) -> Tensor:
        images: Tensor = self.network(spikes)
        if rate_scale is None:
            return images
        return images * (RATE_SCALE / rate_scale.to(images).view(-1, 1, 1, 1))
