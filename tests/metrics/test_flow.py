"""End-point errors against closed forms."""

import pytest
import torch

from spike_zoo.metrics.flow import end_point_error, flow_spread, still_error


def test_errors_are_mean_lengths_in_pixels_over_known_flow() -> None:
    truth = torch.zeros(2, 2, 4, 6)
    truth[0, 0], truth[0, 1] = 3.0, 4.0
    truth[1, 0] = 2.0
    truth[1, :, :, 3:] = torch.nan
    flow = torch.zeros_like(truth)
    flow[1, 0] = 5.0
    assert end_point_error(flow, truth).tolist() == [5.0, 3.0]
    assert still_error(flow, truth).tolist() == [5.0, 2.0]


def test_the_spread_is_0_on_a_line_and_the_ratio_of_the_axes_of_an_ellipse() -> None:
    samples = torch.randn(2, 2, 40, 50, generator=torch.Generator().manual_seed(0))
    line = samples[:, :1] * torch.tensor([-0.786, 0.618]).view(1, 2, 1, 1)
    assert float(flow_spread(line)) < 1e-3
    assert float(flow_spread(torch.zeros(1, 2, 4, 4))) == 0
    ellipse = samples * torch.tensor([4.0, 1.0]).view(1, 2, 1, 1)
    assert float(flow_spread(ellipse)) == pytest.approx(0.25, abs=0.02)
