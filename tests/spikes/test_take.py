"""Conversion of images of takes to grey."""

import numpy as np

from spike_zoo.spikes.take import grey


def test_colour_and_deep_images_become_grey_in_the_unit_range() -> None:
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_allclose(grey(red), 0.299, rtol=1e-6)
    np.testing.assert_allclose(grey(np.full((2, 2), 65535, np.uint16)), 1.0)
    byte = np.full((2, 2), 7, np.uint8)
    assert grey(byte).dtype == np.uint8
