"""What is kept out of half precision."""

from __future__ import annotations

import torch
from torch import nn

from spike_zoo.nn.precision import in_full_precision


def test_a_layer_keeps_full_precision_within_autocast() -> None:
    conv = nn.Conv2d(4, 2, 3, padding=1)
    x = torch.randn(1, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert conv(x).dtype == torch.bfloat16
        exact = in_full_precision(conv, x)
    torch.testing.assert_close(exact, conv(x), rtol=0.0, atol=0.0)
