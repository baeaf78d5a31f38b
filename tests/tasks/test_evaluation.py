"""Evaluations of steps: captions and playback."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.tasks.evaluation import CaptionedImages, Origin, playback


def test_a_caption_states_the_recording_and_its_plane_if_any() -> None:
    for plane, caption in ((75, "street, plane 75"), (0, "street, plane 0"), (None, "street")):
        origin = Origin("street", plane)
        assert CaptionedImages(origin, {}, "a").caption == caption
        assert CaptionedImages(origin, {}, "a", "a cat").caption == f"{caption}: a cat"


def test_playback_is_the_mean_of_the_existing_planes() -> None:
    spikes = torch.zeros(40, 2, 3)
    spikes[20:] = 1  # light from plane 20 on
    # windows within the clip, with one lit plane, half lit, and cut at either end
    cases = {(10, 5): 0.0, (10, 21): 1 / 21, (20, 5): 3 / 5, (39, 5): 1.0, (0, 41): 1 / 21}
    for (center, window), rate in cases.items():
        actual = playback(spikes, 1.0, center, window)
        torch.testing.assert_close(actual, torch.full((2, 3), rate))


@given(scale=st.floats(0.05, 2.0), fired=st.integers(0, 9))
def test_playback_is_divided_by_the_rate_scale_and_clipped_to_1(scale: float, fired: int) -> None:
    spikes = torch.zeros(9, 1, 1)
    spikes[:fired] = 1
    actual = playback(spikes, scale, 4, 9).item()
    assert actual == pytest.approx(min(1.0, fired / 9 / scale), rel=1e-5)
