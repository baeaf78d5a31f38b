"""Scenes with layers at several depths before a moving, shaking camera."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from spike_zoo.simulation import Scene, SceneSpec
from spike_zoo.simulation.kinds.conditions import parallax_scenes
from spike_zoo.simulation.scenes.photograph_sets import shipped_photographs

STATIC = SceneSpec(
    seed=4,
    height=64,
    width=80,
    planes=61,
    background="leaves",
    objects=("noise", "stripes"),
    speed=0.4,
    object_speed=0.0,
    depths=(0.5, 0.25),
)


def test_each_test_photograph_is_a_background_with_two_to_four_layers_from_far_to_near() -> None:
    scenes = parallax_scenes("test", 24)
    photographs = set(shipped_photographs().names["test"])
    assert {scene.background.removeprefix("photo:") for scene in scenes} == photographs
    assert {len(scene.objects) for scene in scenes} == {2, 3, 4}
    for scene in scenes:
        assert scene.background not in scene.objects
        assert sorted(scene.depths, reverse=True) == list(scene.depths)
    assert [sum(f"-{speed}-" in scene.name for scene in scenes) for speed in ("slow", "fast")] == [
        8,
        8,
    ]
    assert {scene.noise for scene in scenes} == {"none", "indoor-v1"}


def test_a_static_layer_moves_with_the_camera_by_the_inverse_of_its_depth() -> None:
    background, *layers = Scene(STATIC).motions
    for depth, layer in zip(STATIC.depths, layers, strict=True):
        camera, seen = (
            np.array(motion.pose(50)[:2]) - motion.pose(10)[:2] for motion in (background, layer)
        )
        zoom = layer.pose(50).zoom - layer.pose(10).zoom
        assert zoom == pytest.approx((background.pose(50).zoom - background.pose(10).zoom) / depth)
        # forward motion also moves a layer away from the centre of the image
        away = np.multiply(
            layer.origin, np.expm1([layer.pose(50).zoom, layer.pose(10).zoom])[:, None]
        )
        np.testing.assert_allclose(seen - (away[0] - away[1]), camera / depth, atol=1e-9)


def test_a_shake_moves_all_layers_together_and_ends_the_smooth_path() -> None:
    still = SceneSpec(seed=4, planes=201, speed=0, object_speed=0, objects=("noise",), shake=0.3)
    background, layer = Scene(still).motions
    for plane in (0, 70, 140):
        shift, angle = background.pose(plane)[:2], background.pose(plane).angle
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        np.testing.assert_allclose(layer.pose(plane)[:2], turn @ layer.origin + shift, atol=1e-9)
    path = np.diff([background.pose(plane).x for plane in range(201)])
    assert (np.diff(np.sign(path)) != 0).sum() >= 2
    assert np.abs(path).max() <= 3 * 0.3


def test_a_visible_point_has_the_light_of_the_other_plane_at_the_end_of_its_motion() -> None:
    scene = Scene(parallax_scenes("test", 6, height=96, width=112, planes=61)[5])
    later, earlier = scene.luminance(40, 41)[0], scene.luminance(30, 31)[0]
    motion = scene.motion(40, 30)
    visible = np.isfinite(motion[0])
    place = np.indices(later.shape) + np.nan_to_num(motion[::-1])
    error = np.abs(map_coordinates(earlier, place, order=1) - later)[visible]
    assert 0.5 < visible.mean() < 1
    assert error.mean() < 0.3 * np.abs(later - earlier)[visible].mean()


@pytest.mark.parametrize("depths", [(0.5,), (0.25, 0.5), (1.5, 0.5), (0.5, 0.0)])
def test_impossible_depths_are_rejected(depths: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="depths"):
        SceneSpec(objects=("noise", "leaves"), depths=depths)
