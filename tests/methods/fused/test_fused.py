"""Tests of Fused: inputs, defective pixels, initialisation, ends of recordings and training."""

import numpy as np
import pytest
import torch

from spike_zoo.methods.classical import AlignedTFI, tfi_video
from spike_zoo.methods.classical.intervals import Intervals
from spike_zoo.methods.fused import Fused, FusedModule
from spike_zoo.methods.fused.network import (
    GROUPS,
    IMAGES,
    INPUTS,
    FusedInputs,
    defective_pixels,
    with_detected_defects,
    without_lost_planes,
)
from spike_zoo.spikes import SpikeRecording
from spike_zoo.testing import MethodTester, ReconstructionTester, pattern_take
from tests.helpers.streams import random_spikes


class TestFusedModule(ReconstructionTester, MethodTester):
    def make_module(self) -> FusedModule:
        return FusedModule(channels=16, learning_rate=3e-3, lpips="off")


def test_the_network_has_236480_parameters() -> None:
    assert sum(parameter.numel() for parameter in Fused().parameters()) == 236_480


@pytest.mark.parametrize(("planes", "center"), [(151, 0), (151, 75), (151, 150), (9, 4), (1, 0)])
def test_an_untrained_network_equals_tfi_along_the_motion(planes: int, center: int) -> None:
    recording = pattern_take(0, planes=planes).recording
    actual = FusedModule(channels=8, lpips="off").reconstruct(recording, [center])
    torch.testing.assert_close(actual, AlignedTFI().reconstruct(recording, [center]))


def test_inputs_are_averages_of_rates_over_the_rate_scale() -> None:
    recording = SpikeRecording.from_planes(random_spikes(151, 20, 22, rate=0.4), rate_scale=0.5)
    inputs = next(FusedInputs(0.5).of(recording, [75]))
    assert inputs.shape == (INPUTS, 20, 22)
    spikes = torch.from_numpy(recording.read())[None]
    rates = tfi_video(spikes, range(43, 108))[0] / 0.5
    fixed = inputs[2 + GROUPS : IMAGES]
    torch.testing.assert_close(fixed[0], rates[32].clamp(max=2))
    torch.testing.assert_close(fixed[2], rates[28:37].mean(dim=0).clamp(max=2))
    torch.testing.assert_close(fixed[5], rates.mean(dim=0).clamp(max=2))
    velocity = FusedModule(channels=8, lpips="off").motion(recording, [75])[0] / 20
    torch.testing.assert_close(inputs[IMAGES:-1], velocity.norm(dim=1).clamp(max=2))
    assert (inputs[-1] == -0.25).all()


def test_isolated_pixels_that_never_or_always_fire_are_defective() -> None:
    planes = random_spikes(128, 20, 22, rate=0.4)
    planes[:, 3, 4], planes[:, 10, 11] = True, False
    expected = np.zeros((20, 22), np.bool_)
    expected[3, 4] = expected[10, 11] = True
    np.testing.assert_array_equal(defective_pixels(planes), expected)
    planes[:, 12:17, 2:7], planes[:, 12:17, 12:17] = True, False  # white and black objects
    np.testing.assert_array_equal(defective_pixels(planes), expected)
    assert not defective_pixels(planes[:40]).any()


def test_defective_pixels_are_replaced_unless_a_camera_has_maps() -> None:
    planes = np.zeros((151, 20, 22), np.bool_)
    planes[::4] = True
    planes[:, 5, 6] = True
    recording = SpikeRecording.from_planes(planes, rate_scale=0.5)
    image = FusedModule(channels=8, lpips="off").reconstruct(recording, [75])
    torch.testing.assert_close(image, torch.full_like(image, 0.5))
    corrected = with_detected_defects(recording)
    assert recording.maps is None
    assert corrected.maps is not None
    assert with_detected_defects(corrected) is corrected


def test_intervals_across_lost_planes_get_the_rate_of_others() -> None:
    planes = random_spikes(151, 20, 22, rate=0.4)
    for period in (2, 3, 5):  # constant light; a lost spike doubles an interval
        planes[:, period] = (np.arange(151)[:, None] + np.arange(22)) % period == 0
    planes[np.random.default_rng(0).permutation(151)[:15]] = False
    measured = Intervals.of(torch.from_numpy(planes).byte())
    bridged = without_lost_planes(measured).rates[40:110]
    for period in (2, 3, 5):
        assert float(measured.rates[40:110, period].mean()) < 0.97 / period
        assert float(bridged[:, period].mean()) == pytest.approx(1 / period, rel=0.01)
    silent = Intervals.of(torch.zeros(151, 20, 22, dtype=torch.uint8))
    assert without_lost_planes(silent) is silent


def test_a_network_without_channels_is_rejected() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        FusedModule(channels=0, lpips="off")
