"""Padding to what a pyramid can halve, and back."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.nn.padding import crop_padding, pad_to_multiple


@given(
    height=st.integers(1, 40), width=st.integers(1, 40), multiple=st.sampled_from([4, 8, 16])
)  # fmt: skip
def test_padding_repeats_the_border_evenly_and_cropping_undoes_it(
    height: int, width: int, multiple: int
) -> None:
    x = torch.rand(1, 2, height, width)
    padded = pad_to_multiple(x, multiple)
    missing = [-size % multiple for size in (height, width)]
    sides = [(0, 0), (0, 0), *((m // 2, m - m // 2) for m in missing)]
    np.testing.assert_array_equal(padded.numpy(), np.pad(x.numpy(), sides, mode="edge"))
    torch.testing.assert_close(crop_padding(padded, height, width), x, rtol=0.0, atol=0.0)
