"""Clips that are distorted: what is the same for all frames, and what motion becomes."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from spike_zoo.methods.sci.features.blocks import warped
from spike_zoo.methods.sci.training.augmentation import (
    distorted,
    distorted_motions,
    drawn_distortion,
)


def smooth(*shape: int) -> torch.Tensor:
    """Return images without detail that resampling would lose."""
    coarse = torch.rand(*shape[:2], 5, 5, generator=torch.Generator().manual_seed(1))
    return F.interpolate(coarse, shape[2:], mode="bicubic", align_corners=False)


def test_nothing_is_distorted_by_an_amount_of_zero() -> None:
    images = smooth(2, 3, 24, 36)
    nothing = drawn_distortion(2, 0.0, torch.Generator().manual_seed(0))
    torch.testing.assert_close(distorted(images, nothing), images, rtol=0, atol=1e-5)


def test_every_sample_is_distorted_by_its_own_and_its_frames_alike() -> None:
    frame = smooth(1, 1, 24, 36)
    images = frame.expand(4, 3, -1, -1)
    found = distorted(images, drawn_distortion(4, 0.2, torch.Generator().manual_seed(0)))
    assert torch.equal(found[:, 0], found[:, 2])
    first, second = found[0, 0], found[1, 0]
    assert (first - second).abs().mean() > 0.02
    again = distorted(images, drawn_distortion(4, 0.2, torch.Generator().manual_seed(0)))
    assert torch.equal(found, again)


def test_a_turn_keeps_angles_where_sides_differ() -> None:
    quarter = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
    bar = torch.zeros(1, 1, 33, 65)
    bar[..., 16, 22:43] = 1.0  # 21 pixels wide
    found = distorted(bar, quarter)
    assert found[0, 0, 6:27, 32].min() > 0.9  # 21 pixels high
    assert found.sum() == torch.tensor(21.0)


def test_motion_still_leads_from_frame_to_frame() -> None:
    before = smooth(4, 1, 40, 56)
    motion = torch.tensor([2.0, -1.0]).view(1, 1, 2, 1, 1).expand(4, 1, 2, 40, 56)
    after = warped(before, motion[:, 0])
    distortion = drawn_distortion(4, 0.15, torch.Generator().manual_seed(3))
    turned = distorted_motions(motion, distortion)
    assert (turned - motion).abs().amax() > 0.3  # else the test shows nothing
    again = warped(distorted(before, distortion), turned[:, 0])
    inner = (..., slice(8, -8), slice(8, -8))
    wanted = distorted(after, distortion)[inner]
    error, still = (
        (one[inner] - wanted).abs().mean() for one in (again, distorted(before, distortion))
    )
    assert error < 0.1 * still
