"""Tests of motion estimation, inversion, chaining and FMVR."""

import pytest
import torch
from torch.nn import functional as F

from spike_zoo.methods.sci.features.blocks import warp_features
from spike_zoo.methods.sci.features.motion_estimation import (
    FMVR,
    DISMotion,
    MotionEstimation,
    affine_flow,
    chain_flows,
    fit_affine,
    invert_flow,
    refine_affine,
    smooth_flow,
)
from spike_zoo.nn.warp import warp


def constant(dx: float, dy: float) -> torch.Tensor:
    return torch.tensor([dx, dy]).view(1, 2, 1, 1).expand(1, 2, 20, 24).clone()


def test_a_constant_translation_is_chained_to_its_multiples() -> None:
    for link in (constant(2.0, -1.0), constant(0.37, 1.21)):
        motions = chain_flows([link] * 4)
        expected = torch.stack([times * link for times in (2, 1, -1, -2)], dim=1)
        torch.testing.assert_close(motions, expected, rtol=0, atol=1e-6)


def test_a_missing_link_is_zero_and_does_not_change_the_rest_of_the_chain() -> None:
    link, none = constant(1.0, 0.0), constant(0.0, 0.0)
    first = chain_flows([none, link, link, link])  # t-2 is missing
    torch.testing.assert_close(first[:, 0], link)
    last = chain_flows([link, link, link, none])
    torch.testing.assert_close(last[:, 3], -link)


def test_a_smooth_motion_and_its_inverse_cancel() -> None:
    rows = torch.linspace(0, 3.1, 32).view(1, 1, 32, 1)
    motion = torch.cat([1.5 * rows.sin(), 0.8 * rows.cos()], dim=1).expand(1, 2, 32, 40)
    back = invert_flow(motion.contiguous())
    forward_and_backward = back + warp(motion.contiguous(), back)
    assert forward_and_backward[..., 6:-6, 6:-6].abs().max() < 0.05  # pixels, of motions up to 1.5


def test_motion_of_flat_areas_becomes_that_of_the_edges_nearby() -> None:
    feature = torch.full((1, 3, 40, 40), 0.5)
    feature[..., 15:25, 15:25] = 0.9
    expected = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 40, 40)
    noise = 3 * torch.randn(1, 2, 40, 40, generator=torch.Generator().manual_seed(0))
    noise[..., 12:28, 12:28] = 0
    smooth = smooth_flow(expected + noise, feature)
    torch.testing.assert_close(smooth, expected, rtol=0, atol=0.1)


def test_the_affine_motion_around_an_object_is_fitted_within_autocast() -> None:
    affine = torch.tensor([30.0, 0.5, -0.25, -9.0, 0.0, 0.75]).view(1, 6, 1, 1)
    motion = affine_flow(affine, (64, 96))
    motion[..., 10:40, 20:50] += 5  # an object
    feature = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        fitted = fit_affine(motion, feature)
    torch.testing.assert_close(fitted, affine, rtol=0, atol=0.03)  # a quarter of a step


def test_affine_motion_is_refined_around_an_object_and_not_made_worse() -> None:
    noise = torch.rand(2, 3, 10, 14, generator=torch.Generator().manual_seed(0))
    reference = F.interpolate(noise, scale_factor=8, mode="bicubic")
    affine = torch.tensor([[3.0, 0.5, -0.25, -2.0, 0.0, 0.75], [0.0] * 6]).view(2, 6, 1, 1)
    feature = warp_features(reference, affine_flow(affine, (80, 112)))
    feature[0, :, 20:40, 40:70] = 0.9  # an object
    start = affine + torch.tensor([[0.4], [0.0]]).view(2, 1, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        refined = refine_affine(start, feature, reference)
    torch.testing.assert_close(refined[0], affine[0], rtol=0, atol=0.03)
    assert torch.equal(refined[1], affine[1])


def test_motion_is_estimated_at_any_size_in_full_precision() -> None:
    torch.manual_seed(0)
    estimation = MotionEstimation(0.125)
    current, reference = torch.rand(2, 2, 3, 37, 50)
    with torch.autocast("cpu", torch.bfloat16):
        motion = estimation(current, reference)
    assert motion.shape == (2, 2, 37, 50)
    assert motion.dtype == torch.float32
    sizes = [motion.shape[-2:] for motion in estimation.pyramid(current, reference)]
    assert sizes == [(3 * 2**level, 4 * 2**level) for level in range(5)]


def test_motion_without_training_recovers_translations() -> None:
    noise = torch.rand(1, 1, 96, 112, generator=torch.Generator().manual_seed(0))
    scene = F.avg_pool2d(noise, 5, 1, 2).mul(3).sub(1).expand(1, 3, -1, -1)
    shifts = [(5, -3), (0, 0), (-2, 4)]
    reference = torch.cat([scene.roll(shift, (-1, -2)) for shift in shifts])
    motion = DISMotion()(scene.expand(3, -1, -1, -1), reference)
    expected = torch.tensor(shifts).view(3, 2, 1, 1)
    errors = (motion - expected)[..., 16:-16, 16:-16].square().sum(1).sqrt()
    assert errors.flatten(1).mean(1).max() < 0.3  # pixels


def test_untrained_refinement_does_not_change_the_motion() -> None:
    torch.manual_seed(0)
    refine, motion, feature = FMVR(), torch.randn(2, 2, 9, 11), torch.rand(2, 3, 9, 11)
    assert torch.equal(refine(motion, feature), motion)
    optimiser = torch.optim.SGD(refine.parameters(), 0.5)
    for _ in range(3):
        optimiser.zero_grad()
        (refine(motion, feature) - feature[:, :2]).square().mean().backward()
        optimiser.step()
    assert not torch.equal(refine(motion, feature), motion)
    assert all(value.grad is not None and value.grad.any() for value in refine.parameters())


def test_motion_of_nan_is_rejected_before_sampling() -> None:
    motion = torch.full((1, 2, 16, 16), torch.nan)
    with pytest.raises(ValueError, match=r"motion is not finite.*lower learning_rate"):
        warp_features(torch.zeros(1, 3, 16, 16), motion)
