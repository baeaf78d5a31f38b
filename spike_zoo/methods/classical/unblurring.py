"""What intervals blur while things move, taken back from a picture along the motion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from spike_zoo.methods.classical.flow import moved, shifts_at
from spike_zoo.nn.box_filter import box_filter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

ROUNDS: Final = 2
_STEP: Final = 0.6  # of what is left over, a round
_CAUTION: Final = 3.0  # noise powers that what is left over is held against
_SIDE: Final = 7  # of the squares in which it is
_LEAST: Final = 0.2  # of the groups must tell what is left over
_FEW: Final = 8  # planes moved at once: sampling takes many times their memory


def unblurred(
    picture: Tensor,
    spikes: Tensor,
    middle: int,
    velocity: Tensor,
    groups: Sequence[Sequence[int]],
    weights: Tensor,
) -> Tensor:
    """Return a picture with the light that every interval saw on its way.

    An interval tells the mean light between two spikes, during which things move on: dark pixels
    blur most. A picture that is moved along predicts what each interval should have seen; what
    they saw beyond is moved back and added, as far as groups of planes agree on it.

    Args:
        picture: ``(H, W)``, spikes a plane at the middle plane.
        spikes: ``(T, H, W)``, 0 or 1.
        middle: Number of the middle plane among them.
        velocity: ``(2, 2, H, W)``, pixels a plane, right and down: of the planes before the middle
            one, of those after it.
        groups: Planes, by their numbers, whose intervals count together.
        weights: How much every group counts at each pixel, ``(N, H, W)``, 1 in all.

    Source: ours; iterative back-projection is Irani and Peleg's, CVGIP 1991.
    """
    count = len(spikes)
    begins, ends = interval_ends(spikes)
    whole = (begins >= 0) & (ends < count)  # those that begin and end within the clip tell
    shifts = [shifts_at(group, middle, velocity) for group in groups]
    known = _each_moved([whole[list(group)].to(picture) for group in groups], shifts)
    known = (weights * known.clamp(0, 1)).sum(dim=0).clamp(min=_LEAST)
    for _ in range(ROUNDS):
        light = _light(picture, count, middle, velocity)
        beyond = [
            torch.where(whole[each], _beyond(light, begins[each], ends[each]), 0.0)
            for each in map(list, groups)
        ]
        agreed = _agreed(_each_moved(beyond, shifts), known, weights)
        picture = (picture + _STEP * agreed).clamp(min=0)
    return picture


def interval_ends(spikes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the last spike up to every plane and the first one after it, ``(T, H, W)`` each.

    They are numbers of planes, -1 and T where there is none.
    """
    count = len(spikes)
    planes = torch.arange(count, dtype=torch.int16, device=spikes.device).view(-1, 1, 1)
    fires = spikes != 0
    last = torch.where(fires, planes, -1).cummax(dim=0).values
    following = torch.where(fires, planes, count).flip(0).cummin(dim=0).values.flip(0)
    return last, torch.cat([following[1:], torch.full_like(following[:1], count)])


def _light(picture: Tensor, count: int, middle: int, velocity: Tensor) -> Tensor:
    """Return the light up to each plane that a picture predicts, ``(T + 1, H, W)``."""
    light = picture.new_zeros(count + 1, *picture.shape)
    for first in range(0, count, _FEW):
        planes = range(first, min(first + _FEW, count))
        shifts = -shifts_at(planes, middle, velocity)
        light[first + 1 : planes.stop + 1] = moved(picture.expand(len(planes), -1, -1), shifts)
    return light.clamp_(min=0).cumsum(dim=0)


def _beyond(light: Tensor, begins: Tensor, ends: Tensor) -> Tensor:
    """Return by how much intervals were brighter than predicted, ``(N, H, W)``, spikes a plane."""
    # light of the planes after one spike up to the next: where that is 1, the pixel fires
    predicted = light.gather(0, (ends.long() + 1).clamp(max=len(light) - 1))
    predicted = predicted - light.gather(0, begins.long() + 1)
    return (1 - predicted) / (ends - begins).clamp(min=1)


def _each_moved(groups: Sequence[Tensor], shifts: Sequence[Tensor]) -> Tensor:
    """Return the mean of every group as things are at the middle plane, ``(N, H, W)``."""
    pairs = zip(groups, shifts, strict=True)
    return torch.stack([moved(planes, shift, "bilinear").mean(dim=0) for planes, shift in pairs])


def _agreed(beyond: Tensor, known: Tensor, weights: Tensor) -> Tensor:
    """Return the mean of what groups saw beyond, less where they differ: a Wiener filter's."""
    mean = (weights * beyond).sum(dim=0) / known
    noise = (weights * (beyond - mean).square()).sum(dim=0) * weights.square().sum(dim=0)
    power, noise = box_filter(torch.stack([mean.square(), noise]), _SIDE)
    return mean * power / (power + _CAUTION * noise + 1e-12)
