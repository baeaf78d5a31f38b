"""What an analysis takes of features in time: those around a target, and the motion to them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from spike_zoo.methods.sci.features.motion_estimation import chained
from spike_zoo.methods.sci.features.windows import REACH


class AnalysisInput(NamedTuple):
    """What an analysis module takes.

    Shape:
        - features: ``(B, 5, 3, H, W)`` at t-2 .. t+2.
        - motions: ``(B, 4, 2, H, W)`` in pixels, from t to t-2, t-1, t+1, t+2.
    """

    features: Tensor
    motions: Tensor


def surroundings(features: Tensor, links: Tensor, target: int) -> AnalysisInput:
    """Return five features around a target and the motion from it to the four others.

    Where one is missing the nearest is used, with the motion to it.

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
    return AnalysisInput(features[:, around], chained(known))
