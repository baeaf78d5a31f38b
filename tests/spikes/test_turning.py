"""The eight flips and rotations, against reference arrays."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spike_zoo.nn.warp import warp
from spike_zoo.spikes.turning import (
    MODES,
    SHAPE_KEEPING_MODES,
    apply_mode,
    apply_modes,
    inverse_mode,
    turn_flow,
    turn_flows,
)


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


@pytest.mark.parametrize("mode", range(8))
def test_the_inverse_of_a_mode_undoes_it(mode: int) -> None:
    clip = torch.arange(3 * 4).view(3, 4)
    assert torch.equal(apply_mode(apply_mode(clip, mode), inverse_mode(mode)), clip)


def test_shape_keeping_modes_keep_the_shape_and_the_others_do_not() -> None:
    oblong = torch.zeros(1, 3, 5)
    for mode in range(len(MODES)):
        keeps = apply_mode(oblong, mode).shape == oblong.shape
        assert keeps == (mode in SHAPE_KEEPING_MODES)


@pytest.mark.parametrize("mode", range(8))
def test_turned_motion_maps_between_the_turned_images(mode: int) -> None:
    generator = torch.Generator().manual_seed(mode)
    earlier = torch.rand(1, 1, 9, 12, generator=generator)
    # whole pixels that stay inside, so that warping only moves values about
    x = torch.randint(12, (9, 12), generator=generator) - torch.arange(12)
    y = torch.randint(9, (9, 12), generator=generator) - torch.arange(9)[:, None]
    motion = torch.stack([x, y])[None].float()
    later = warp(earlier, motion)
    warped = warp(apply_mode(earlier, mode), turn_flow(motion, mode))
    torch.testing.assert_close(warped, apply_mode(later, mode), atol=1e-5, rtol=0)


def test_motion_of_each_clip_is_turned_by_its_own_mode() -> None:
    right = torch.tensor([1.0, 0.0]).view(1, 1, 2, 1, 1).expand(3, 4, 2, 5, 5).clone()
    right[:, 0, :, 0, 0] = torch.nan
    turned = turn_flows(right, torch.tensor([0, 5, 6]))
    vectors = [(1.0, 0.0), (0.0, -1.0), (-1.0, 0.0)]  # 5 turns counter-clockwise: right goes up
    for clip, vector in zip(turned, vectors, strict=True):
        assert torch.isnan(clip).sum() == 2
        vectors_of_clip = clip[1].flatten(1)
        torch.testing.assert_close(vectors_of_clip, torch.tensor(vector)[:, None].expand(2, 25))
    assert torch.isnan(turned[1, 0, :, -1, 0]).all()  # the upper left corner is now below
