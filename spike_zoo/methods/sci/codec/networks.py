"""Networks of SCI together, and their outputs for clips of spikes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.analysis.fam import FAM, AnalysisInput, ClassFAM, gather_analysis_input
from spike_zoo.methods.sci.codec.frames import CodecNetworks
from spike_zoo.methods.sci.features.fem import CLIP, FEM, STEP, WINDOW
from spike_zoo.methods.sci.features.motion_estimation import MotionEstimation

Boundary = Literal["sequence", "gop"]
"""Whether the analysis uses neighbours from other groups of pictures."""
IFrameMotion = Literal["zero", "decoder_me"]
"""Motion from an I-frame to the previous frame: zero, or estimated from decoded features."""
LAMBDAS = (64.0, 128.0, 256.0, 512.0)
"""Weight of the mean square error in the rate-distortion loss, for each quality (paper)."""
CAMERA_SCALE = 0.6  # rate scale to which spikes are normalised for FEM
_MAX_PIXELS = 2**24


class SCINetworks(nn.Module):
    """All networks of SCI: features, motion between them, coding and analysis.

    Args:
        fem: Feature extraction.
        motion: Motion estimation between two features; None before stage ``"motion"``.
        fam: Analysis of features; None before stage ``"fam"``.
        coding: Networks of I- and P-frames; None before stage ``"codec"`` or without coding.
        scale_input: Whether spikes are multiplied by 0.6 / rate scale before FEM, so that features
            are luminance for every camera. The filters are linear: hardware can sum bits and scale
            the sums.

    Source: *A Joint Visual Compression and Perception Framework for Neuralmorphic Spiking Camera*,
    Sec. IV and Fig. 3.
    """

    def __init__(
        self,
        fem: FEM,
        motion: MotionEstimation | None = None,
        fam: FAM | ClassFAM | None = None,
        coding: CodecNetworks | None = None,
        *,
        scale_input: bool = True,
    ) -> None:
        super().__init__()
        self.fem = fem
        self.motion = motion
        self.fam = fam
        self.intra = self.inter = self.gains = self.fmvr = None
        if coding is not None:
            self.intra, self.inter, self.gains, self.fmvr = coding
        self.scale_input = scale_input
        self.boundary: Boundary = "sequence"
        self.iframe_motion: IFrameMotion = "zero"
        self.lambdas: Sequence[float] = LAMBDAS

    @property
    def coding(self) -> CodecNetworks | None:
        """Networks of I- and P-frames; None without coding."""
        if self.intra is None or self.inter is None or self.gains is None:
            return None
        return CodecNetworks(self.intra, self.inter, self.gains, self.fmvr)

    def features(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Return the features of all windows of a clip, 7 planes apart.

        Args:
            spikes: ``(B, T, H, W)``, 0 or 1, T at least 13.
            rate_scale: Spikes per plane at white, ``(B,)``; by default 1.

        Returns:
            ``(B, n, 3, H, W)`` in (0, 1) with n = (T - 13) // 7 + 1, for planes 6, 13, 20, ...

        Raises:
            ValueError: If spikes have another rank, are empty, or have values other than 0 and 1.
            ConfigError: If there are fewer than 13 planes, or more than 2^24 pixels per plane.
        """
        check_spikes(spikes)
        windows = spikes.unfold(1, WINDOW, STEP).permute(0, 1, 4, 2, 3)
        scale = None if rate_scale is None else rate_scale.repeat_interleave(windows.shape[1])
        features = self.feature(windows.flatten(0, 1), scale)
        return features.unflatten(0, windows.shape[:2])

    def feature(self, window: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Return the features of single windows, ``(B, 13, H, W)`` -> ``(B, 3, H, W)``."""
        planes = window.to(next(self.fem.parameters()).dtype)
        if self.scale_input:
            scale = planes.new_ones(len(planes)) if rate_scale is None else rate_scale.to(planes)
            planes = planes * (CAMERA_SCALE / scale).view(-1, 1, 1, 1)
        return self.fem(planes)

    def estimate_motion(self, current: Tensor, reference: Tensor) -> Tensor:
        """Estimate the backward motion between two features, ``(B, 2, H, W)`` in pixels."""
        if self.motion is None:
            raise ConfigError(
                "these weights have no motion estimation, because they are of stage 'fem'; use "
                "weights of a later stage"
            )
        return self.motion(current, reference)

    def backward_motion(self, features: Tensor) -> Tensor:
        """Estimate the backward motion from each feature to the previous feature.

        Args:
            features: ``(B, n, 3, H, W)``.

        Returns:
            ``(B, n, 2, H, W)`` in pixels; zero for the first feature.
        """
        batch, count, _, height, width = features.shape
        motions = features.new_zeros(batch, count, 2, height, width, dtype=torch.float32)
        if count > 1:
            current, reference = features[:, 1:].flatten(0, 1), features[:, :-1].flatten(0, 1)
            motions[:, 1:] = self.estimate_motion(current, reference).unflatten(
                0, (batch, count - 1)
            )
        return motions

    def analysis_input(self, spikes: Tensor, rate_scale: Tensor | None = None) -> AnalysisInput:
        """Return the input of FAM: the five middle features of a clip, and the motion between them.

        Args:
            spikes: ``(B, T, H, W)``. If T is below 41, the first and last features are repeated.
            rate_scale: Spikes per plane at white, ``(B,)``; by default 1.
        """
        if spikes.shape[1] < CLIP:
            warnings.warn(
                f"{spikes.shape[1]} planes hold fewer than five features ({CLIP} planes); those at "
                "the ends are repeated",
                stacklevel=2,
            )
        features = self.features(spikes, rate_scale)
        return gather_analysis_input(
            features, self.backward_motion(features), features.shape[1] // 2
        )

    def picture(self, feature: Tensor) -> Tensor:
        """Return the mean over a feature's channels, ``(B, 3, H, W)`` -> ``(B, 1, H, W)``."""
        return feature.mean(dim=1, keepdim=True)

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Return FAM's output for a clip: an image ``(B, 1, H, W)``, or logits ``(B, classes)``.

        Without FAM, the image is the mean of the middle feature over its channels.
        """
        if self.fam is None:
            features = self.features(spikes, rate_scale)
            return self.picture(features[:, features.shape[1] // 2])
        return self.fam(*self.analysis_input(spikes, rate_scale))


def check_spikes(spikes: Tensor) -> None:
    """Validate a batch of clips ``(B, T, H, W)``."""
    if spikes.ndim != 4 or not spikes.numel():
        raise ValueError(
            f"spikes are (B, T, H, W), planes before rows and columns, got {tuple(spikes.shape)}"
        )
    planes, height, width = spikes.shape[1:]
    if planes < WINDOW:
        raise ConfigError(
            f"the clips have {planes} planes, one feature takes {WINDOW}; use longer clips "
            "(data.init_args.clip_length)"
        )
    if height * width > _MAX_PIXELS:
        raise ConfigError(
            f"planes of {width} x {height} pixels (W x H) have more than 2^24 pixels; crop them"
        )
    is_real = not (spikes.is_meta or torch.compiler.is_compiling())
    if is_real and not ((spikes == 0) | (spikes == 1)).all():
        raise ValueError("spikes must be 0 or 1; they hold other values, or NaN")
