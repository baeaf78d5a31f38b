"""Evaluations of steps: captions and playback."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.tasks import Origin, SamplePictures
from spike_zoo.tasks.evaluation import playback


@pytest.mark.parametrize(
    ("origin", "caption"),
    [
        (Origin("street", 75), "street, plane 75"),
        (Origin("street", 0), "street, plane 0"),
        (Origin("street"), "street"),
    ],
)
def test_a_caption_states_the_recording_and_its_plane_if_any(origin: Origin, caption: str) -> None:
    assert SamplePictures(origin, {}, "a").caption == caption
    assert SamplePictures(origin, {}, "a", "a cat").caption == f"{caption}: a cat"


@pytest.mark.parametrize(
    ("center", "window", "rate"),
    [
        (10, 5, 0.0),  # planes 8..12
        (10, 21, 1 / 21),  # plane 20 alone of 0..20
        (20, 5, 3 / 5),
        (39, 5, 1.0),  # cut to planes 37..39
        (0, 41, 1 / 21),  # cut to planes 0..20
    ],
)
def test_playback_is_the_mean_of_the_existing_planes(center: int, window: int, rate: float) -> None:
    spikes = torch.zeros(40, 2, 3)
    spikes[20:] = 1  # light from plane 20 on
    torch.testing.assert_close(playback(spikes, 1.0, center, window), torch.full((2, 3), rate))


@given(scale=st.floats(0.05, 2.0), fired=st.integers(0, 9))
def test_playback_is_divided_by_the_rate_scale_and_clipped_to_1(scale: float, fired: int) -> None:
    spikes = torch.zeros(9, 1, 1)
    spikes[:fired] = 1
    actual = playback(spikes, scale, 4, 9).item()
    assert actual == pytest.approx(min(1.0, fired / 9 / scale), rel=1e-5)
