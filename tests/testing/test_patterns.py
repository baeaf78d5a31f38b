"""Consistency of spikes and ground truth of drifting patterns."""

from typing import Any

import numpy as np
import pytest

from spike_zoo.testing import labelled_take, pattern_take
from spike_zoo.testing.patterns import drifting_pattern

HEIGHT, WIDTH = 9, 14


def test_spikes_account_for_the_light_of_the_pattern_within_one_charge() -> None:
    take = pattern_take(3, 61, HEIGHT, WIDTH)
    light = drifting_pattern(61, HEIGHT, WIDTH, 3).sum(axis=0)
    scale: Any = take.recording.rate_scale
    fired = take.recording[0:61].sum(axis=0)
    assert np.abs(fired - scale * light).max() <= 1, "the remaining charge is below the threshold"


@pytest.mark.parametrize(
    ("planes", "stride", "index"),
    [(81, 0, [40]), (81, 30, [10, 40, 70]), (82, 20, [1, 21, 41, 61, 81])],
)
def test_ground_truth_is_the_pattern_at_the_middle_plane_and_at_multiples_of_the_stride(
    planes: int, stride: int, index: list[int]
) -> None:
    take: Any = pattern_take(5, planes, HEIGHT, WIDTH, stride)
    assert take.image_index.tolist() == index
    pattern = drifting_pattern(planes, HEIGHT, WIDTH, 5)
    np.testing.assert_allclose(take.images / 255, pattern[index], atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize(("seed", "along"), [(0, 0), (1, 1), (2, 0), (3, 1)])
def test_the_direction_of_stripes_is_their_class(seed: int, along: int) -> None:
    take = labelled_take(seed, 41, HEIGHT, WIDTH)
    assert take.label == seed % 2
    windows = take.recording[0:40].reshape(8, 5, HEIGHT, WIDTH).mean(axis=1)
    # stripes of class 0 are vertical (columns differ, rows do not), those of class 1 horizontal
    columns, rows = (windows.mean(axis=axis).std(axis=1).mean() for axis in (1, 2))
    assert (columns, rows)[along] > 2 * (columns, rows)[1 - along]
