"""End-point errors against closed forms."""

from __future__ import annotations

import torch

from spike_zoo.metrics.flow import end_point_error, still_error


def test_errors_are_lengths_in_pixels_where_the_truth_is_known() -> None:
    truth = torch.zeros(2, 2, 4, 6)
    truth[0, 0], truth[0, 1] = 3.0, 4.0
    truth[1, 0] = 2.0
    truth[1, :, :, 3:] = torch.nan
    found = torch.zeros_like(truth)
    found[1, 0] = 5.0
    assert end_point_error(found, truth).tolist() == [5.0, 3.0]
    assert still_error(found, truth).tolist() == [5.0, 2.0]
