"""Texture from playback (TFP) and texture from interval (TFI) of clips.

All functions take planes ``(T, H, W)`` or ``(B, T, H, W)`` of bool, uint8 or float on any device;
values other than 0 are spikes. They return float32 in spikes per plane. Divide by the rate scale
to get an image.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from spike_zoo.methods.classical.intervals import mean_in_windows, mean_intervals, windows_around
from spike_zoo.nn.options import check_choice
from spike_zoo.spikes.windows import wanted_planes

Convention = Literal["forward", "backward"]
Missing = Literal["zero", "bound"]


def tfp(spikes: Tensor, center: int | Sequence[int], window: int) -> Tensor:
    """Return the firing rate in a window around a plane (texture from playback).

    The window covers planes ``center - window // 2`` to ``center - window // 2 + window - 1``, cut
    to the clip.

    Args:
        spikes: ``(T, H, W)`` or ``(B, T, H, W)``.
        center: A plane, or a sequence of N planes, which adds a dimension N after B.
        window: Planes of the window.

    Returns:
        float32 ``(H, W)`` or ``(B, H, W)`` in [0, 1], spikes per plane.

    Raises:
        PlaneRangeError: If a centre lies outside the clip.
        ValueError: If the window is below 1.

    Source: Zhu et al., *A Retina-Inspired Sampling Method for Visual Texture Reconstruction*,
    ICME 2019.

    Example:
        >>> spikes = torch.tensor([0, 1, 0, 1, 0, 1]).view(6, 1, 1)
        >>> tfp(spikes, center=3, window=5)
        tensor([[0.6000]])
    """
    if isinstance(center, int | np.integer):
        return tfp_video(spikes, [int(center)], window).squeeze(-3)
    return tfp_video(spikes, center, window)


def tfp_video(spikes: Tensor, centers: Sequence[int] | None = None, window: int = 41) -> Tensor:
    """Return the firing rates of :func:`tfp` around many planes in one pass.

    Args:
        spikes: ``(T, H, W)`` or ``(B, T, H, W)``.
        centers: Planes in any order, by default every plane.
        window: Planes of each window.

    Returns:
        float32 ``(N, H, W)`` or ``(B, N, H, W)``. Run time does not depend on ``window``.

    Raises:
        PlaneRangeError: If a centre lies outside the clip.
        ValueError: If the window is below 1.

    Example:
        >>> tfp_video(torch.rand(61, 4, 6) < 0.5, centers=[20, 30, 40]).shape
        torch.Size([3, 4, 6])
    """

    def video(clips: Tensor, ordered: list[int]) -> Tensor:
        return mean_in_windows(clips, windows_around(ordered, clips.shape[1], window))

    return in_order(video, spikes, centers)


def tfi(
    spikes: Tensor,
    center: int | Sequence[int],
    average: int = 1,
    convention: Convention = "forward",
    missing: Missing = "zero",
) -> Tensor:
    """Return one over the interval between the spikes around a plane (texture from interval).

    Args:
        spikes: ``(T, H, W)`` or ``(B, T, H, W)``.
        center: A plane, or a sequence of N planes, which adds a dimension N after B.
        average: Planes around the centre over which the result is averaged, cut to the clip. 9 to
            21 planes give the best images.
        convention: At a plane t with a spike, ``"forward"`` uses the interval that begins at t
            (last spike at t or before, next spike after t), ``"backward"`` the interval that ends
            at t. At planes without a spike both are equal.
        missing: Rule if the clip has no spike on one side: ``"zero"`` gives 0, ``"bound"`` one over
            the shortest possible interval (as if the pixel fired just outside the clip).

    Returns:
        float32 ``(H, W)`` or ``(B, H, W)`` in [0, 1], spikes per plane.

    Raises:
        PlaneRangeError: If a centre lies outside the clip.
        ValueError: If ``average`` is below 1, or another option is unknown.

    Source: Zhu et al., *A Retina-Inspired Sampling Method for Visual Texture Reconstruction*,
    ICME 2019.

    Example:
        >>> spikes = torch.tensor([0, 1, 0, 0, 0, 1]).view(6, 1, 1)
        >>> tfi(spikes, center=3)
        tensor([[0.2500]])
    """
    if isinstance(center, int | np.integer):
        return tfi_video(spikes, [int(center)], average, convention, missing).squeeze(-3)
    return tfi_video(spikes, center, average, convention, missing)


def tfi_video(
    spikes: Tensor,
    centers: Sequence[int] | None = None,
    average: int = 1,
    convention: Convention = "forward",
    missing: Missing = "zero",
) -> Tensor:
    """Return the rates of :func:`tfi` at many planes in one pass.

    Args:
        spikes: ``(T, H, W)`` or ``(B, T, H, W)``.
        centers: Planes in any order, by default every plane.
        average: This and the next two as in :func:`tfi`.
        convention: Which interval belongs to a plane with a spike.
        missing: Rule if the clip has no spike on one side.

    Returns:
        float32 ``(N, H, W)`` or ``(B, N, H, W)``.

    Raises:
        PlaneRangeError: If a centre lies outside the clip.
        ValueError: As in :func:`tfi`.

    Example:
        >>> tfi_video(torch.rand(61, 4, 6) < 0.5, average=9).shape
        torch.Size([61, 4, 6])
    """
    check_choice("convention", convention, Convention)
    check_choice("missing", missing, Missing)

    def video(clips: Tensor, ordered: list[int]) -> Tensor:
        planes = clips.shape[1]
        windows = windows_around(ordered, planes, average)
        # the interval of plane t spans the boundary after t or before t
        shifted = windows.shifted(1 if convention == "forward" else 0)
        ends = (-1.0, float(planes)) if missing == "bound" else (-torch.inf, torch.inf)
        # not like the clips: other strides would compile the kernel again
        before, after = (clips.new_full(clips.shape[2:], end, dtype=torch.float32) for end in ends)
        return mean_intervals(clips, shifted, before, after)

    return in_order(video, spikes, centers)


def in_order(
    video: Callable[[Tensor, list[int]], Tensor], spikes: Tensor, centers: Sequence[int] | None
) -> Tensor:
    """Compute rates at ascending centres and return them in the order and shape of the inputs.

    ``video`` returns rates ``(B, N, H, W)`` of clips, uint8 ``(B, T, H, W)``, at N planes. Spikes
    are ``(T, H, W)`` or ``(B, T, H, W)``; bool and uint8 are not copied. All planes are the
    default.

    Raises:
        PlaneRangeError: If a centre lies outside the clip.
        ValueError: If the number of dimensions is not 3 or 4, or a dimension is 0.
    """
    if spikes.ndim not in (3, 4) or 0 in spikes.shape:
        raise ValueError(
            "spikes must have shape (planes, height, width) or (batch, planes, height, width) "
            f"without a dimension of 0, got {tuple(spikes.shape)}"
        )
    if spikes.dtype not in (torch.bool, torch.uint8):
        spikes = spikes != 0
    clips = spikes.view(torch.uint8).view(-1, *spikes.shape[-3:])
    planes = wanted_planes(range(clips.shape[1]) if centers is None else centers, clips.shape[1])
    order = sorted(range(len(planes)), key=planes.__getitem__)
    rates = video(clips, [planes[index] for index in order])
    if order != list(range(len(order))):
        back = torch.tensor(order).argsort()
        rates = rates[:, back.to(rates.device)]
    return rates if spikes.ndim == 4 else rates[0]
