"""As many images together as memory allows, and never none."""

from __future__ import annotations

import pytest
import torch

from spike_zoo.methods.ssdm.images_at_once import images_at_once

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_images_share_the_memory_that_is_given() -> None:
    assert images_at_once(2**28, 1.0, CPU) == 4
    assert images_at_once(2**28 + 1, 1.0, CPU) == 3
    assert images_at_once(2**40, 1.0, CPU) == 1


def test_accelerators_take_more_where_nothing_is_said() -> None:
    assert images_at_once(2**25, None, GPU) > images_at_once(2**25, None, CPU)


@pytest.mark.parametrize("memory", [0.0, -1.0, float("nan")])
def test_no_memory_is_refused(memory: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        images_at_once(1, memory, CPU)
