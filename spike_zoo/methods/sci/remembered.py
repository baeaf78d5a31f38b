"""Frozen features and motion of clips that come again at every epoch, remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from spike_zoo.methods.sci.network import Analysis

if TYPE_CHECKING:
    from spike_zoo.batch import LabelledBatch
    from spike_zoo.methods.sci.network import SCICodec

_GIB = 2**30


class RememberedAnalysis:
    """Ask the frozen parts once for every clip: they are most of a training step.

    A clip is known by its recording and its middle plane, so it must come whole and unturned.

    Args:
        memory_gib: How much memory features and motions may fill, as half floats; clips that come
            later are analysed anew each time. 0 remembers nothing and rounds nothing.

    Raises:
        ValueError: If the memory is negative.
    """

    def __init__(self, memory_gib: float) -> None:
        if memory_gib < 0:
            raise ValueError(f"remember_gib must be 0 or more, got {memory_gib}")
        self.remembers = memory_gib > 0
        self._room = int(memory_gib * _GIB)
        self._known: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}

    def __call__(self, codec: SCICodec, batch: LabelledBatch) -> Analysis:
        """Return the analysis of a batch, float32."""
        if not self.remembers:
            return codec.analysed(batch["spikes"], batch["rate_scale"])
        keys = list(zip(batch["name"], batch["plane"].tolist(), strict=True))
        new = [place for place, key in enumerate(keys) if key not in self._known]
        made: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
        if new:
            found = codec.analysed(batch["spikes"][new], batch["rate_scale"][new])
            halves = [part.half().cpu() for part in found]
            made = {keys[place]: (halves[0][n], halves[1][n]) for n, place in enumerate(new)}
        pairs = [made[key] if key in made else self._known[key] for key in keys]
        for key, pair in made.items():
            self._remember(key, pair)
        device = batch["spikes"].device
        features, motions = (torch.stack(part) for part in zip(*pairs, strict=True))
        return Analysis(*(part.to(device, torch.float32) for part in (features, motions)))

    def _remember(self, key: tuple[str, int], pair: tuple[Tensor, Tensor]) -> None:
        size = sum(part.numel() * part.element_size() for part in pair)
        if size <= self._room:
            self._room -= size
            self._known[key] = (pair[0].clone(), pair[1].clone())  # not the batch they are part of
