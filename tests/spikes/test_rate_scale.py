"""Validation, selection and estimation of the rate scale."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spike_zoo import SpikeRecording, read_recording
from spike_zoo.errors import UsageError
from spike_zoo.simulation import simulate_spikes
from spike_zoo.spikes.rate_scale import (
    RateScale,
    estimate_rate_scale,
    rate_scale_of,
    user_rate_scale,
)


def test_a_rate_scale_up_to_one_is_returned_unchanged_and_auto_states_none() -> None:
    assert [user_rate_scale(option) for option in (0.001, 0.6, 1)] == [0.001, 0.6, 1]
    assert user_rate_scale("auto") is None


@pytest.mark.parametrize("option", [0.0, -0.5, 1.001, 60.0, float("inf"), float("nan"), "bright"])
def test_a_rate_scale_that_no_camera_reaches_is_rejected(option: float | str) -> None:
    with pytest.raises(UsageError, match=f"--rate-scale {option}: .*above 0 and at most 1"):
        user_rate_scale(option)


def test_the_rate_scale_option_precedes_the_recording_and_the_recording_precedes_the_method() -> (
    None
):
    planes = np.ones((4, 8, 8), bool)
    recording = SpikeRecording.from_planes(planes, rate_scale=0.5)
    unknown = SpikeRecording.from_planes(planes)
    assert rate_scale_of(recording, 0.25, own=0.4) == RateScale(0.25)
    assert rate_scale_of(recording, own=0.4) == RateScale(0.5)
    assert rate_scale_of(unknown, own=0.4) == RateScale(0.4)
    assert rate_scale_of(unknown) == RateScale(1.0, is_estimated=True)


@pytest.mark.parametrize("cfa", [None, "RGGB"])
def test_the_estimate_is_that_of_the_brightest_pixels_and_a_tenth_more(cfa: Any) -> None:
    luminance = np.full((250, 40, 40), 0.2, np.float32)
    luminance[:, 4:14, 4:14] = 1.0  # white
    spikes = simulate_spikes(luminance, gain=0.6, start="zero")
    spikes[:, 20:40:6, ::6] = True  # defective pixels
    recording = SpikeRecording.from_planes(spikes, cfa=cfa)
    assert estimate_rate_scale(recording) == pytest.approx(1.1 * 0.6, rel=0.05)


def test_a_recording_without_spikes_has_an_assumed_rate_scale_and_a_warning() -> None:
    scale = rate_scale_of(SpikeRecording.from_planes(np.zeros((5, 4, 4), bool)))
    assert scale.value > 0
    assert scale.note.startswith("warning: almost no pixel has a spike")


@pytest.mark.parametrize(
    "clip",
    [
        "data.dat",
        "base/test/spike/203_part1_key_id151.dat",
        "base/train/spike/203_part2_key_id151.dat",
    ],
)
def test_the_estimate_of_the_sample_clips_is_near_their_rate_scale(shared: Path, clip: str) -> None:
    recording = read_recording(shared / "data" / clip, height=250, width=400)
    assert estimate_rate_scale(recording) == pytest.approx(0.6, rel=0.06)
    assert estimate_rate_scale(recording.between(50, 250)) == pytest.approx(0.6, rel=0.1)
