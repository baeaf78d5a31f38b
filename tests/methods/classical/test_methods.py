"""Tests of the classical methods on recordings and clips, with and without a trainer."""

import numpy as np
import pytest
import torch

from spike_zoo.methods.classical import (
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


def test_reconstruct_uses_the_whole_recording_and_cuts_windows_at_its_ends(
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


def test_a_clip_gives_the_image_of_the_recording_at_its_middle_plane(
    recording: SpikeRecording,
) -> None:
    clip = recording.to_tensor()[None]
    for module in (TFPModule(), TFIModule(average=9), TFSTPModule()):
        image = module(clip, torch.tensor([0.6]))
        torch.testing.assert_close(image[0], module.reconstruct(recording, [35])[0])


def test_adjusted_returns_a_new_method_and_does_not_change_the_original() -> None:
    method = TFP(window=5)
    wider = method.adjusted(window=9)
    assert type(wider) is TFP
    assert (wider.window, wider.hparams) == (9, {"window": 9})
    assert (method.window, method.hparams) == (5, {"window": 5})
    assert method.adjusted().window == 5
    assert TFSTP().adjusted().hparams == {}
    with pytest.raises(ValueError, match="at least 1 plane, got 0"):
        method.adjusted(window=0)
