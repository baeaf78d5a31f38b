"""Ground-truth motion and occlusion of layers."""

import math

import numpy as np

from spike_zoo.simulation.scenes.flow import LayerGeometry, backward_flow
from spike_zoo.simulation.scenes.trajectory import Motion

STILL = LayerGeometry(Motion(), None, 2)
SIZE = 20, 24


def square(motion: Motion, side: int = 8, ratio: int = 1) -> LayerGeometry:
    """Return an object that covers ``side`` x ``side`` spike-camera pixels."""
    return LayerGeometry(motion, np.ones((2 * side * ratio, 2 * side * ratio), np.float32), 2)


def test_a_background_moves_by_its_shift_and_enters_from_outside() -> None:
    geometry = LayerGeometry(Motion(velocity=(2.0, -1.0)), None, 2)
    motion = backward_flow([geometry], SIZE, 1, 5, 3)
    assert motion.dtype == np.float32
    assert motion.shape == (2, 20, 24)
    visible = ~np.isnan(motion).any(axis=0)
    expected = np.zeros(SIZE, np.bool_)
    expected[:-2, 4:] = True  # it came 4 pixels from the left and 2 from below
    np.testing.assert_array_equal(visible, expected)
    np.testing.assert_array_equal(np.isnan(motion[0]), np.isnan(motion[1]))
    expected_motion = np.broadcast_to([-4.0, 2.0], (visible.sum(), 2))
    np.testing.assert_allclose(motion[:, visible].T, expected_motion)


def test_a_turn_about_the_middle_moves_every_pixel_on_its_circle() -> None:
    motion = backward_flow([LayerGeometry(Motion(spin=0.02), None, 2)], SIZE, 1, 7, 2)
    y, x = np.mgrid[:20, :24] - np.array([9.5, 11.5])[:, None, None]
    cosine, sine = math.cos(-0.02 * 5), math.sin(-0.02 * 5)
    expected = np.stack([cosine * x - sine * y - x, sine * x + cosine * y - y])
    visible = ~np.isnan(motion).any(axis=0)
    assert 0.8 < visible.mean() < 1.0
    np.testing.assert_allclose(motion[:, visible], expected[:, visible], atol=1e-5)


def test_an_object_moves_independently_and_pixels_it_uncovers_are_nan() -> None:
    motion = backward_flow([STILL, square(Motion(velocity=(3.0, 0.0)))], SIZE, 1, 1, 0)
    dx, dy = motion
    rows = slice(6, 14)  # the square covers columns 8..15 in plane 0 and 11..18 in plane 1
    np.testing.assert_allclose(dx[rows, 11:19], -3.0)
    assert np.isnan(dx[rows, 8:11]).all()
    background = np.ones(SIZE, np.bool_)
    background[rows, 8:19] = False
    np.testing.assert_allclose(dx[background], 0.0)
    np.testing.assert_allclose(dy[~np.isnan(dx)], 0.0)


def test_a_nearer_object_hides_one_behind_it() -> None:
    behind, before = square(Motion()), square(Motion(origin=(0.0, 10.0), velocity=(0.0, 4.0)), 10)
    motion = backward_flow([STILL, behind, before], (40, 24), 1, 0, -2)[1]
    # in plane -2 the nearer object covers rows 17..26, the other one rows 16..23
    assert np.isnan(motion[17:24, 8:16]).all()
    np.testing.assert_allclose(motion[16, 8:16], 0.0)
    np.testing.assert_allclose(motion[25:35, 8:16], -8.0)


def test_motion_is_in_spike_camera_pixels_at_any_image_ratio() -> None:
    def motion_at(ratio: int) -> np.ndarray:
        motion = Motion(velocity=(3.0 * ratio, 1.0 * ratio), spin=0.01)
        return backward_flow([STILL, square(motion, ratio=ratio)], SIZE, ratio, 2, 0)

    np.testing.assert_allclose(motion_at(4), motion_at(1), atol=1e-5)
