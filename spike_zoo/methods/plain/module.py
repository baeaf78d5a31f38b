"""Lightning module of Plain."""

from collections.abc import Sequence
from typing import Any, Final, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.plain.network import CLIP_PLANES, Plain, PlainReconstruction
from spike_zoo.nn.schedules import ScheduleKind, check_schedule
from spike_zoo.tasks.batch import ReconstructionBatch
from spike_zoo.tasks.reconstruction import ReconstructionModule

# arguments of PlainReconstruction
_ARCHITECTURE: Final = "channels", "depth", "averages", "branched", "smallest_rate_scale"


class PlainModule(ReconstructionModule):
    """Train :class:`Plain` on clips with ground truth images, and reconstruct with it.

    Args:
        channels: Channels of the hidden layers; this and the next three as in :class:`Plain`.
        depth: Number of hidden layers after the first.
        averages: Number of averages of the rates over time.
        branched: Whether hidden layers are trained as several branches; :meth:`merged` merges them.
        learning_rate: Learning rate of Adam, betas 0.9 and 0.999.
        schedule: Schedule of the learning rate, see :func:`schedule_factor`.
        warmup: Fraction of the run in which the learning rate rises.
        smallest_rate_scale: Smallest rate scale of the training recordings, see
            :func:`limit_silent`.
        lpips: See :class:`ReconstructionModule`.
        protocols: See :class:`ReconstructionModule`.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> from spike_zoo.testing import pattern_take
        >>> module = PlainModule(channels=8, lpips="off").eval()
        >>> module.reconstruct(pattern_take(0).recording, [40]).shape
        torch.Size([1, 1, 40, 48])
    """

    clip_length = CLIP_PLANES
    applies_maps = True
    forward = PlainReconstruction.forward
    _images = PlainReconstruction._images
    _stream = PlainReconstruction._stream

    def __init__(
        self,
        channels: int = 64,
        depth: int = 4,
        averages: int = 16,
        branched: bool = True,
        learning_rate: float = 1e-3,
        schedule: ScheduleKind = "cosine",
        warmup: float = 0.02,
        smallest_rate_scale: float = 0.3,
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        super().__init__(lpips=lpips, protocols=protocols)
        self.save_hyperparameters()
        check_schedule(schedule, learning_rate, warmup)
        self.network = Plain(channels, depth, averages, branched=branched)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # true

    def inference_part(self) -> tuple[str, type[PlainReconstruction], dict[str, Any]]:
        """Return ``""`` for all weights, and class and arguments of the module for inference."""
        return "", PlainReconstruction, {name: self.hparams[name] for name in _ARCHITECTURE}

    def merged(self) -> Self:
        """Return an equivalent module with one convolution for each hidden layer."""
        merged = type(self)(**{**self.hparams, "branched": False})
        merged.network.load_state_dict(self.network.merged().state_dict())
        return merged.to(self.device).train(self.training)

    def training_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        """Return the L1 distance to the ground truth."""
        self.check_clip(batch["spikes"].shape[1])
        images: Tensor = self._images(batch["spikes"], batch["rate_scale"])
        loss = F.l1_loss(images, batch["image"])
        self.log("train/total", loss, batch_size=len(images))
        return loss
