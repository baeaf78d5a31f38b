"""Frames between two frames, against the truth of a known motion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from spike_zoo.simulation import Scene, deblur_scenes
from spike_zoo.simulation.kinds.interpolation import INTERPOLATIONS, blended_frames, flowed_frames


@pytest.fixture(scope="module")
def truth() -> NDArray[np.float32]:
    """A photograph with an object before it, moving about 3 pixels in 16 planes."""
    spec = replace(deblur_scenes("test", 3)[2], height=40, width=40)
    return Scene(spec).colour(60, 77)


def psnr(images: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    return float(-10 * np.log10(np.mean((images - truth) ** 2)))


def test_moving_along_the_flow_beats_blending_by_10_decibels(truth: NDArray[np.float32]) -> None:
    fractions = [plane / 16 for plane in range(1, 16)]
    flowed = psnr(flowed_frames(truth[0], truth[16], fractions), truth[1:16])
    blended = psnr(blended_frames(truth[0], truth[16], fractions), truth[1:16])
    assert flowed > blended + 10
    assert flowed > 35


@pytest.mark.parametrize("name", INTERPOLATIONS)
def test_nothing_of_the_way_is_the_first_frame_and_the_order_is_kept(
    name: str, truth: NDArray[np.float32]
) -> None:
    interpolate = INTERPOLATIONS[name]
    frames = interpolate(truth[0], truth[8], [0.0, 0.25, 0.75])
    assert frames.shape == (3, *truth.shape[1:])
    assert frames.dtype == np.float32
    np.testing.assert_allclose(frames[0], truth[0], atol=1e-5)
    distance = [float(np.abs(frame - truth[0]).mean()) for frame in frames]
    assert distance == sorted(distance)
    np.testing.assert_array_equal(interpolate(truth[0], truth[8], [0.0])[0], truth[0])


@pytest.mark.parametrize("name", INTERPOLATIONS)
def test_frames_of_what_stands_still_are_the_frame(name: str, truth: NDArray[np.float32]) -> None:
    frames = INTERPOLATIONS[name](truth[0], truth[0], [0.5])
    np.testing.assert_allclose(frames[0], truth[0], atol=1e-3)
