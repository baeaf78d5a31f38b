"""SCI itself: spikes to features and motion, and those to images; no trainer, no files."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.fam import FAM, ClassFAM
from spike_zoo.methods.sci.fem import FEM, WINDOW
from spike_zoo.methods.sci.motion import MotionEstimation, chained

STEP = 7
"""Planes from one feature to the next; neighbouring windows share 6."""
REACH = 2  # features on either side of a target
CLIP = WINDOW + 2 * REACH * STEP
"""Planes that the analysis of one target sees: 41."""
CAMERA_SCALE = 0.6  # rate scale at which FEM's filters see spikes
_MAX_PIXELS = 2**24


class Analysis(NamedTuple):
    """What an analysis module takes.

    Shape:
        - features: ``(B, 5, 3, H, W)`` at t-2 .. t+2.
        - motions: ``(B, 4, 2, H, W)`` in pixels, from t to t-2, t-1, t+1, t+2.
    """

    features: Tensor
    motions: Tensor


class SCICodec(nn.Module):
    """The networks of SCI and the way of data through them.

    Args:
        fem: Extracts features.
        motion: Estimates the motion between two features; None before its stage.
        fam: Analyses features; None before its stage.
        scale_input: Whether FEM sees spikes times 0.6 / rate scale, so that a feature is luminance
            whatever the camera. Filters are linear, so a camera adds bits and scales their sums.

    Source: *A Joint Visual Compression and Perception Framework for Neuralmorphic Spiking Camera*,
    Sec. IV and Fig. 3.
    """

    def __init__(
        self,
        fem: FEM,
        motion: MotionEstimation | None = None,
        fam: FAM | ClassFAM | None = None,
        *,
        scale_input: bool = True,
    ) -> None:
        super().__init__()
        self.fem = fem
        self.motion = motion
        self.fam = fam
        self.scale_input = scale_input

    def features(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Return the feature of every window of a clip, 7 planes apart.

        Args:
            spikes: ``(B, T, H, W)``, 0 or 1, T at least 13.
            rate_scale: Spikes per plane at white, ``(B,)``; by default 1.

        Returns:
            ``(B, n, 3, H, W)`` in (0, 1) with n = (T - 13) // 7 + 1, of planes 6, 13, 20, ...

        Raises:
            ValueError: If spikes are of another rank, empty, or hold more than 0 and 1.
            ConfigError: If there are fewer than 13 planes, or more pixels than 2^24.
        """
        check_spikes(spikes)
        windows = spikes.unfold(1, WINDOW, STEP).permute(0, 1, 4, 2, 3)
        scale = None if rate_scale is None else rate_scale.repeat_interleave(windows.shape[1])
        found = self.feature(windows.flatten(0, 1), scale)
        return found.unflatten(0, windows.shape[:2])

    def feature(self, window: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Return the feature of single windows, ``(B, 13, H, W)`` -> ``(B, 3, H, W)``."""
        planes = window.to(next(self.fem.parameters()).dtype)
        if self.scale_input:
            scale = planes.new_ones(len(planes)) if rate_scale is None else rate_scale.to(planes)
            planes = planes * (CAMERA_SCALE / scale).view(-1, 1, 1, 1)
        return self.fem(planes)

    def moved(self, current: Tensor, reference: Tensor) -> Tensor:
        """Return the backward motion between two features, ``(B, 2, H, W)`` in pixels.

        Raises:
            ConfigError: If this codec estimates none.
        """
        if self.motion is None:
            raise ConfigError("this codec has no motion estimation: it is of stage 'fem'")
        return self.motion(current, reference)

    def links(self, features: Tensor) -> Tensor:
        """Return the backward motion of each feature to the one before it; the first has none.

        Args:
            features: ``(B, n, 3, H, W)``.

        Returns:
            ``(B, n, 2, H, W)`` in pixels, the first zero.
        """
        batch, count, _, height, width = features.shape
        found = features.new_zeros(batch, count, 2, height, width, dtype=torch.float32)
        if count > 1:
            current, reference = features[:, 1:].flatten(0, 1), features[:, :-1].flatten(0, 1)
            found[:, 1:] = self.moved(current, reference).unflatten(0, (batch, count - 1))
        return found

    def analysed(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Analysis:
        """Return what FAM takes of a clip: five features around its middle, and motion to four.

        Args:
            spikes: ``(B, T, H, W)``; where T is below 41 the features at the ends are repeated.
            rate_scale: See :meth:`features`.
        """
        if spikes.shape[1] < CLIP:
            warnings.warn(
                f"{spikes.shape[1]} planes hold fewer than five features ({CLIP} planes); those at "
                "the ends are repeated",
                stacklevel=2,
            )
        features = self.features(spikes, rate_scale)
        return surroundings(features, self.links(features), features.shape[1] // 2)

    def picture(self, feature: Tensor) -> Tensor:
        """Return FEM's own picture, ``(B, 3, H, W)`` -> ``(B, 1, H, W)``: the channels' mean."""
        return feature.mean(dim=1, keepdim=True)

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Return what FAM says of a clip: an image ``(B, 1, H, W)``, or logits ``(B, classes)``.

        Without FAM: the mean of the middle feature over its channels, FEM's own picture.
        """
        if self.fam is None:
            features = self.features(spikes, rate_scale)
            return self.picture(features[:, features.shape[1] // 2])
        return self.fam(*self.analysed(spikes, rate_scale))


def surroundings(features: Tensor, links: Tensor, target: int) -> Analysis:
    """Return five features around a target and the motion from it to the four others.

    Where one is missing the nearest stands in, with the motion to the one that does.

    Args:
        features: ``(B, n, 3, H, W)``.
        links: ``(B, n, 2, H, W)``, motion of each to the one before it.
        target: Which of the n.
    """
    last = features.shape[1] - 1
    around = [min(max(target + offset, 0), last) for offset in range(-REACH, REACH + 1)]
    steps = [target + offset for offset in range(1 - REACH, REACH + 1)]  # each to the one before
    still = torch.zeros_like(links[:, 0])
    known = [links[:, step] if 0 < step <= last else still for step in steps]
    return Analysis(features[:, around], chained(known))


def check_spikes(spikes: Tensor) -> None:
    """Refuse what is no clip of spikes.

    Raises:
        ValueError: If it is of another rank, empty, or holds more than 0 and 1.
        ConfigError: If it has fewer planes than a window, or more pixels than 2^24.
    """
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
        raise ConfigError(f"planes of {height}x{width} have more than 2^24 pixels; crop them")
    is_real = not (spikes.is_meta or torch.compiler.is_compiling())
    if is_real and not ((spikes == 0) | (spikes == 1)).all():
        raise ValueError("spikes must be 0 or 1; they hold other values, or NaN")
