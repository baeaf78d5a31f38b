"""The eight turns against the reference figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spike_zoo.spikes.turning import MODES, SHAPE_KEEPING_MODES, apply_mode, apply_modes


@pytest.mark.parametrize("mode", range(8))
def test_modes_equal_the_reference(golden: Path, mode: int) -> None:
    figures = np.load(golden / "stir_golden.npz")
    turned = apply_mode(torch.from_numpy(figures["augment/input"]), mode)
    np.testing.assert_array_equal(turned.numpy(), figures[f"augment/mode{mode}"])


def test_each_clip_of_a_batch_is_turned_by_its_own_mode() -> None:
    batch = torch.arange(2 * 3 * 4 * 4).view(2, 3, 4, 4)
    turned = apply_modes(batch, torch.tensor([2, 4]))
    torch.testing.assert_close(turned[0], batch[0].flip(-2))
    torch.testing.assert_close(turned[1], batch[1].flip(-1))


def test_shape_keeping_modes_keep_the_shape_and_the_others_do_not() -> None:
    oblong = torch.zeros(1, 3, 5)
    for mode in range(len(MODES)):
        keeps = apply_mode(oblong, mode).shape == oblong.shape
        assert keeps == (mode in SHAPE_KEEPING_MODES)
