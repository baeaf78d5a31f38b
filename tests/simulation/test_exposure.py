from __future__ import annotations

import numpy as np
import pytest

from spike_zoo.simulation import Scene, SceneSpec, expose_image, exposure_spans

SCENE = SceneSpec(seed=2, height=16, width=16, planes=40, background="noise", speed=1.0)


def test_a_blurry_image_is_the_mean_of_its_planes() -> None:
    scene = Scene(SCENE)
    expected = scene.colour(3, 36).astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(expose_image(scene, 3, 36), expected, atol=1e-6)


def test_an_empty_exposure_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one plane"):
        expose_image(Scene(SCENE), 5, 5)


def test_exposures_follow_one_another_as_in_the_gopro_set() -> None:
    assert exposure_spans(241, 97).tolist() == [[20, 117], [124, 221]]
    assert exposure_spans(240, 97).tolist() == [[20, 117]]
    assert exposure_spans(137, 97).tolist() == [[20, 117]]
    assert exposure_spans(136, 97).shape == (0, 2)


def test_impossible_exposures_are_refused() -> None:
    with pytest.raises(ValueError, match="no exposures of 0 planes"):
        exposure_spans(100, 0)
