"""Detection of fast bf16, and layers excluded from autocast."""

import pytest
import torch
from torch import nn

from spike_zoo.nn import precision
from spike_zoo.nn.precision import has_fast_bf16, in_full_precision


@pytest.mark.parametrize(("half", "is_fast"), [(0.5, True), (1.7, False)])
def test_bf16_is_fast_if_a_matrix_product_takes_less_time(
    monkeypatch: pytest.MonkeyPatch, half: float, is_fast: bool
) -> None:
    threads = torch.get_num_threads()
    monkeypatch.setattr(
        precision, "_product_seconds", {torch.float32: 1.0, torch.bfloat16: half}.get
    )
    precision._is_faster_in_bf16.cache_clear()
    try:
        assert has_fast_bf16(gpu=False) is is_fast
    finally:
        precision._is_faster_in_bf16.cache_clear()
    assert torch.get_num_threads() == threads


def test_a_layer_keeps_full_precision_within_autocast() -> None:
    conv = nn.Conv2d(4, 2, 3, padding=1)
    x = torch.randn(1, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert conv(x).dtype == torch.bfloat16
        exact = in_full_precision(conv, x)
    torch.testing.assert_close(exact, conv(x), rtol=0.0, atol=0.0)
