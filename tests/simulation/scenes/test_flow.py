"""Ground-truth motion and occlusion of layers."""

from __future__ import annotations

import math

import numpy as np

from spike_zoo.simulation.scenes.flow import Sheet, backward_motion
from spike_zoo.simulation.scenes.trajectory import Motion

STILL = Sheet(Motion(), None, 2)
SIZE = 20, 24


def square(motion: Motion, side: int = 8, ratio: int = 1) -> Sheet:
    """Return an object that covers ``side`` x ``side`` spike-camera pixels."""
    return Sheet(motion, np.ones((2 * side * ratio, 2 * side * ratio), np.float32), 2)


def test_a_background_moves_by_its_shift_and_enters_from_outside() -> None:
    sheet = Sheet(Motion(velocity=(2.0, -1.0)), None, 2)
    found = backward_motion([sheet], SIZE, 1, 5, 3)
    assert found.dtype == np.float32
    assert found.shape == (2, 20, 24)
    seen = ~np.isnan(found).any(axis=0)
    expected = np.zeros(SIZE, np.bool_)
    expected[:-2, 4:] = True  # it came 4 pixels from the left and 2 from below
    np.testing.assert_array_equal(seen, expected)
    np.testing.assert_array_equal(np.isnan(found[0]), np.isnan(found[1]))
    np.testing.assert_allclose(found[:, seen].T, np.broadcast_to([-4.0, 2.0], (seen.sum(), 2)))


def test_a_turn_about_the_middle_moves_every_pixel_on_its_circle() -> None:
    found = backward_motion([Sheet(Motion(spin=0.02), None, 2)], SIZE, 1, 7, 2)
    y, x = np.mgrid[:20, :24] - np.array([9.5, 11.5])[:, None, None]
    angle = -0.02 * 5
    expected = np.stack(
        [
            math.cos(angle) * x - math.sin(angle) * y - x,
            math.sin(angle) * x + math.cos(angle) * y - y,
        ]
    )
    seen = ~np.isnan(found).any(axis=0)
    assert 0.8 < seen.mean() < 1.0
    np.testing.assert_allclose(found[:, seen], expected[:, seen], atol=1e-5)


def test_an_object_moves_alone_and_hides_what_it_covered_before() -> None:
    found = backward_motion([STILL, square(Motion(velocity=(3.0, 0.0)))], SIZE, 1, 1, 0)
    dx, dy = found
    rows = slice(6, 14)  # the square covers columns 8..15 in plane 0 and 11..18 in plane 1
    np.testing.assert_allclose(dx[rows, 11:19], -3.0)
    assert np.isnan(dx[rows, 8:11]).all()
    seen_elsewhere = np.ones(SIZE, np.bool_)
    seen_elsewhere[rows, 8:19] = False
    np.testing.assert_allclose(dx[seen_elsewhere], 0.0)
    np.testing.assert_allclose(dy[~np.isnan(dx)], 0.0)


def test_a_nearer_object_hides_one_behind_it() -> None:
    behind, before = square(Motion()), square(Motion(origin=(0.0, 10.0), velocity=(0.0, 4.0)), 10)
    found = backward_motion([STILL, behind, before], (40, 24), 1, 0, -2)[1]
    # in plane -2 the nearer one covers rows 17..26, the other one rows 16..23 of the still columns
    assert np.isnan(found[17:24, 8:16]).all()
    np.testing.assert_allclose(found[16, 8:16], 0.0)
    np.testing.assert_allclose(found[25:35, 8:16], -8.0)


def test_motion_is_in_pixels_of_the_spikes_whatever_the_images_have() -> None:
    def moved(ratio: int) -> np.ndarray:
        motion = Motion(velocity=(3.0 * ratio, 1.0 * ratio), spin=0.01)
        return backward_motion([STILL, square(motion, ratio=ratio)], SIZE, ratio, 2, 0)

    np.testing.assert_allclose(moved(4), moved(1), atol=1e-5)
