"""Tests of the classical methods on recordings and clips, with and without a trainer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.errors import PlaneRangeError
from spike_zoo.methods.classical import (
    TFI,
    TFP,
    TFSTP,
    TFIModule,
    TFPModule,
    TFSTPModule,
    tfi_video,
    tfp_video,
    tfstp,
)
from spike_zoo.spikes import SpikeRecording


@pytest.fixture
def recording() -> SpikeRecording:
    spikes = np.random.default_rng(8).random((70, 12, 17)) < 0.3
    return SpikeRecording.from_planes(spikes, rate_scale=0.6)


def test_recordings_are_seen_whole_with_windows_cut_at_their_ends(
    recording: SpikeRecording,
) -> None:
    spikes, centers = recording.to_tensor(dtype=torch.bool), [0, 69, 33, 34, 3]
    for module, rates in (
        (TFPModule(window=41, clip_length=11), tfp_video(spikes, centers, 41)),
        (TFIModule(average=9, clip_length=11), tfi_video(spikes, centers, 9)),
        (TFSTPModule(clip_length=11), tfstp(spikes, centers)),
    ):
        images = module.reconstruct(recording, centers)
        torch.testing.assert_close(images[:, 0], (rates / 0.6).clamp(0, 1))


def test_the_middle_plane_of_a_clip_is_that_of_the_recording(recording: SpikeRecording) -> None:
    clip = recording.to_tensor()[None]
    for module in (TFPModule(), TFIModule(average=9), TFSTPModule()):
        image = module(clip, torch.tensor([0.6]))
        torch.testing.assert_close(image[0], module.reconstruct(recording, [35])[0])


def test_the_rate_scale_given_goes_before_that_of_the_recording(
    recording: SpikeRecording,
) -> None:
    module = TFPModule(window=5)
    own, given = (
        module.reconstruct(recording, [20]),
        module.reconstruct(recording, [20], rate_scale=1.2),
    )
    torch.testing.assert_close((own / 2)[own < 1], given[own < 1])
    recording.rate_scale = None
    with pytest.warns(UserWarning, match="rate-scale"):
        unknown = module.reconstruct(recording, [20])
    torch.testing.assert_close(unknown, 1.2 * given)


def test_a_recording_shorter_than_a_window_is_no_obstacle() -> None:
    short = SpikeRecording.from_planes(np.ones((3, 12, 12), np.bool_), rate_scale=1.0)
    assert (TFPModule(window=41).reconstruct(short, [0, 2]) == 1).all()
    with pytest.raises(PlaneRangeError, match="plane 3"):
        TFPModule().reconstruct(short, [3])


def test_windows_below_one_plane_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 plane, got 0"):
        TFPModule(window=0)
    with pytest.raises(ValueError, match="at least 1 plane, got 0"):
        TFIModule(average=0)


@given(period=st.integers(2, 9), scale=st.floats(0.05, 1.0))
def test_light_that_fires_every_so_many_planes_has_that_brightness(
    period: int, scale: float
) -> None:
    spikes = torch.zeros(1, 8 * period + 1, 2, 3)
    spikes[:, ::period] = 1
    wanted = min(1.0, 1 / period / scale)
    for method in (TFI(), TFI(average=3), TFP(window=2 * period)):
        image = method(spikes, torch.tensor([scale]))
        assert image.shape == (1, 1, 2, 3)
        torch.testing.assert_close(image, torch.full_like(image, wanted))


def test_a_changed_setting_makes_another_method_and_leaves_this_one() -> None:
    method = TFP(window=5)
    wider = method.adjusted(window=9)
    assert type(wider) is TFP
    assert (wider.window, wider.hparams) == (9, {"window": 9})
    assert (method.window, method.hparams) == (5, {"window": 5})
    assert method.adjusted().window == 5
    assert TFSTP().adjusted().hparams == {}
    with pytest.raises(ValueError, match="at least 1 plane, got 0"):
        method.adjusted(window=0)


def test_methods_inside_and_outside_a_trainer_make_the_same_pictures(
    recording: SpikeRecording,
) -> None:
    for method, module in (
        (TFP(9), TFPModule(9)),
        (TFI(5), TFIModule(5)),
        (TFSTP(), TFSTPModule()),
    ):
        images = method.reconstruct(recording, [3, 50])
        assert torch.equal(images, module.reconstruct(recording, [3, 50]))
