"""What frozen parts make of recordings that come again at every epoch, remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from spike_zoo.methods.sci.analysis.fam import AnalysisInput
from spike_zoo.methods.sci.baselines.coded_clips import coded_clips
from spike_zoo.methods.sci.features.fem import WINDOW

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from spike_zoo.batch import LabelledBatch, SceneBatch
    from spike_zoo.methods.sci.codec.codec import SCICodec

_GIB = 2**30


class TensorCache:
    """Tensors by key, as half floats, as many as fit.

    Args:
        gib: How much they may fill; those that come later are not kept. 0 keeps nothing.

    Raises:
        ValueError: If it is negative.
    """

    def __init__(self, gib: float) -> None:
        if gib < 0:
            raise ValueError(f"cache_gib must be 0 or more, got {gib}")
        self.remembers = gib > 0
        self._room = int(gib * _GIB)
        self._known: dict[Hashable, Tensor] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._known

    def __getitem__(self, key: Hashable) -> Tensor:
        """Return what is known of a key, half floats on the CPU."""
        return self._known[key]

    def keep(self, key: Hashable, value: Tensor) -> None:
        """Remember a tensor, if it is new and there is room for it."""
        if key in self._known:
            return
        half = value.half().cpu()
        size = half.numel() * half.element_size()
        if size <= self._room:
            self._room -= size
            self._known[key] = half.clone()  # not the batch it is part of


class CachedAnalysis:
    """Ask the frozen parts once for every clip: they are most of a training step.

    A clip is known by its recording and its middle plane, so it must come whole and unturned.

    Args:
        memory_gib: How much memory features and motions may fill, see :class:`TensorCache`. 0
            caches and rounds nothing.

    Raises:
        ValueError: If the memory is negative.
    """

    def __init__(self, memory_gib: float) -> None:
        self._memory = TensorCache(memory_gib)

    def __call__(
        self, codec: SCICodec, batch: LabelledBatch, quality: int | None = None
    ) -> AnalysisInput:
        """Return the analysis of a batch, float32.

        Args:
            codec: The frozen parts.
            batch: The clips.
            quality: Of the bits that features go through; None leaves them as they are.
        """
        if not self._memory.remembers:
            return _analysed(codec, batch["spikes"], batch["rate_scale"], quality)
        named = zip(batch["name"], batch["plane"].tolist(), strict=True)
        keys = [(*one, quality) for one in named]
        new = [place for place, key in enumerate(keys) if key not in self._memory]
        made: dict[Hashable, Tensor] = {}
        if new:
            spikes, scales = batch["spikes"][new], batch["rate_scale"][new]
            found = _analysed(codec, spikes, scales, quality)
            joined = torch.cat([part.flatten(1, 2) for part in found], dim=1).half().cpu()
            made = {keys[place]: joined[n] for n, place in enumerate(new)}
        whole = torch.stack([made[key] if key in made else self._memory[key] for key in keys])
        for key, one in made.items():
            self._memory.keep(key, one)
        return analysis_of(whole.to(batch["spikes"].device, torch.float32))


def _analysed(
    codec: SCICodec, spikes: Tensor, scales: Tensor, quality: int | None
) -> AnalysisInput:
    if quality is None:
        return codec.analysed(spikes, scales)
    return coded_clips(codec, spikes, scales, quality).analysis


def analysis_of(joined: Tensor) -> AnalysisInput:
    """Return the analysis whose parts were joined along that axis: 5 x 3 and 4 x 2 channels."""
    features, motions = joined.split([15, 8], dim=1)
    return AnalysisInput(features.unflatten(1, (5, 3)), motions.unflatten(1, (4, 2)))


class CachedFeatures:
    """The features of scenes by the frozen FEM, each window's asked once.

    A window is known by its recording and its plane, so scenes must come whole and unturned where
    they are remembered; cut and turn their features instead, which is as good and costs nothing.

    Args:
        memory_gib: How much memory they may fill, see :class:`TensorCache`. 0 remembers nothing.

    Raises:
        ValueError: If the memory is negative.
    """

    def __init__(self, memory_gib: float) -> None:
        self._memory = TensorCache(memory_gib)

    @torch.no_grad()
    def __call__(self, codec: SCICodec, batch: SceneBatch) -> Tensor:
        """Return the features at the images of a batch, ``(B, N, 3, H, W)`` float32."""
        rows = batch["planes"].tolist()
        shape = len(rows), len(rows[0])
        windows = [(sample, plane) for sample, row in enumerate(rows) for plane in row]
        starts = batch["start"].tolist()
        keys = [(batch["name"][sample], starts[sample] + plane) for sample, plane in windows]
        new = [place for place, key in enumerate(keys) if key not in self._memory]
        found: dict[int, Tensor] = {}
        if new:
            made = self._made(codec, batch, [windows[place] for place in new])
            found = dict(zip(new, made, strict=True))
        if self._memory.remembers:
            for place, feature in found.items():
                self._memory.keep(keys[place], feature)
        device = batch["spikes"].device
        parts = [
            found[place] if place in found else self._memory[key].to(device, torch.float32)
            for place, key in enumerate(keys)
        ]
        return torch.stack(parts).unflatten(0, shape)

    def _made(
        self, codec: SCICodec, batch: SceneBatch, windows: Sequence[tuple[int, int]]
    ) -> Tensor:
        half = WINDOW // 2
        spikes = [
            batch["spikes"][sample, plane - half : plane + half + 1] for sample, plane in windows
        ]
        scales = batch["rate_scale"][[sample for sample, _ in windows]]
        return codec.feature(torch.stack(spikes), scales).float()
