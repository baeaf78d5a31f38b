"""Five features around a target, and the motion to them."""

from __future__ import annotations

import torch

from spike_zoo.methods.sci.analysis.inputs import surroundings


def numbered(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features that are their number, and motion of 1 px to the one before each."""
    features = torch.arange(float(count)).view(1, count, 1, 1, 1).expand(1, count, 3, 8, 8)
    links = torch.zeros(1, count, 2, 8, 8)
    links[:, :, 0] = 1.0
    return features, links


def told(count: int, target: int) -> tuple[list[float], list[float]]:
    found = surroundings(*numbered(count), target)
    return found.features[0, :, 0, 0, 0].tolist(), found.motions[0, :, 0, 4, 4].tolist()


def test_a_target_with_all_neighbours_sees_them_at_their_distance() -> None:
    assert told(7, 3) == ([1, 2, 3, 4, 5], [2, 1, -1, -2])


def test_where_one_is_missing_the_nearest_stands_in_with_the_motion_to_it() -> None:
    assert told(7, 0) == ([0, 0, 0, 1, 2], [0, 0, -1, -2])
    assert told(7, 1) == ([0, 0, 1, 2, 3], [1, 1, -1, -2])
    assert told(7, 5) == ([3, 4, 5, 6, 6], [2, 1, -1, -1])
    assert told(7, 6) == ([4, 5, 6, 6, 6], [2, 1, 0, 0])
    assert told(1, 0) == ([0] * 5, [0] * 4)
