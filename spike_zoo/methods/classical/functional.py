"""Texture from playback (TFP) and texture from interval (TFI) of clips.

All functions take planes ``(T, H, W)`` or ``(B, T, H, W)`` of bool, uint8 or float on any device;
values other than 0 are spikes. They return float32 in spikes per plane. Divide by the rate scale
to get an image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from spike_zoo.methods.classical.dispatch import (
    OutsideSpikes,
    mean_in_windows,
    mean_intervals,
    nearest_spikes,
)
from spike_zoo.methods.classical.plans import (
    check_interval_rules,
    interval_runs,
    playback_windows,
)
from spike_zoo.spikes.windows import wanted_planes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from spike_zoo.methods.classical.plans import Convention, Edge, IntervalRuns, Missing


def tfp(spikes: Tensor, center: int | Sequence[int], window: int, edge: Edge = "shrink") -> Tensor:
    """Return the firing rate in a window around a plane (texture from playback).

    The window covers planes ``center - window // 2`` to ``center - window // 2 + window - 1``.

    Args:
        spikes: ``(T, H, W)`` or ``(B, T, H, W)``.
        center: A plane, or a sequence of N planes, which adds a dimension N after B.
        window: Planes of the window.
        edge: Rule for windows that leave the clip: ``"shrink"`` divides by the number of planes
            inside the clip, ``"zero"`` by ``window``, ``"valid"`` raises an error.

    Returns:
        float32 ``(H, W)`` or ``(B, H, W)`` in [0, 1], spikes per plane.

    Raises:
        PlaneRangeError: If a centre lies outside the clip.
        ValueError: If the window is below 1, or leaves the clip with ``edge="valid"``.

    Source: Zhu et al., *A Retina-Inspired Sampling Method for Visual Texture Reconstruction*,
    ICME 2019.

    Example:
        >>> spikes = torch.tensor([0, 1, 0, 1, 0, 1]).view(6, 1, 1)
        >>> tfp(spikes, center=3, window=5)
        tensor([[0.6000]])
    """
    if isinstance(center, int):
        return tfp_video(spikes, [center], window, edge).squeeze(-3)
    return tfp_video(spikes, center, window, edge)


def tfp_video(
    spikes: Tensor,
    centers: Sequence[int] | None = None,
    window: int = 41,
    edge: Edge = "shrink",
) -> Tensor:
    """Return the firing rates of :func:`tfp` around many planes in one pass.

    Args:
        spikes: ``(T, H, W)`` or ``(B, T, H, W)``.
        centers: Planes in any order. By default every plane; with ``edge="valid"`` every plane
            whose window lies inside the clip.
        window: Planes of each window.
        edge: As in :func:`tfp`.

    Returns:
        float32 ``(N, H, W)`` or ``(B, N, H, W)``. Run time does not depend on ``window``.

    Raises:
        PlaneRangeError: If a centre lies outside the clip.
        ValueError: If the window is below 1, or leaves the clip with ``edge="valid"``.

    Example:
        >>> tfp_video(torch.rand(61, 4, 6) < 0.5, centers=[20, 30, 40]).shape
        torch.Size([3, 4, 6])
    """
    clips = as_clips(spikes)
    wanted = _centers_or_all(centers, clips.shape[1], window, edge)

    def video(ordered: list[int]) -> Tensor:
        return mean_in_windows(clips, playback_windows(ordered, clips.shape[1], window, edge))

    return match_input_dims(video, wanted, spikes)


def tfi(
    spikes: Tensor,
    center: int | Sequence[int],
    average: int = 1,
    convention: Convention = "forward",
    missing: Missing = "zero",
    max_search: int | None = None,
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
        missing: Rule if the clip has no spike on one side: ``"zero"`` gives 0, ``"hold"`` the
            nearest interval of the pixel (0 with fewer than two spikes), ``"bound"`` one over the
            shortest possible interval (as if the pixel fired just outside the clip).
        max_search: Planes to search on either side. A pixel without a spike in this range gets
            ``1 / (2 * max_search)``.

    Returns:
        float32 ``(H, W)`` or ``(B, H, W)`` in [0, 1], spikes per plane.

    Raises:
        PlaneRangeError: If a centre lies outside the clip.
        ValueError: If ``average`` or ``max_search`` is below 1, or ``max_search`` is combined with
            ``missing`` other than ``"zero"``.

    Source: Zhu et al., *A Retina-Inspired Sampling Method for Visual Texture Reconstruction*,
    ICME 2019.

    Example:
        >>> spikes = torch.tensor([0, 1, 0, 0, 0, 1]).view(6, 1, 1)
        >>> tfi(spikes, center=3)
        tensor([[0.2500]])
    """
    if isinstance(center, int):
        video = tfi_video(spikes, [center], average, convention, missing, max_search)
        return video.squeeze(-3)
    return tfi_video(spikes, center, average, convention, missing, max_search)


def tfi_video(
    spikes: Tensor,
    centers: Sequence[int] | None = None,
    average: int = 1,
    convention: Convention = "forward",
    missing: Missing = "zero",
    max_search: int | None = None,
) -> Tensor:
    """Return the rates of :func:`tfi` at many planes in one pass.

    Args:
        spikes: ``(T, H, W)`` or ``(B, T, H, W)``.
        centers: Planes in any order, by default every plane.
        average: As in :func:`tfi`.
        convention: As in :func:`tfi`.
        missing: As in :func:`tfi`.
        max_search: As in :func:`tfi`.

    Returns:
        float32 ``(N, H, W)`` or ``(B, N, H, W)``.

    Raises:
        PlaneRangeError: If a centre lies outside the clip.
        ValueError: As in :func:`tfi`.

    Example:
        >>> tfi_video(torch.rand(61, 4, 6) < 0.5, average=9).shape
        torch.Size([61, 4, 6])
    """
    check_interval_rules(average, convention, missing, max_search)
    clips = as_clips(spikes)
    wanted = _centers_or_all(centers, clips.shape[1], 1, "shrink")

    def video(ordered: list[int]) -> Tensor:
        runs = interval_runs(ordered, clips.shape[1], average, convention)
        return _mean_intervals(clips, runs, missing, max_search)

    return match_input_dims(video, wanted, spikes)


def as_clips(spikes: Tensor) -> Tensor:
    """Return spikes as uint8 ``(B, T, H, W)``; bool and uint8 are not copied.

    Raises:
        ValueError: If the number of dimensions is not 3 or 4, or a dimension is 0.
    """
    if spikes.ndim not in (3, 4) or 0 in spikes.shape:
        raise ValueError(
            "spikes must have shape (planes, height, width) or (batch, planes, height, width) "
            f"without a dimension of 0, got {tuple(spikes.shape)}"
        )
    if spikes.dtype not in (torch.bool, torch.uint8):
        spikes = spikes != 0
    clips = spikes.view(torch.uint8)
    return clips if clips.ndim == 4 else clips[None]


def _centers_or_all(
    centers: Sequence[int] | None, planes: int, window: int, edge: Edge
) -> list[int]:
    if centers is not None:
        return wanted_planes(centers, planes)
    if edge == "valid":
        return list(range(window // 2, planes - window + window // 2 + 1))
    return list(range(planes))


def match_input_dims(
    video: Callable[[list[int]], Tensor], centers: list[int], spikes: Tensor
) -> Tensor:
    """Compute rates at ascending centres and return them in the order and shape of the inputs."""
    order = sorted(range(len(centers)), key=centers.__getitem__)
    rates = video([centers[index] for index in order])
    if order != list(range(len(order))):
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(order))
        rates = rates[:, back.to(rates.device)]
    return rates if spikes.ndim == 4 else rates[0]


def _mean_intervals(
    clips: Tensor, runs: IntervalRuns, missing: Missing, max_search: int | None
) -> Tensor:
    """Return means of inverse intervals ``(B, N, H, W)``; only the planes needed are searched."""
    batch, planes, height, width = clips.shape
    if not runs.boundaries:
        return torch.empty(batch, 0, height, width, device=clips.device)
    low, high = runs.boundaries[0], runs.boundaries[-1]
    reach = planes if max_search is None else max_search
    before = nearest_spikes(clips, range(low - 1, max(low - reach, 0) - 1, -1))
    after = nearest_spikes(clips, range(high, min(high + reach, planes)))
    if missing == "bound":
        before = before.nan_to_num(neginf=-1)
        after = after.nan_to_num(posinf=planes)
    elif missing == "hold":
        before = torch.where(before.isinf(), _repeated_interval(clips, 1), before)
        after = torch.where(after.isinf(), _repeated_interval(clips, -1), after)
    around = OutsideSpikes(before - low, after - low)
    if max_search is not None:
        around = around._replace(limit=max_search, fallback=1 / (2 * max_search))
    shifted = runs._replace(boundaries=[boundary - low for boundary in runs.boundaries])
    return mean_intervals(clips[:, low:high], shifted, around)


def _repeated_interval(clips: Tensor, step: int) -> Tensor:
    """Return the plane outside the clip at which a spike repeats a pixel's outermost interval.

    Args:
        clips: uint8 ``(B, T, H, W)``.
        step: 1 repeats the first interval before the first spike, -1 the last interval after the
            last spike.
    """
    planes = clips.shape[1]
    way = range(planes) if step > 0 else range(planes - 1, -1, -1)
    outermost = nearest_spikes(clips, way)
    second = nearest_spikes(clips, way, beyond=outermost)
    outside = outermost - (second - outermost)
    return torch.where(second.isinf(), -step * torch.inf, outside)
