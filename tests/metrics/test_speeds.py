"""Speed of a recording from its name."""

import pytest

from spike_zoo.metrics.speeds import SPEEDS, speed_of, split_speed
from spike_zoo.simulation.defaults import SPEEDS as DEFAULT_SPEEDS
from spike_zoo.simulation.kinds.sequences import BANDS


@pytest.mark.parametrize(
    ("name", "speed"),
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
def test_a_speed_is_a_whole_word_of_a_name(name: str, speed: str | None) -> None:
    assert speed_of(name) == speed


def test_simulated_scenes_use_the_same_speeds() -> None:
    assert tuple(BANDS) == tuple(DEFAULT_SPEEDS) == SPEEDS


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_metric_name_is_split_into_metric_and_speed(speed: str) -> None:
    assert split_speed(f"ssim_{speed}") == ("ssim", speed)
    assert split_speed(speed) == (speed, None)
    assert split_speed(f"ssim{speed}") == (f"ssim{speed}", None)
