"""Tests of deblurring by SSDMStudentModule: colours, planes, memory, checkpoints, errors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Trainer
from torch import Tensor

import spike_zoo
from spike_zoo import SpikeRecording
from spike_zoo.methods.ssdm import LDN, SSDMStudentModule
from spike_zoo.metrics import psnr_official, ssim_official
from spike_zoo.testing import QUIET
from tests.helpers.checkpoints import export
from tests.helpers.golden import Golden

EVALUATED = [20, 36, 52, 68, 84, 100, 116]


@pytest.fixture(scope="module")
def module(ldn_weights: dict[str, Tensor]) -> SSDMStudentModule:
    return SSDMStudentModule.from_official(ldn_weights)


@pytest.fixture(scope="module")
def recording() -> SpikeRecording:
    spikes = np.random.default_rng(0).random((45, 6, 11)) < 0.4
    return SpikeRecording.from_planes(spikes)


@pytest.fixture(scope="module")
def blurry() -> Tensor:
    return torch.rand(3, 24, 44, generator=torch.Generator().manual_seed(0))


def test_images_are_rgb_and_the_network_uses_the_channel_order_of_its_weights(
    module: SSDMStudentModule,
    ldn_weights: dict[str, Tensor],
    recording: SpikeRecording,
    blurry: Tensor,
) -> None:
    images = module.deblur(blurry, recording, [10, 34])
    window = torch.from_numpy(recording.read(24, 45)).float()[None]
    with torch.no_grad():
        inside = LDN.from_official(ldn_weights)(blurry[None, [2, 1, 0]], window)
        forward = module(blurry[None], window)
    assert images.shape == (2, 3, 24, 44)
    assert images.dtype == torch.float32
    assert 0 <= images.min() <= images.max() <= 1
    torch.testing.assert_close(images[1], inside[0, [2, 1, 0]].clamp(0, 1))
    torch.testing.assert_close(images[1], forward[0])
    rgb_module = SSDMStudentModule.from_official(ldn_weights, channel_order="rgb")
    assert not torch.allclose(rgb_module.deblur(blurry, recording, [34])[0], images[1], atol=1e-2)


@pytest.mark.parametrize("memory", [1e-9, 5e-4, 1.0])
def test_images_do_not_depend_on_the_memory_limit(
    module: SSDMStudentModule, recording: SpikeRecording, blurry: Tensor, memory: float
) -> None:
    centers = [10, 12, 20, 30, 34]
    images = module.deblur(blurry, recording, centers, memory_gib=memory)
    alone = torch.cat([module.deblur(blurry, recording, [center]) for center in centers])
    torch.testing.assert_close(images, alone, rtol=0.0, atol=1e-5)
    streamed = torch.stack(list(module.deblur_stream(blurry, recording, centers)))
    torch.testing.assert_close(images, streamed, rtol=0.0, atol=1e-5)


def test_checkpoint_export_and_published_file_give_the_same_images(
    ldn_weights: dict[str, Tensor], tmp_path: Path, recording: SpikeRecording, blurry: Tensor
) -> None:
    module = SSDMStudentModule.from_official(ldn_weights)
    trainer = Trainer(logger=False, enable_checkpointing=False, **QUIET)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(tmp_path / "student.ckpt")
    export(module, tmp_path / "student")
    torch.save({f"module.{name}": value for name, value in ldn_weights.items()}, tmp_path / "a.pth")
    images = module.deblur(blurry, recording, [20])
    for name in ("student.ckpt", "student", "a.pth"):
        loaded = spike_zoo.load(tmp_path / name)
        assert isinstance(loaded, SSDMStudentModule)
        assert loaded.channel_order == "bgr"
        assert torch.equal(loaded.deblur(blurry, recording, [20]), images)


def test_photograph_is_deblurred_as_published(official_path: Path, ssdm_golden: Golden) -> None:
    module = SSDMStudentModule.from_official(official_path)
    spikes = ssdm_golden.spikes("photo.spike")[0].bool().numpy()
    blur = ssdm_golden.tensor("photo.blur")[0].flip(0)
    images = module.deblur(blur, SpikeRecording.from_planes(spikes), EVALUATED)
    expected = ssdm_golden.arrays["photo.seq_u8"].astype(np.int64)
    actual = (images.flip(1) * 255).round().to(torch.int64).numpy()
    assert np.abs(actual - expected).max() <= 1
    middle = ssdm_golden.tensor("photo.out_mid").clamp(0, 1)
    torch.testing.assert_close(images[3].flip(0), middle, rtol=0.0, atol=2e-5)


def test_photograph_has_the_published_metrics(official_path: Path, ssdm_golden: Golden) -> None:
    module = SSDMStudentModule.from_official(official_path)
    spikes = ssdm_golden.spikes("photo.spike")[0].bool().numpy()
    blur, sharp = ssdm_golden.tensor("photo.blur"), ssdm_golden.tensor("photo.sharp_mid")[None]
    image = module.deblur(blur.flip(1), SpikeRecording.from_planes(spikes), [68]).flip(1)
    actual = [
        measure(result, sharp).item()
        for result in (image, blur)
        for measure in (psnr_official, ssim_official)
    ]
    rows = ssdm_golden.arrays["photo.metrics"]
    assert actual == pytest.approx(rows[rows[:, 0] == 68][0, 1:].tolist(), abs=1e-3)
