"""The teacher's images, remembered where an exposure comes again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from spike_zoo.methods.ssdm.images_at_once import GIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.methods.ssdm.teacher import SSDMTeacher


class RememberedLabels:
    """Ask a frozen teacher once for every exposure: it is most of a student's training step.

    An exposure is known by its spikes. Whole frames in their eight turns come again every few
    epochs; crops at random places hardly ever do.

    Args:
        teacher: Makes the images.
        memory_gib: How much of the processor's memory they may fill, as half floats (2.4e-4 off
            at most); what comes later is made anew each time. 0 remembers nothing.
    """

    def __init__(self, teacher: SSDMTeacher, memory_gib: float) -> None:
        self.teacher = teacher
        self.remembers = memory_gib > 0
        self._room = int(memory_gib * GIB)
        self._known: dict[bytes, Tensor] = {}

    def __call__(
        self, blur: Tensor, spikes: Tensor, times: Sequence[int], exposure: tuple[int, int]
    ) -> Tensor:
        """Return images as :class:`SSDMTeacher` does, ``(len(times), B, 3, 4h, 4w)``, float32."""
        teacher = self.teacher.to(blur.device)
        if not self.remembers:
            return teacher(blur, spikes, times, exposure).float()
        # Of a batch only the exposures that are new go through the teacher, together; what it made
        # of the others is put back in their places.
        keys = [_digest(sample, times, exposure) for sample in spikes]
        new = [place for place, key in enumerate(keys) if key not in self._known]
        made: dict[bytes, Tensor] = {}
        if new:
            labels = teacher(blur[new], spikes[new], times, exposure)
            made = {keys[place]: labels[:, number] for number, place in enumerate(new)}
        found = [made[key] if key in made else self._known[key] for key in keys]
        for key, images in made.items():
            self._remember(key, images)
        return torch.stack([images.to(blur.device, torch.float32) for images in found], dim=1)

    def _remember(self, key: bytes, images: Tensor) -> None:
        # First come, first kept: with random crops nothing comes again, and to throw out the oldest
        # would forget every exposure just before its next epoch.
        size = 2 * images.numel()
        if size <= self._room:
            self._room -= size
            self._known[key] = images.to("cpu", torch.float16)


def _digest(spikes: Tensor, times: Sequence[int], exposure: tuple[int, int]) -> bytes:
    """Name an exposure by its bits and what is asked of it."""
    bits = spikes.to(torch.bool).cpu().contiguous().numpy()
    asked = f"{tuple(bits.shape)} {tuple(times)} {exposure}".encode()
    return hashlib.blake2b(bits.tobytes() + asked, digest_size=16).digest()
