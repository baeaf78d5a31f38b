"""Lightning module of Fused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from spike_zoo.methods.classical.aligned import AlignedTFI
from spike_zoo.methods.classical.aligned_input import CLIP_PLANES
from spike_zoo.methods.classical.alignment import WINDOW
from spike_zoo.methods.classical.flow import FLOW_SOURCE
from spike_zoo.methods.fused.network import Fused, FusedInputs
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.nn.schedules import ScheduleKind, check_schedule
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks import clips
from spike_zoo.tasks.reconstruction import ReconstructionModule

if TYPE_CHECKING:
    from spike_zoo.tasks.batch import ReconstructionBatch

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

    clip_length = CLIP_PLANES
    margin = WINDOW // 2  #: planes on either side that an image uses
    warmup = 0.02
    applies_maps = True
    estimates_flow = True
    flow_source = FLOW_SOURCE
    motion = clips.motion

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

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, T, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        return self._images(spikes, rate_scale).clamp(0, 1)

    def terms(self, batch: ReconstructionBatch) -> dict[str, Tensor]:
        """Return the negative PSNR of the batch, in dB, as ``"total"``."""
        self.check_clip(batch["spikes"].shape[1])
        images = self._images(batch["spikes"], batch["rate_scale"])
        return {"total": psnr_loss(images, batch["image"])}

    def _images(self, spikes: Tensor, rate_scale: Tensor | None) -> Tensor:
        scales = [1.0] * len(spikes) if rate_scale is None else rate_scale.tolist()
        inputs: list[Tensor] = []
        for clip, scale in zip((spikes != 0).cpu().numpy(), scales, strict=True):
            recording = SpikeRecording.from_planes(clip)
            inputs += FusedInputs(scale).of(recording, [len(clip) // 2])
        images: Tensor = self.network(torch.stack(inputs).to(self.device))
        return images

    def _stream(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        with eval_mode(self):
            for inputs in FusedInputs(rate_scale).of(recording, centers):
                with torch.inference_mode():
                    image = self.network(inputs[None].to(self.device))
                yield image.clamp(0, 1)[0].float().cpu()

    def _fields(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float | None
    ) -> Iterator[Tensor]:
        yield from AlignedTFI()._fields(recording, centers, rate_scale)


def psnr_loss(images: Tensor, truth: Tensor) -> Tensor:
    """Return the mean negative PSNR of images ``(B, 1, H, W)``, in dB.

    Every image counts equally, whether it is dark, noisy or easy.

    Source: Chen et al., *Simple Baselines for Image Restoration*, ECCV 2022.
    """
    errors = (images - truth).square().mean(dim=(1, 2, 3))
    return 10 * (errors + _MIN_ERROR).log10().mean()
