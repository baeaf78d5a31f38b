"""Multi-scale flow loss against closed forms."""

import pytest
import torch

from spike_zoo.nn.flow import flow_loss, mean_error, padded_flow, pooled_flow


def test_pooled_flow_is_in_pixels_of_the_smaller_image_and_unknown_values_stay_nan() -> None:
    truth = torch.zeros(1, 2, 4, 4)
    truth[:, 0] = 6.0
    truth[:, :, :2] = torch.nan
    truth[:, :, 2, :2] = torch.nan
    half = pooled_flow(truth, 2)
    assert torch.isnan(half[:, :, 0]).all()
    assert half[0, 0, 1].tolist() == [3.0, 3.0]  # pixels of the smaller image
    assert mean_error(half.new_zeros(1, 2, 2, 2), half) == pytest.approx(3.0)


def test_unknown_flow_has_no_gradient() -> None:
    truth = torch.full((1, 2, 4, 4), torch.nan)
    truth[..., :2] = 1.0
    motion = torch.zeros(1, 2, 4, 4, requires_grad=True)
    flow_loss({1: motion}, truth).backward()
    assert motion.grad is not None
    assert (motion.grad[..., :2] < 0).all()
    assert not motion.grad[..., 2:].any()


def test_flow_is_unknown_in_the_padding() -> None:
    padded = padded_flow(torch.ones(1, 2, 2, 3, 5), 4)
    assert padded.shape == (1, 2, 2, 4, 8)
    assert padded.nansum() == 2 * 2 * 3 * 5
    assert torch.isnan(padded[..., 3, :]).all()
