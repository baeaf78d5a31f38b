"""Blurry images, sharp images and spikes of the same images."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spike_zoo.simulation import SpikeCamera, simulate_spikes
from spike_zoo.simulation.camera.exposure import ExposurePlanes, covered_light
from spike_zoo.spikes import Take

LUMA = (0.30, 0.59, 0.11)


def images(planes: int = 30, side: int = 8, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((planes, 3, side, side), np.float32)


def record(exposed: ExposurePlanes, light: NDArray[np.float32], chunk: int = 7) -> Take:
    parts = [light[first : first + chunk] for first in range(0, len(light), chunk)]
    light_of = partial(covered_light, ratio=4, weights=LUMA)
    return exposed.record(
        parts, SpikeCamera(start="zero"), light_of, fps=1.0, meta={"source": "test"}
    )


def test_published_recordings_have_exposures_and_images_at_the_published_planes() -> None:
    exposed = ExposurePlanes(137)
    assert exposed.spans.tolist() == ExposurePlanes(240).spans.tolist() == [[20, 117]]
    assert exposed.times.tolist() == [20, 36, 52, 68, 84, 100, 116]
    assert ExposurePlanes(241).spans.tolist() == [[20, 117], [124, 221]]  # as in the GoPro set


def test_a_blurry_image_is_the_mean_of_its_planes_and_a_sharp_one_its_plane() -> None:
    light = images(18)
    take: Any = record(ExposurePlanes(18, exposure=10, margin=3, stride=4), light)
    assert take.blur_span.tolist() == [[3, 13]]
    mean = np.rint(255 * light[3:13].mean(axis=0, dtype=np.float64)).transpose(1, 2, 0)
    np.testing.assert_array_equal(take.blur, mean[None])
    sharp = np.rint(255 * light[[3, 7, 11]]).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(take.images, sharp)
    assert take.image_index.tolist() == [3, 7, 11]


def test_the_light_of_a_spike_pixel_is_the_mean_grey_of_the_image_pixels_it_covers() -> None:
    light = images(12)
    take = record(ExposurePlanes(12, exposure=6, margin=3, stride=0), light)
    grey = 0.30 * light[:, 0] + 0.59 * light[:, 1] + 0.11 * light[:, 2]
    corners = [grey[:, r : r + 4, c : c + 4].mean((1, 2)) for r in (0, 4) for c in (0, 4)]
    tiles = np.stack(corners, axis=1).reshape(12, 2, 2)
    expected = simulate_spikes(tiles, start="zero")
    np.testing.assert_array_equal(take.recording[0:12], expected)
    assert take.images is None
    assert take.image_index is None


@pytest.mark.parametrize("chunk", [1, 5, 40])
def test_exposures_do_not_depend_on_chunks(chunk: int) -> None:
    exposed, light = ExposurePlanes(40, exposure=8, margin=2, stride=4), images(40)
    whole, parts = record(exposed, light), record(exposed, light, chunk)
    np.testing.assert_array_equal(parts.recording.packed, whole.recording.packed)
    np.testing.assert_array_equal(parts.blur, whole.blur)
    np.testing.assert_array_equal(parts.images, whole.images)
    assert exposed.spans.tolist() == [[2, 10], [17, 25]]  # seven planes between two exposures


def test_a_recording_too_short_for_an_exposure_is_rejected() -> None:
    with pytest.raises(ValueError, match="136 planes hold no exposure of 97 with 20 before"):
        ExposurePlanes(136)
