"""Padding to multiples and squares, and cropping."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.nn.padding import crop_padding, pad_to_multiple, pad_to_square


@given(
    height=st.integers(1, 40), width=st.integers(1, 40), multiple=st.sampled_from([4, 8, 16])
)  # fmt: skip
def test_padding_replicates_the_border_on_both_sides_and_cropping_reverses_it(
    height: int, width: int, multiple: int
) -> None:
    x = torch.rand(1, 2, height, width)
    padded = pad_to_multiple(x, multiple)
    missing = [-size % multiple for size in (height, width)]
    sides = [(0, 0), (0, 0), *((m // 2, m - m // 2) for m in missing)]
    np.testing.assert_array_equal(padded.numpy(), np.pad(x.numpy(), sides, mode="edge"))
    torch.testing.assert_close(crop_padding(padded, height, width), x, rtol=0.0, atol=0.0)


@pytest.mark.parametrize(("height", "width"), [(7, 7), (5, 8), (8, 5), (4, 10), (16, 6)])
def test_square_padding_reflects_the_shorter_side_and_cropping_reverses_it(
    height: int, width: int
) -> None:
    x = torch.rand(1, 2, height, width)
    square = pad_to_square(x)
    missing = [max(height, width) - size for size in (height, width)]
    sides = [(0, 0), (0, 0), *((m // 2, m - m // 2) for m in missing)]
    np.testing.assert_array_equal(square.numpy(), np.pad(x.numpy(), sides, mode="reflect"))
    assert torch.equal(crop_padding(square, height, width), x)
