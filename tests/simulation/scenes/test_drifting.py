"""Position, luminance and limits of images in linear motion."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.errors import UsageError
from spike_zoo.simulation.scenes.drifting import (
    Drift,
    DriftSpec,
    drifting_light,
    random_drift,
    simulate_drift,
)

SPEC = DriftSpec("disc", seed=5, height=48, width=56, planes=41)


def disc(side: int = 20) -> np.ndarray[Any, np.dtype[np.uint8]]:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.where(np.hypot(y, x) < 0.4 * side, 255, 0).astype(np.uint8)


def test_a_gradient_moves_by_exactly_the_speed() -> None:
    y, x = np.mgrid[:80, :96] / 2 + 0.25  # the middle of each texel, in pixels
    texels = (0.01 * x + 0.004 * y).astype(np.float32)
    drift = Drift(-9.0, -12.0, 0.37, -0.21)
    light = drifting_light(texels, drift, (20, 24), 11)
    rows, columns = np.mgrid[:20, :24] + 0.5
    for plane in range(11):
        row = rows - (drift.y + drift.dy * plane)
        column = columns - (drift.x + drift.dx * plane)
        np.testing.assert_allclose(light[plane], 0.01 * column + 0.004 * row, atol=1e-6)


def test_the_sum_of_light_is_constant_and_its_centroid_follows_the_path() -> None:
    texels = np.random.default_rng(0).random((18, 22), np.float32)
    drift = Drift(3.3, 20.7, 0.41, -0.27)
    light = drifting_light(texels, drift, (40, 40), 41).astype(np.float64)
    mass = light.sum(axis=(1, 2))
    np.testing.assert_allclose(mass, texels.sum() / 4, rtol=1e-5)  # four texels per pixel
    middle = (light.sum(axis=2) @ np.arange(40)) / mass, (light.sum(axis=1) @ np.arange(40)) / mass
    time = np.arange(41)  # the position can be measured to some hundredths of a pixel
    np.testing.assert_allclose(middle[0] - middle[0][0], 0.41 * time, atol=0.03)
    np.testing.assert_allclose(middle[1] - middle[1][0], -0.27 * time, atol=0.03)


@given(
    seed=st.integers(0, 2**32 - 1),
    room=st.tuples(st.integers(16, 40), st.integers(16, 40)),
    sign=st.sampled_from((1, -1)),
)
def test_a_path_stays_inside_for_all_planes(seed: int, room: tuple[int, int], sign: int) -> None:
    free = sign * room[0], sign * room[1]
    drift = random_drift(np.random.default_rng(seed), free, 41, (0.2, 0.4))
    assert 0.2 - 1e-5 <= np.hypot(drift.dy, drift.dx) <= 0.4 + 1e-5
    for start, step, space in zip(drift[:2], drift[2:], free, strict=True):
        ends = np.array([start, start + 40 * step])
        assert (min(0, space) - 1e-9 <= ends).all()
        assert (ends <= max(0, space) + 1e-9).all()


def test_directions_and_speeds_are_spread_evenly() -> None:
    rng = np.random.default_rng(1)
    drifts = np.array([random_drift(rng, (30, 30), 41, (0.2, 0.4)) for _ in range(2000)])
    angles = np.arctan2(drifts[:, 2], drifts[:, 3])
    quarters, _ = np.histogram(angles, bins=4, range=(-np.pi, np.pi))
    assert (np.abs(quarters - 500) < 100).all()  # five standard deviations
    assert np.hypot(drifts[:, 2], drifts[:, 3]).mean() == pytest.approx(0.3, abs=0.01)


def test_the_firing_rate_and_position_agree_with_the_metadata() -> None:
    take = simulate_drift(disc(), SPEC, label=3, label_name="disc")
    recording = take.recording
    assert take.label == 3
    assert (recording.shape, recording.rate_scale) == ((41, 48, 56), 0.6)
    assert recording.meta["label_name"] == "disc"
    drift = Drift(**recording.meta["drift"])
    side = SPEC.image_size(20, 20)[0]
    assert side == 24  # 48 - 0.55 x 40 - 2
    rows = np.flatnonzero(recording[:1].any(axis=(0, 2)))
    assert rows.min() >= np.floor(drift.y)
    assert rows.max() <= np.ceil(drift.y + side)
    filled = np.pi * (0.4 * 24) ** 2
    fired = recording[:].sum(axis=(1, 2)).mean()
    assert fired == pytest.approx(0.6 * filled, rel=0.05)


def test_a_mirrored_image_fills_the_plane_to_its_edges() -> None:
    spec = replace(SPEC, mirrored=True, height=32, width=48)
    assert spec.image_size(100, 200) == (24, 48)
    white = simulate_drift(np.full((50, 70), 255, np.uint8), spec).recording[:]
    rates = white.mean(axis=0)
    np.testing.assert_allclose(rates, 0.6, atol=1 / 41 + 1e-6)


def test_the_same_seed_gives_the_same_take_and_another_seed_another_take() -> None:
    noisy = replace(SPEC, noise="lowlight-v1")
    first, second = (simulate_drift(disc(), noisy).recording for _ in range(2))
    np.testing.assert_array_equal(first.packed, second.packed)
    other = simulate_drift(disc(), replace(noisy, seed=6)).recording
    assert other.meta["drift"] != first.meta["drift"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"height": 31}, r"31x56 are too small .* 0\.55 pixels per plane .* at least 32"),
        ({"planes": 101}, r"at least 65"),
        ({"slowest": 0.6}, "slowest <= fastest, got 0.6 and 0.55"),
        ({"mirrored": True, "height": 7}, "at least 8"),
    ],
)
def test_motion_that_leaves_the_plane_is_rejected(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(SPEC, **values)


def test_a_path_longer_than_the_free_space_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"pixels of motion in 1 pixels of room"):
        random_drift(np.random.default_rng(0), (1.0, 1.0), 41, (0.4, 0.4))
