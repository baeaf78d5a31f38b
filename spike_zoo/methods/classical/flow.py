"""Where things go, found between pictures of the same recording, and planes moved by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import torch
from skimage.registration import optical_flow_tvl1
from torch.nn import functional as F

from spike_zoo.nn.warp import sampling_grid
from spike_zoo.tasks.flow import REACH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

FLOW_SOURCE: Final = "TV-L1"
"""Name of the estimator of :func:`find_velocities`, which several methods share."""
_PICTURE: Final = 5  # planes on either side that a picture to find motion in averages
_NEAR: Final = REACH // 2
_EXPLAINED: Final = 0.75  # share of what differs without motion
_ATTACHMENT: Final = 15.0  # of TV-L1, for pictures between 0 and 1


def find_velocities(rates: Tensor, middle: int, before: int, after: int) -> Tensor:
    """Return where things at the middle plane come from and go to, by dense optical flow (TV-L1).

    Args:
        rates: ``(T, H, W)``, consecutive planes of intervals, white about 1.
        middle: Number of the middle plane among them.
        before: Planes to look back at most, 20 if more; 0 finds nothing, and no motion.
        after: Planes to look ahead at most, likewise.

    Returns:
        ``(2, 2, H, W)``, pixels a plane, right and down: of the planes before, of those after.
    """
    return torch.stack([_velocity(rates, middle, reach) for reach in (-before, after)])


def shifts_at(planes: Sequence[int], middle: int, velocity: Tensor) -> Tensor:
    """Return how far things of the middle plane have moved at others, ``(N, 2, H, W)``.

    Args:
        planes: Their numbers.
        middle: The number of the middle one.
        velocity: As :func:`find_velocities` returns it.
    """
    before, after = velocity
    return torch.stack([(each - middle) * (before if each < middle else after) for each in planes])


def moved(planes: Tensor, flow: Tensor, by: Literal["bicubic", "bilinear"] = "bicubic") -> Tensor:
    """Return planes ``(..., H, W)`` sampled where flows ``(..., 2, H, W)`` lead."""
    height, width = planes.shape[-2:]
    grid = sampling_grid(flow.reshape(-1, 2, height, width))
    shown = planes.reshape(-1, 1, height, width)
    sampled = F.grid_sample(shown, grid, by, padding_mode="border", align_corners=True)
    return sampled.view_as(planes)


def _velocity(rates: Tensor, middle: int, reach: int) -> Tensor:
    """Return where things at the middle plane go, ``(2, H, W)``, right and down, in a plane.

    Over a long way flow may lead to the next thing that looks alike. Where it does not explain what
    happens on half of the way, it is looked for there first.
    """
    if reach == 0:
        return rates.new_zeros(2, *rates.shape[1:])
    reach = max(-REACH, min(reach, REACH))
    here, there = _picture(rates, middle), _picture(rates, middle + reach)
    velocity = _flow(here, there) / reach
    if abs(reach) <= _NEAR:
        return velocity
    near = _NEAR if reach > 0 else -_NEAR
    close = _picture(rates, middle + near)

    def mismatch(found: Tensor) -> Tensor:
        return (here - moved(close, near * found)).abs().mean()

    if mismatch(velocity) < _EXPLAINED * mismatch(torch.zeros_like(velocity)):
        return velocity
    first = reach * _flow(here, close) / near
    second = (first + _flow(here, moved(there, first))) / reach
    return second if mismatch(second) < mismatch(velocity) / 2 else velocity


def _picture(rates: Tensor, plane: int) -> Tensor:
    """Return a picture ``(H, W)`` that motion can be found in."""
    return rates[max(plane - _PICTURE, 0) : plane + _PICTURE + 1].mean(dim=0)


def _flow(here: Tensor, there: Tensor) -> Tensor:
    """Return where each pixel of a picture is in another, ``(2, H, W)``, right and down.

    A single row or column tells no motion: its pixels stay where they are.
    """
    if min(here.shape) < 2:
        return here.new_zeros(2, *here.shape)
    pictures = (here.cpu().numpy(), there.cpu().numpy())
    down, right = optical_flow_tvl1(*pictures, attachment=_ATTACHMENT, dtype=np.float32)
    return torch.from_numpy(np.stack([right, down])).to(here)
