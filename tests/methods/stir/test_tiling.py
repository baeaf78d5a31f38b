"""Tests of tiling: coverage, weights, and equality with untiled frames."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from spike_zoo.methods.stir import STIR
from spike_zoo.methods.stir.tiling import OVERLAP, TileGrid, spans
from spike_zoo.nn.padding import pad_to_multiple

STEP = 16


@given(length=st.integers(1, 200).map(lambda n: n * STEP), side=st.integers(8, 64))
def test_weights_of_spans_sum_to_1_everywhere(length: int, side: int) -> None:
    longest = side * STEP
    covering = spans(length, longest, STEP)
    total = torch.zeros(length)
    for span in covering:
        assert 0 <= span.start < span.stop <= length
        assert span.stop - span.start <= longest
        assert span.start % STEP == span.stop % STEP == 0
        total[span.start : span.stop] += span.weight
    torch.testing.assert_close(total, torch.ones(length))
    for span, following in pairwise(covering):
        assert span.stop - following.start >= OVERLAP
    assert (len(covering) == 1) == (length <= longest)


@given(
    height=st.integers(1, 300), width=st.integers(1, 300), side=st.sampled_from([0, 128, 144, 250])
)
def test_tiles_are_cut_from_the_padded_frame_and_join_to_the_frame(
    height: int, width: int, side: int
) -> None:
    planes = torch.arange(2 * height * width).remainder(251).view(2, height, width).to(torch.uint8)
    grid = TileGrid(height, width, STEP, side)
    padded = pad_to_multiple(planes.float()[None], STEP)[0]
    cut = [grid.cut(planes, tile) for tile in grid.tiles]
    for (rows, columns), part in zip(grid.tiles, cut, strict=True):
        expected = padded[:, rows.start : rows.stop, columns.start : columns.stop]
        assert torch.equal(part, expected)
    joined = grid.join([part[:1, None] for part in cut])
    torch.testing.assert_close(joined[0, 0], planes[0].float())


def test_only_large_frames_are_tiled_by_default() -> None:
    assert len(TileGrid(1000, 1000, STEP).tiles) == 1
    assert len(TileGrid(720, 1280, STEP).tiles) == 1
    grid = TileGrid(2160, 3840, STEP)
    sides = {span.stop - span.start for tile in grid.tiles for span in tile}
    assert len(grid.tiles) == 12
    assert max(sides) <= 1024
    assert len(TileGrid(2160, 3840, STEP, 0).tiles) == 1


@pytest.mark.parametrize("side", [1, 127, -5])
def test_tiles_below_128_pixels_are_rejected(side: int) -> None:
    with pytest.raises(ValueError, match="at least 128"):
        TileGrid(300, 300, STEP, side)


def test_tiled_and_untiled_images_are_equal_at_the_seams() -> None:
    """Compare with four tiles, each with two adjacent tiles and two frame borders."""
    torch.manual_seed(0)
    network = STIR(width=0.5).eval()
    rate = F.interpolate(torch.rand(1, 1, 16, 16), size=(190, 190), mode="bicubic")
    planes = (torch.rand(61, 190, 190) < rate[0].clamp(0.05, 0.6)).to(torch.uint8)
    grid = TileGrid(190, 190, network.multiple, 128)
    assert len(grid.tiles) == 4
    with torch.no_grad():
        whole = network(planes.float()[None])
        tiles = [network(grid.cut(planes, tile)[None]) for tile in grid.tiles]
    assert whole.std() > 0.01
    difference = (grid.join(tiles) - whole).abs()
    assert difference.max() < 2e-4
    assert difference.mean() < 1e-5
