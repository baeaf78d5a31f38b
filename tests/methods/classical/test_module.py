"""The classical methods as modules: what every method must do, and how they see a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from lightning import Trainer

from spike_zoo.data import ReconstructionDataModule
from spike_zoo.errors import PlaneRangeError
from spike_zoo.methods.classical import (
    TFIModule,
    TFPModule,
    TFSTPModule,
    tfi_video,
    tfp_video,
    tfstp,
)
from spike_zoo.spikes import SpikeRecording
from spike_zoo.testing import QUIET, ReconstructionTester, tiny_archive

if TYPE_CHECKING:
    from pathlib import Path

    from spike_zoo.methods.base import ReconstructionModule


class TestTFPModule(ReconstructionTester):
    def make_module(self) -> ReconstructionModule:
        return TFPModule(window=9, clip_length=31)


class TestTFIModule(ReconstructionTester):
    def make_module(self) -> ReconstructionModule:
        return TFIModule(average=5, clip_length=31)


class TestTFSTPModule(ReconstructionTester):
    def make_module(self) -> ReconstructionModule:
        return TFSTPModule(clip_length=31)


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


@pytest.mark.parametrize("module", [TFPModule(9, 31), TFIModule(9, 31), TFSTPModule(31)])
def test_testing_and_predicting_need_no_training(
    tmp_path: Path, module: ReconstructionModule
) -> None:
    archive = tiny_archive(tmp_path / "tiny.h5", planes=31)
    data = ReconstructionDataModule(str(archive), clip_length=31)
    trainer = Trainer(logger=False, enable_checkpointing=False, **QUIET)
    module.lpips = "off"
    (measured,) = trainer.test(module, data, verbose=False)
    assert measured["test/psnr"] > 15
    (image,) = trainer.predict(module, data) or []
    assert torch.as_tensor(image).shape == (1, 1, 40, 48)


def test_averaged_intervals_are_closer_to_the_truth_than_playback(tmp_path: Path) -> None:
    archive = tiny_archive(tmp_path / "tiny.h5", planes=61)
    data = ReconstructionDataModule(str(archive), clip_length=61)
    trainer = Trainer(logger=False, enable_checkpointing=False, **QUIET)
    reached = []
    for module in (TFIModule(5, lpips="off"), TFPModule(21, lpips="off")):
        (measured,) = trainer.test(module, data, verbose=False)
        reached.append(measured["test/psnr"])
    assert reached[0] > reached[1]


def test_windows_below_one_plane_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 plane, got 0"):
        TFPModule(window=0)
    with pytest.raises(ValueError, match="at least 1 plane, got 0"):
        TFIModule(average=0)
