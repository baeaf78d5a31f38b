"""Speed of a recording from its name."""

from __future__ import annotations

import pytest

from spike_zoo.metrics.speeds import SPEEDS, speed_of, split_speed
from spike_zoo.simulation.defaults import SPEEDS as DEFAULT_PACES
from spike_zoo.simulation.kinds.sequences import BANDS


@pytest.mark.parametrize(
    ("name", "pace"),
    [
        ("test-astronaut-slow-00", "slow"),
        ("fast", "fast"),
        ("street_Medium.3", "medium"),
        ("slow-slow", "slow"),
        ("slow-then-fast", None),
        ("breakfast-1", None),
        ("slowly", None),
        ("fast2", None),
        ("", None),
    ],
)
def test_a_pace_is_a_whole_word_of_a_name(name: str, pace: str | None) -> None:
    assert speed_of(name) == pace


def test_simulated_scenes_are_called_by_the_same_paces() -> None:
    assert tuple(BANDS) == tuple(DEFAULT_PACES) == SPEEDS


@pytest.mark.parametrize("pace", SPEEDS)
def test_a_metric_of_a_pace_is_taken_apart(pace: str) -> None:
    assert split_speed(f"ssim_{pace}") == ("ssim", pace)
    assert split_speed(pace) == (pace, None)
    assert split_speed(f"ssim{pace}") == (f"ssim{pace}", None)
