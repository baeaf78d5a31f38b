import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spike_zoo.simulation.scenes.trajectory import MAX_ZOOM, Motion, random_motion


def test_a_steady_spin_is_fastest_at_the_corners() -> None:
    motion = Motion(spin=0.01, middle=50.0)
    chord = 2 * math.sin(0.005) * math.hypot(30, 40)
    assert motion.peak_speed(100, (30, 40)) == pytest.approx(chord)


@given(seed=st.integers(0, 2**31), speed=st.floats(0.02, 1.0), follow=st.booleans())
@settings(max_examples=25, deadline=None)
def test_random_motion_reaches_its_speed_and_never_more(
    seed: int, speed: float, follow: bool
) -> None:
    rng = np.random.default_rng(seed)
    motion = random_motion(rng, 201, speed, (80, 60), origin=(5.0, -3.0), follow=follow)
    peak = motion.peak_speed(201, (80, 60), follow=follow)
    assert 0.9 * speed <= peak <= speed
    assert motion.pose(100)[:3] == pytest.approx((5.0, -3.0, 0.0))
    assert max(abs(motion.pose(plane).zoom) for plane in range(201)) <= MAX_ZOOM


@given(seed=st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_random_motion_is_smooth(seed: int) -> None:
    motion = random_motion(np.random.default_rng(seed), 201, 1.0, (80, 80))
    places = np.array([motion.pose(plane)[:2] for plane in range(201)])
    jerks = np.abs(np.diff(places, n=2, axis=0))
    assert jerks.max() < 0.12  # pixels per plane, per plane
