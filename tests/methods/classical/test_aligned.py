"""Tests of AlignedTFI: sharpness of moving scenes, occlusions, flow and ends of recordings."""

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import spike_zoo
from spike_zoo.errors import ConfigError, PlaneRangeError, UsageError
from spike_zoo.media import load_image
from spike_zoo.methods.classical import TFI, AlignedTFI, AlignedTFIModule
from spike_zoo.metrics import psnr
from spike_zoo.metrics.speeds import speed_of
from spike_zoo.nn.threads import torch_threads
from spike_zoo.simulation import SpikeCamera, default_scenes
from spike_zoo.simulation.kinds.takes import simulate_take
from spike_zoo.spikes import SpikeRecording
from spike_zoo.tasks import ReconstructionModule
from spike_zoo.testing import ReconstructionTester, clip_batch
from tests.helpers.takes import moving_clip

MIDDLE = 40


class TestAlignedTFIModule(ReconstructionTester):
    def make_module(self) -> ReconstructionModule:
        return AlignedTFIModule(window=25, clip_length=31)


def texture(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """Return smooth random light between 0.1 and 0.9."""
    spectrum = np.fft.rfft2(np.random.default_rng(seed).standard_normal((height, width)))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    light = np.fft.irfft2(spectrum * np.exp(-((frequency / 0.12) ** 2)), (height, width))
    return np.clip(0.5 + 0.2 * light / light.std(), 0.1, 0.9).astype(np.float32)


def record(light: NDArray[np.float32]) -> SpikeRecording:
    """Return the recording of a noiseless camera for light ``(T, H, W)``."""
    camera = SpikeCamera(generator=np.random.default_rng(1))
    return SpikeRecording.from_planes(camera.expose(light), rate_scale=camera.rate_scale)


def decibels(images: torch.Tensor, expected: NDArray[np.float32]) -> float:
    """Return the PSNR of an image without the borders."""
    inside = (slice(8, -8), slice(12, -12))
    image, truth = images[0, 0][inside], torch.from_numpy(expected)[inside]
    return psnr(image[None, None], truth[None, None]).item()


def test_psnr_is_higher_than_tfi_on_moving_and_on_still_scenes() -> None:
    scenes = default_scenes("test", 3, seed=5, height=64, width=80, planes=81)
    for scene in scenes:
        take = simulate_take(scene, margin=30)
        assert take.images is not None
        assert take.image_index is not None
        plane = int(take.image_index[0])
        expected = take.images[0].astype(np.float32) / 255
        gain = decibels(AlignedTFI().reconstruct(take.recording, [plane]), expected) - max(
            decibels(TFI(average).reconstruct(take.recording, [plane]), expected)
            for average in (9, 21)
        )
        assert gain > 1.0, scene
    light = np.repeat(texture(48, 64)[None], 81, axis=0)
    still = record(light)
    psnrs = [
        decibels(method.reconstruct(still, [MIDDLE]), light[0])
        for method in (TFI(21), AlignedTFI())
    ]
    assert psnrs[1] > psnrs[0]


def test_flow_error_on_moving_photographs_is_below_the_values_of_the_readme() -> None:
    """Check the flow error over 20 planes in scenes without objects against the README's value."""
    errors: dict[str | None, list[float]] = {}
    for scene in default_scenes("test", 6, planes=121):
        take = simulate_take(dataclasses.replace(scene, objects=()), margin=60, flow_offset=20)
        assert take.image_index is not None
        assert take.around is not None
        plane, truth = int(take.image_index[0]), torch.from_numpy(take.around[0]).float()
        (field,) = AlignedTFI().motion(take.recording, [plane])
        error = (field - truth).norm(dim=1)
        errors.setdefault(speed_of(scene.name), []).append(float(error[error.isfinite()].mean()))
    means = {speed: float(np.mean(values)) for speed, values in errors.items()}
    assert means["slow"] < 0.15
    assert means["medium"] < 0.3
    assert means["fast"] < 0.5


@pytest.mark.parametrize("plane", [0, 80])
def test_filled_ends_improve_the_first_and_last_images(plane: int) -> None:
    light = np.repeat(texture(48, 64)[None], 81, axis=0)
    still = record(light)
    psnrs = [
        decibels(AlignedTFI(fills_ends=fills).reconstruct(still, [plane]), light[0])
        for fills in (False, True)
    ]
    assert psnrs[1] > psnrs[0] + 2


def test_a_later_occlusion_does_not_change_the_image() -> None:
    light = np.repeat(texture(48, 64)[None], 81, axis=0)
    covered = light.copy()
    covered[MIDDLE + 15 :, 16:32, 24:40] = 0.02
    psnrs = [
        decibels(AlignedTFI().reconstruct(record(scene), [MIDDLE]), light[0])
        for scene in (light, covered)
    ]
    plain = decibels(TFI(61).reconstruct(record(covered), [MIDDLE]), light[0])
    assert psnrs[1] > psnrs[0] - 3
    assert psnrs[1] > plain + 8


@given(period=st.integers(2, 9), scale=st.floats(0.05, 1.0), center=st.integers(20, 60))
def test_periodic_spikes_give_the_inverse_period_divided_by_the_rate_scale(
    period: int, scale: float, center: int
) -> None:
    planes = np.zeros((91, 12, 17), np.bool_)
    planes[::period] = True
    recording = SpikeRecording.from_planes(planes, rate_scale=scale)
    image = AlignedTFI(window=31).reconstruct(recording, [center])
    torch.testing.assert_close(image, torch.full_like(image, min(1.0, 1 / period / scale)))


@pytest.mark.parametrize("planes", [1, 3, 12])
def test_short_recordings_give_finite_images_at_every_plane(planes: int) -> None:
    recording = SpikeRecording.from_planes(np.ones((planes, 12, 16), np.bool_), rate_scale=1.0)
    images = AlignedTFI().reconstruct(recording, range(planes))
    assert images.shape == (planes, 1, 12, 16)
    assert images.isfinite().all()
    with pytest.raises(PlaneRangeError, match=f"plane {planes}"):
        AlignedTFI().motion(recording, [planes])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 16), (12, 1), (2, 2)])
def test_tiny_sensors_give_the_firing_rate(height: int, width: int) -> None:
    planes = np.zeros((81, height, width), np.bool_)
    planes[::2] = True
    recording = SpikeRecording.from_planes(planes, rate_scale=1.0)
    image = AlignedTFI().reconstruct(recording, [MIDDLE])
    torch.testing.assert_close(image, torch.full((1, 1, height, width), 0.5))


def test_recordings_without_spikes_give_black_images_and_an_empty_list_of_planes_none() -> None:
    recording = SpikeRecording.from_planes(np.zeros((81, 12, 16), np.bool_), rate_scale=1.0)
    assert (AlignedTFI().reconstruct(recording, [MIDDLE]) == 0).all()
    assert list(AlignedTFI().rates(recording, [])) == []
    assert AlignedTFI().motion(recording, []).shape == (0, 2, 2, 12, 16)


@pytest.mark.parametrize("threads", [1, 3])
def test_images_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    (scene,) = default_scenes("test", 1, seed=3, height=64, width=80, planes=81)
    recording = simulate_take(scene, margin=40).recording
    planes = range(MIDDLE, MIDDLE + 5)
    once = torch.cat([AlignedTFI().reconstruct(recording, [plane]) for plane in planes])
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        with torch_threads(threads):
            again = AlignedTFI().reconstruct(recording, planes)
            assert torch.get_num_threads() == threads
        assert cv2.getNumThreads() == threads, "OpenCV's setting does not change"
    finally:
        cv2.setNumThreads(before)
    assert torch.equal(once, again)


def test_windows_below_5_planes_are_rejected() -> None:
    with pytest.raises(ValueError, match="window is at least 5 planes, got 4"):
        AlignedTFI(window=4)


def test_planes_are_averaged_along_the_oracle_flow() -> None:
    recording, batch = moving_clip(MIDDLE)
    oracle, estimated = AlignedTFIModule(oracle_flow=True), AlignedTFIModule()
    images, (field,) = oracle.predict_with_flow(batch, 0)
    known = batch["flow"].isfinite()
    torch.testing.assert_close(field[known], batch["flow"][known])
    assert torch.equal(oracle.predict_step(batch, 0), images)
    other: Any = {**batch, "flow": -batch["flow"]}
    assert psnr(images, batch["image"]) > psnr(oracle.predict_step(other, 0), batch["image"]) + 3
    actual = estimated.predict_step(batch, 0)
    expected = estimated.reconstruct(recording, [MIDDLE])
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)
    with pytest.raises(UsageError, match="oracle_flow: this method needs the ground-truth flow"):
        oracle.reconstruct(recording, [MIDDLE])
    with pytest.raises(ConfigError, match="oracle_flow: the data have no ground-truth flow"):
        oracle.predict_step(clip_batch(31), 0)


def test_flow_error_has_the_stated_size_and_lowers_psnr() -> None:
    _, batch = moving_clip(MIDDLE)
    oracle, inexact = (
        AlignedTFIModule(oracle_flow=True, flow_error=error) for error in (0.0, 0.05)
    )
    right, (field,) = oracle.predict_with_flow(batch, 0)
    wrong, (changed,) = inexact.predict_with_flow(batch, 0)
    known = batch["flow"].isfinite()
    error = (changed - field)[known].square().mean().sqrt()
    assert error == pytest.approx(20 * 0.05, rel=0.1), "fields are in pixels over 20 planes"
    assert torch.equal(inexact.predict_step(batch, 0), wrong), "the same error for the same image"
    assert psnr(right, batch["image"]) > psnr(wrong, batch["image"]) + 1
    with pytest.raises(ConfigError, match="flow_error: needs oracle_flow: true"):
        AlignedTFIModule(flow_error=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clip", "truth", "best"),
    [
        ("data.dat", "data.png", 35.83),
        ("base/test/spike/203_part1_key_id151.dat", "base/test/gt/203_part1_key_id151.png", 30.35),
        (
            "base/train/spike/203_part2_key_id151.dat",
            "base/train/gt/203_part2_key_id151.png",
            30.64,
        ),
    ],
)
def test_sample_clips_gain_1_5_db_over_the_best_unaligned_method(
    shared: Path, clip: str, truth: str, best: float
) -> None:
    recording = spike_zoo.read_recording(shared / "data" / clip, height=250, width=400)
    image = AlignedTFI().reconstruct(recording, [150], rate_scale=0.6)
    expected = torch.from_numpy(load_image(shared / "data" / truth))[None]
    assert psnr(image, expected).item() > best + 1.5
