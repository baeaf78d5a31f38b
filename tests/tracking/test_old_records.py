"""Records of earlier schemas say what today's say."""

from __future__ import annotations

import pytest

from spike_zoo.tracking import RunResult
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("record", "size"),
    [
        ("ssdm/results/cpu/v4-0-e5481a6b", (384, 384)),
        ("ssdm/results/cpu/v4_upsample-0-dc5979d4", (384, 384)),
        ("ssdm/results/cpu/v4_denoise-0", (96, 96)),
        ("stir/results/cpu/full-0", (160, 208)),
    ],
)
def test_committed_records_say_which_image_cost_so_much(record: str, size: tuple[int, int]) -> None:
    result = RunResult.read(ROOT / "experiments" / record)
    assert result.schema == 1
    assert result.image_size == size
