"""Orders of channels and the grey they agree on."""

from __future__ import annotations

import pytest
import torch

from spike_zoo.methods.ssdm.colour import check_channel_order, grey, reordered


def test_reordering_swaps_red_and_blue_and_back() -> None:
    image = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)
    assert torch.equal(reordered(image, "rgb"), image)
    turned = reordered(image, "bgr")
    assert torch.equal(turned.flatten(), torch.tensor([0.3, 0.2, 0.1]))
    assert torch.equal(reordered(turned, "bgr"), image)


def test_grey_weighs_the_colours_as_published_in_either_order() -> None:
    red, green, blue = torch.eye(3).view(3, 3, 1, 1)
    for image, weight in ((red, 0.30), (green, 0.59), (blue, 0.11)):
        assert grey(image).item() == pytest.approx(weight)
        assert grey(reordered(image, "bgr"), "bgr").item() == pytest.approx(weight)
    assert grey(torch.rand(5, 2, 3, 4, 6)).shape == (5, 2, 1, 4, 6)


def test_other_orders_are_refused() -> None:
    with pytest.raises(ValueError, match=r"channel_order must be one of .*'gbr'"):
        check_channel_order("gbr")
