"""Share of clipped pixels."""

import pytest
import torch

from spike_zoo.media.clipping import ClippedPixels


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
