"""Share of clipped pixels, and rate scales that clip almost none."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.media.clipping import ClippedPixels, unclipped_rate_scale


@given(seed=st.integers(0, 99), brightest=st.floats(0.02, 1.0))
def test_a_rate_scale_of_all_images_clips_at_most_one_in_ten_thousand_pixels(
    seed: int, brightest: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = [brightest * torch.rand(1, 100, 100, generator=generator) for _ in range(3)]
    images[0][0, 0, 0] = 1.0  # a defective pixel does not darken the video
    scale = unclipped_rate_scale(images)
    clipped = ClippedPixels(scale)
    list(clipped.counted((image / scale).clamp(0, 1) for image in images))
    assert clipped.share <= 1e-4
    assert scale <= 1.1 * brightest


@pytest.mark.parametrize(("share", "has_note"), [(0.02, True), (0.01, False), (0.0, False)])
def test_clipped_pixels_are_reported_above_one_percent(share: float, has_note: bool) -> None:
    image = torch.full((1, 10, 100), 0.5)
    image.view(-1)[: round(1000 * share)] = 1.0
    clipped = ClippedPixels(0.4)
    (same,) = clipped.counted([image])
    assert same is image
    assert clipped.share == share
    assert ("2.0% of the pixels are clipped or" in clipped.note) == has_note
    black = ClippedPixels(0.4)
    list(black.counted([0 * image]))
    assert "all images are black" in black.note
    whole = ClippedPixels(1.0)  # no rate is above one spike per plane
    list(whole.counted([image]))
    assert whole.note == ""
