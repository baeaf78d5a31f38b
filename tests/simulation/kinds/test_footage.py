"""Exposures from sharp video: frames, planes and luminance."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spike_zoo.errors import MediaError
from spike_zoo.simulation import Scene
from spike_zoo.simulation.kinds.deblurring import deblur_scenes
from spike_zoo.simulation.kinds.footage import (
    INTERPOLATIONS,
    Footage,
    blended_frames,
    flowed_frames,
    footage_takes,
    sampled_light,
)
from tests.media.test_frames import write_folder


class Frames:
    """Video of frames in memory that records which frames were read."""

    path = Path("memory.mp4")
    fps = 240.0

    def __init__(self, frames: NDArray[np.uint8]) -> None:
        self.frames = frames
        self.reads: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, first: int, last: int) -> Iterator[NDArray[np.uint8]]:
        self.reads.append((first, last))
        yield from self.frames[first:last]


def noise(count: int, height: int = 10, width: int = 13, seed: int = 0) -> NDArray[np.uint8]:
    shape = (count, height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("frames", "groups"), [(28, []), (29, [1]), (41, [1]), (42, [1, 2]), (100, [1, 2, 3, 4, 5, 6])]
)
def test_only_exposures_with_planes_before_and_after_them_are_used(
    frames: int, groups: list[int]
) -> None:
    # group g has planes 104 g - 20 .. 104 g + 116 of the 8 (frames - 1) + 1
    assert Footage().groups(frames) == groups
    fitting = [g for g in range(99) if 104 * g - 20 >= 0 and 104 * g + 116 <= 8 * (frames - 1)]
    assert groups == fitting


def test_a_group_contains_the_published_planes_and_frames() -> None:
    source = Frames(noise(60))
    take: Any = Footage(interpolation="blend").take(source, 2, "memory-000032")
    assert source.reads == [(23, 42)]  # 13 g - 3 .. 13 g + 15
    assert take.recording.shape == (137, 2, 3)
    assert take.recording.fps == 1920
    assert take.blur_span.tolist() == [[20, 117]]
    assert take.image_index.tolist() == [20, 36, 52, 68, 84, 100, 116]
    np.testing.assert_array_equal(take.images, source.frames[26:39:2, :8, :12])
    between = [
        np.rint((1 - part) * source.frames[number] + part * source.frames[number + 1])
        for number in range(26, 38)
        for part in np.arange(8) / 8
    ]
    mean = np.rint(np.mean([*between, source.frames[38]], axis=0))
    np.testing.assert_allclose(take.blur[0], mean[:8, :12], atol=1)
    assert np.abs(take.blur[0] - mean[:8, :12]).mean() < 0.06  # halves may be rounded up or down


def test_light_is_sampled_from_four_of_sixteen_pixels_in_the_simulators_grey() -> None:
    # compared with linear resizing by scikit-image
    from skimage.transform import resize

    image: NDArray[np.float32] = (noise(1, 16, 24)[0] / 255).astype(np.float32)
    quarter = resize(image, (4, 6), order=1, anti_aliasing=False)
    expected = quarter @ np.array([0.30, 0.59, 0.11])
    light = sampled_light(image.transpose(2, 0, 1)[None])
    np.testing.assert_allclose(light[0], expected, atol=1e-5)


def test_firing_rates_follow_the_light_at_every_threshold() -> None:
    frames = np.repeat(noise(1, 32, 32), 30, axis=0)  # static
    image: NDArray[np.float32] = (frames[:1] / 255).astype(np.float32)
    light = sampled_light(image.transpose(0, 3, 1, 2))[0]
    for threshold in (2.0, 4.0, 8.0):
        take = Footage(interpolation="blend", threshold=threshold, noise="none").take(
            Frames(frames), 1, "a", sharp=False
        )
        scale: Any = take.recording.rate_scale
        assert scale == pytest.approx(1.98543 / threshold, rel=1e-4)
        rate = take.recording[0:137].mean(0)
        assert np.abs(rate - scale * light).max() < 1.01 / 137
        assert take.images is None


def test_takes_depend_on_seed_group_and_name() -> None:
    source, footage = Frames(noise(60)), Footage(interpolation="blend")
    packed = footage.take(source, 1, "a").recording.packed
    np.testing.assert_array_equal(footage.take(source, 1, "a").recording.packed, packed)
    assert (replace(footage, seed=1).take(source, 1, "a").recording.packed != packed).any()
    assert (footage.take(source, 1, "b").recording.packed != packed).any()


def test_two_videos_in_folders_with_the_same_name_have_different_random_numbers(
    tmp_path: Path,
) -> None:
    still = [np.full((16, 24, 3), 90, np.uint8)] * 29
    for place in ("train/GOPR0372/sharp", "test/GOPR0384/sharp"):
        write_folder(tmp_path / place, still)
    splits = footage_takes(str(tmp_path), Footage(interpolation="blend", noise="none"))
    [first], [second] = (list(splits[split].values()) for split in ("train", "test"))
    spikes = [job().recording[:] for job in (first, second)]
    # with the same luminance only the initial charges of pixels differ
    assert (spikes[0] != spikes[1]).any(axis=0).mean() > 0.5


def test_an_exposure_of_video_is_close_to_that_of_the_rendered_scene() -> None:
    spec = replace(deblur_scenes("test", 3)[2], height=16, width=16, planes=8 * 28 + 1, speed=0.12)
    scene = Scene(spec)
    frames = np.rint(scene.colour()[::8] * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    exact = scene.colour(104, 201).mean(0).transpose(1, 2, 0) * 255
    errors = {}
    for name in ("flow", "blend"):
        take: Any = Footage(interpolation=name).take(Frames(frames), 1, "a", sharp=False)
        errors[name] = float(np.sqrt(np.mean((take.blur[0] - exact) ** 2)))
    assert errors["flow"] < 0.6  # in levels of 255; rounding contributes 0.29
    assert errors["flow"] < errors["blend"]


def test_frames_that_change_their_size_are_rejected() -> None:
    class Growing(Frames):
        def read(self, first: int, last: int) -> Iterator[NDArray[np.uint8]]:
            yield from noise(5)
            yield from noise(30, 20, 20)

    with pytest.raises(MediaError, match=r"memory\.mp4: frame 15 has another size"):
        Footage(interpolation="blend").take(Growing(noise(60)), 1, "a")
    with pytest.raises(MediaError, match="frames of 3x13 are too small"):
        Footage(interpolation="blend").take(Frames(noise(60, 3)), 1, "a")


@pytest.fixture(scope="module")
def truth() -> NDArray[np.float32]:
    """Images of a photograph and a foreground object that moves about 3 pixels in 16 planes."""
    spec = replace(deblur_scenes("test", 3)[2], height=40, width=40)
    return Scene(spec).colour(60, 77)


def psnr(images: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    return float(-10 * np.log10(np.mean((images - truth) ** 2)))


def test_interpolation_along_the_flow_is_10_decibels_above_blending(
    truth: NDArray[np.float32],
) -> None:
    fractions = [plane / 16 for plane in range(1, 16)]
    flow_psnr = psnr(flowed_frames(truth[0], truth[16], fractions), truth[1:16])
    blended = psnr(blended_frames(truth[0], truth[16], fractions), truth[1:16])
    assert flow_psnr > blended + 10
    assert flow_psnr > 35


@pytest.mark.parametrize("name", INTERPOLATIONS)
def test_interpolation_at_0_is_the_first_frame_and_later_frames_differ_more(
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
def test_interpolation_of_a_static_image_is_the_image(
    name: str, truth: NDArray[np.float32]
) -> None:
    frames = INTERPOLATIONS[name](truth[0], truth[0], [0.5])
    np.testing.assert_allclose(frames[0], truth[0], atol=1e-3)
