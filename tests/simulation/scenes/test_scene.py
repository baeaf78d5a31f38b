import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from spike_zoo.simulation import Scene, SceneSpec
from spike_zoo.simulation.scenes.textures import GREY
from spike_zoo.simulation.scenes.trajectory import Motion

SMALL = SceneSpec(
    seed=5,
    height=48,
    width=56,
    planes=40,
    background="photo:coffee",
    objects=("leaves", "photo:brick"),
    speed=1.0,
    object_speed=1.0,
    tone=True,
)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(SMALL)


def test_light_is_float32_in_range_and_changes_from_plane_to_plane(scene: Scene) -> None:
    light = scene.luminance()
    assert light.dtype == np.float32
    assert light.shape == (40, 48, 56)
    assert 0.0 <= light.min() < light.max() <= 1.0
    assert (np.abs(np.diff(light, axis=0)).mean(axis=(1, 2)) > 0).all()


def test_a_plane_does_not_depend_on_other_rendered_planes(scene: Scene) -> None:
    light = scene.luminance()
    np.testing.assert_array_equal(scene.luminance(7, 8), light[7:8])
    np.testing.assert_array_equal(scene.luminance(30, 40), light[30:])


def test_a_scene_is_recreated_from_its_serialised_values(scene: Scene) -> None:
    values = json.loads(json.dumps(asdict(SMALL)))
    recreated = Scene(SceneSpec(**values | {"objects": tuple(values["objects"])}))
    np.testing.assert_array_equal(recreated.luminance(3, 9), scene.luminance(3, 9))
    other = Scene(replace(SMALL, seed=6))
    assert (other.luminance(3, 9) != scene.luminance(3, 9)).any()


def test_light_does_not_depend_on_the_number_of_threads(scene: Scene) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        threaded = Scene(SMALL).luminance(0, 6)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(threaded, scene.luminance(0, 6))


@pytest.mark.parametrize("background", ["photo:brick", "checker", "text", "leaves"])
def test_two_samples_a_pixel_show_no_aliasing(background: str) -> None:
    spec = replace(SMALL, background=background)
    coarse = Scene(spec).luminance(10, 14)
    fine = Scene(spec, supersample=8).luminance(10, 14)
    error = np.sqrt(np.mean((coarse - fine) ** 2))
    assert error < 0.01 * max(1.0, float(fine.std()) / 0.2)
    assert np.abs(coarse - fine).max() < 0.12


def test_a_static_scene_has_equal_planes() -> None:
    static = replace(SMALL, speed=0.0, object_speed=0.0, planes=5)
    light = Scene(static).luminance()
    np.testing.assert_array_equal(light, np.broadcast_to(light[:1], light.shape))


def test_motions_keep_to_the_requested_speeds(scene: Scene) -> None:
    background, *objects = scene.motions
    assert background.peak_speed(40, (28, 24)) <= 1.0
    assert len(objects) == 2
    for motion in objects:
        assert motion.peak_speed(40, (0, 0), follow=True) <= 1.0


def test_an_object_changes_only_the_pixels_it_covers() -> None:
    bare = Scene(replace(SMALL, objects=(), tone=False)).luminance(0, 1)
    covered = Scene(replace(SMALL, objects=("noise",), tone=False)).luminance(0, 1)
    changed = np.abs(covered - bare)[0] > 1e-6
    assert 0.01 < changed.mean() < 0.6
    assert not changed[:, [0, -1]].all()


def test_grey_is_the_weighted_sum_of_the_colours(scene: Scene) -> None:
    colour = scene.colour(4, 6)
    assert colour.shape == (2, 3, 48, 56)
    grey = np.einsum("tchw,c->thw", colour, np.array(GREY, dtype=np.float32))
    np.testing.assert_allclose(scene.luminance(4, 6), grey, atol=1e-5)


def test_luminance_is_the_mean_of_the_image_pixels_of_a_spike_pixel() -> None:
    large = Scene(replace(SMALL, image_ratio=4, height=16, width=20))
    image = large.render(8)[0].numpy()
    assert image.shape == (64, 80)
    expected = image.reshape(16, 4, 20, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(large.luminance(8, 9)[0], expected, atol=1e-6)


def test_the_lens_blurs_the_light_and_not_the_image() -> None:
    """A step after a Gaussian of 0.3 pixels was hardly blurred by a kernel of whole pixels."""
    soft = Scene(replace(SMALL, softness=1.5))
    image = Scene(SMALL).luminance(3, 4)[0]
    np.testing.assert_array_equal(soft.luminance(3, 4)[0], image)
    light = soft.luminance(3, 4, is_soft=True)[0]
    expected = ndimage.gaussian_filter(image, 1.5)
    np.testing.assert_allclose(light[6:-6, 6:-6], expected[6:-6, 6:-6], atol=0.02)
    slightly = Scene(replace(SMALL, softness=0.3)).luminance(3, 4, is_soft=True)[0]
    row, column = (np.fft.fftfreq(side) for side in image.shape)
    transfer = np.exp(-2 * (np.pi * 0.3 * np.hypot(row[:, None], column)) ** 2)
    expected = np.fft.ifft2(np.fft.fft2(image) * transfer).real
    inner = (slice(6, -6), slice(6, -6))
    error, effect = (np.abs((slightly - one)[inner]).mean() for one in (expected, image))
    assert error < 0.2 * effect


@pytest.mark.parametrize("values", [{"height": 0}, {"speed": -1.0}, {"object_speed": float("nan")}])
def test_impossible_scenes_are_rejected(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        SceneSpec(**values)  # type: ignore[arg-type]  # values of several types


def warp(image: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Warp an earlier image ``(H, W)`` by a motion, with SciPy's bilinear interpolation."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    places = np.nan_to_num(np.stack([rows + motion[1], columns + motion[0]]))
    result: np.ndarray = ndimage.map_coordinates(image, places, order=1)
    return result


@pytest.mark.parametrize("ratio", [1, 4])
def test_an_earlier_image_warped_by_the_motion_equals_the_later_one(ratio: int) -> None:
    spec = replace(SMALL, height=64, width=72, background="photo:coffee", image_ratio=ratio)
    scene = Scene(spec)
    for plane, earlier in ((20, 13), (13, 20)):
        motion = scene.motion(plane, earlier)
        assert motion.shape == (2, 64, 72)
        light = {number: scene.luminance(number, number + 1)[0] for number in (plane, earlier)}
        visible = ~np.isnan(motion).any(axis=0)
        assert 0.6 < visible.mean() < 1.0
        error_without_motion = np.abs(light[earlier] - light[plane])[visible]
        error_with_motion = np.abs(warp(light[earlier], motion) - light[plane])[visible]
        assert np.median(error_with_motion) < 0.25 * np.median(error_without_motion)
        assert error_with_motion.mean() < 0.4 * error_without_motion.mean()


def test_motion_is_correct_beyond_the_edge_of_the_texture_where_it_is_mirrored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    move = Motion(velocity=(3.0, 0.0), middle=48.0)
    monkeypatch.setattr("spike_zoo.simulation.scenes.scene.random_motion", lambda *_, **__: move)
    scene = Scene(replace(SMALL, background="photo:coffee", objects=(), planes=97))
    # textures end 60 pixels from the view; after 144 pixels the view is mirrored texture only
    for plane, earlier in ((7, 0), (96, 89), (70, 63)):
        motion = scene.motion(plane, earlier)
        visible = ~np.isnan(motion).any(axis=0)
        before, after = (scene.luminance(n, n + 1)[0] for n in (earlier, plane))
        np.testing.assert_allclose(warp(before, motion)[visible], after[visible], atol=1e-5)
        assert np.abs(before - after).mean() > 0.01


@pytest.mark.parametrize(
    ("method", "planes", "message"),
    [
        ("luminance", (30, 41), r"planes 30\.\.41 are not .* 40 planes"),
        ("motion", (40, 33), r"plane 40 is not .* 0\.\.39"),
        ("motion", (3, -1), r"plane -1 is not .* 0\.\.39"),
    ],
)
def test_planes_outside_the_scene_are_rejected(
    method: str, planes: tuple[int, int], message: str, scene: Scene
) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(scene, method)(*planes)
