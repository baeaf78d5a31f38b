"""Features and images of a recording at single planes, with cached features and motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from spike_zoo.methods.sci.features.fem import NEIGHBOURS_PER_SIDE, STEP, WINDOW
from spike_zoo.methods.sci.features.motion_estimation import chain_motions
from spike_zoo.tasks.clips import read_clip

if TYPE_CHECKING:
    from spike_zoo.methods.sci.codec.networks import SCINetworks
    from spike_zoo.spikes import SpikeRecording

CACHE_SIZE = 32  # cached features and motions: enough for centres with a stride of 1


class FeatureStream:
    """Compute features and images of a recording, with a cache of features and motion.

    Centres 7 planes apart share four of their five features and the motion between them. Windows
    are mirrored in time at the ends of the recording.

    Args:
        codec: Networks in evaluation mode.
        recording: The spikes.
        rate_scale: Spikes per plane at white.
        kept: Number of cached features and of cached motions; 0 if each feature is used once.
    """

    def __init__(
        self,
        codec: SCINetworks,
        recording: SpikeRecording,
        rate_scale: float,
        kept: int = CACHE_SIZE,
    ) -> None:
        self.codec = codec
        self.recording = recording
        self.device = next(codec.parameters()).device
        self.scale = torch.full((1,), rate_scale, device=self.device)
        self._kept = kept
        self._features: dict[int, Tensor] = {}
        self._motions: dict[int, Tensor] = {}

    @torch.inference_mode()
    def image(self, center: int) -> Tensor:
        """Return the image of a plane, ``(1, H, W)`` in [0, 1], on the CPU."""
        if self.codec.fam is None:
            image = self.codec.picture(self.feature(center))
        else:
            offsets = range(-NEIGHBOURS_PER_SIDE, NEIGHBOURS_PER_SIDE + 1)
            planes = [center + STEP * offset for offset in offsets]
            features = torch.stack([self.feature(plane) for plane in planes], dim=1)
            motions = chain_motions([self._motion(plane) for plane in planes[1:]])
            image = self.codec.fam(features, motions)
        return image[0].float().clamp(0.0, 1.0).cpu()

    @torch.inference_mode()
    def feature(self, plane: int) -> Tensor:
        """Return the feature of the window around a plane, ``(1, 3, H, W)`` float32.

        The recording is mirrored in time outside its ends.
        """
        if plane in self._features:
            return self._features[plane]
        window = read_clip(self.recording, plane, WINDOW, self.device)[None]
        return self._store(self._features, plane, self.codec.feature(window, self.scale))

    def _motion(self, plane: int) -> Tensor:
        """Return the backward motion from a plane to the plane 7 before it."""
        if plane in self._motions:
            return self._motions[plane]
        pair = self.feature(plane), self.feature(plane - STEP)
        return self._store(self._motions, plane, self.codec.estimate_motion(*pair))

    def _store(self, cache: dict[int, Tensor], plane: int, value: Tensor) -> Tensor:
        """Add a value to a cache, remove the oldest if the cache is full, and return the value."""
        cache[plane] = value
        if len(cache) > self._kept:
            del cache[next(iter(cache))]
        return value
