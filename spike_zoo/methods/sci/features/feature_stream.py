"""Images of a recording one by one, with features and motion shared between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from spike_zoo.methods.sci.features.fem import REACH, STEP, WINDOW
from spike_zoo.methods.sci.features.motion_estimation import chained
from spike_zoo.spikes.packing import unpack_tensor
from spike_zoo.tasks.clips import read_clip

if TYPE_CHECKING:
    from spike_zoo.methods.sci.codec.codec import SCICodec
    from spike_zoo.spikes import SpikeRecording

SHARED = 32  # features, with their motion: what the centres of a stride of 1 share


class FeatureStream:
    """The way of a recording through the networks, each window's feature made once.

    Centres 7 planes apart share four of their five features and the motion between them. Windows
    are mirrored in time at the ends of the recording.

    Args:
        codec: In evaluation mode.
        recording: The spikes.
        rate_scale: Spikes per plane at white.
        kept: How many features are remembered, with their motion; those who ask for each once need
            none.

    Raises:
        PlaneRangeError: From :meth:`image`, where the recording is too short to be mirrored.
    """

    def __init__(
        self, codec: SCICodec, recording: SpikeRecording, rate_scale: float, kept: int = SHARED
    ) -> None:
        self.codec = codec
        self.recording = recording
        self.device = next(codec.parameters()).device
        self.scale = torch.full((1,), rate_scale, device=self.device)
        self._kept = kept
        self._features: dict[int, Tensor] = {}
        self._links: dict[int, Tensor] = {}

    @torch.inference_mode()
    def image(self, center: int) -> Tensor:
        """Return the image of a plane, ``(1, H, W)`` in [0, 1], on the CPU."""
        if self.codec.fam is None:
            found = self.codec.picture(self.feature(center))
        else:
            around = [center + STEP * offset for offset in range(-REACH, REACH + 1)]
            features = torch.stack([self.feature(plane) for plane in around], dim=1)
            found = self.codec.fam(features, chained([self._link(one) for one in around[1:]]))
        return found[0].float().clamp(0.0, 1.0).cpu()

    @torch.inference_mode()
    def feature(self, plane: int) -> Tensor:
        """Return the feature of the window around a plane, ``(1, 3, H, W)`` float32.

        Where the window lies outside the recording, that is mirrored in time.
        """
        if plane in self._features:
            return self._features[plane]
        clip = read_clip(self.recording, plane, WINDOW).to(self.device)
        window = unpack_tensor(clip, self.recording.shape[2])[None]
        return self._remembered(self._features, plane, self.codec.feature(window, self.scale))

    def _link(self, plane: int) -> Tensor:
        """Return the backward motion from a plane to the one a step before it."""
        if plane in self._links:
            return self._links[plane]
        pair = self.feature(plane), self.feature(plane - STEP)
        return self._remembered(self._links, plane, self.codec.moved(*pair))

    def _remembered(self, known: dict[int, Tensor], plane: int, made: Tensor) -> Tensor:
        """Remember what was made, forget the oldest, and return it."""
        known[plane] = made
        if len(known) > self._kept:
            del known[next(iter(known))]
        return made
