"""Lightning module of Fused."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spike_zoo.methods.fused.network import Fused, FusedReconstruction
from spike_zoo.nn.schedules import ScheduleKind, check_schedule
from spike_zoo.tasks.batch import ReconstructionBatch
from spike_zoo.tasks.reconstruction import ReconstructionModule

_MIN_ERROR = 1e-5  # mean squared error added to that of a crop; the loss is at most 50 dB


class FusedModule(ReconstructionModule):
    """Train :class:`Fused` on clips with ground truth images, and reconstruct with it.

    Args:
        channels: Channels of the hidden layers, as in :class:`Fused`.
        learning_rate: Learning rate of Adam, betas 0.9 and 0.999.
        schedule: Schedule of the learning rate, see :func:`schedule_factor`.
        lpips: See :class:`ReconstructionModule`.
        protocols: See :class:`ReconstructionModule`.

    Raises:
        ValueError: If an argument is outside its range.
    """

    clip_length = FusedReconstruction.clip_length
    margin = FusedReconstruction.margin
    warmup = 0.02
    applies_maps = True
    estimates_flow = True
    flow_source = FusedReconstruction.flow_source
    motion = FusedReconstruction.motion
    forward = FusedReconstruction.forward
    _images = FusedReconstruction._images
    _stream = FusedReconstruction._stream
    _fields = FusedReconstruction._fields

    def __init__(
        self,
        channels: int = 64,
        learning_rate: float = 1e-3,
        schedule: ScheduleKind = "cosine",
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        super().__init__(lpips=lpips, protocols=protocols)
        self.save_hyperparameters()
        check_schedule(schedule, learning_rate, self.warmup)
        self.network = Fused(channels)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # true

    def inference_part(self) -> tuple[str, type[FusedReconstruction], dict[str, Any]]:
        """Return ``""`` for all weights, and class and arguments of the module for inference."""
        return "", FusedReconstruction, {"channels": self.hparams["channels"]}

    def terms(self, batch: ReconstructionBatch) -> dict[str, Tensor]:
        """Return the negative PSNR of the batch, in dB, as ``"total"``."""
        self.check_clip(batch["spikes"].shape[1])
        images: Tensor = self._images(batch["spikes"], batch["rate_scale"])
        return {"total": psnr_loss(images, batch["image"])}


def psnr_loss(images: Tensor, truth: Tensor) -> Tensor:
    """Return the mean negative PSNR of images ``(B, 1, H, W)``, in dB.

    Every image counts equally, whether it is dark, noisy or easy.

    Source: Chen et al., *Simple Baselines for Image Restoration*, ECCV 2022.
    """
    errors = (images - truth).square().mean(dim=(1, 2, 3))
    return 10 * (errors + _MIN_ERROR).log10().mean()
