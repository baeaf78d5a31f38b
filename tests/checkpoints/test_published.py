"""Shipped weights: integrity, size, and higher quality than methods without training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

import spike_zoo
from spike_zoo.media import load_image
from spike_zoo.methods.classical import tfi
from spike_zoo.methods.sci import SCI
from spike_zoo.methods.sci.codec.frames import encode_frames
from spike_zoo.methods.sci.codec.symbols import RateEstimator
from spike_zoo.methods.ssdm import SSDMStudentModule
from spike_zoo.metrics import psnr
from spike_zoo.metrics.image import ssim_uniform7
from spike_zoo.simulation.kinds.deblurring import deblur_scenes, simulate_exposures
from spike_zoo.simulation.kinds.sequences import sequence_scenes
from spike_zoo.simulation.kinds.takes import simulate_take
from spike_zoo.spikes import Take
from spike_zoo.tasks import ReconstructionModule
from spike_zoo.utils.files import shipped_weights

#: Clip, ground truth, evaluated rows, PSNR and SSIM of the best classical method on them (TFI
#: over 21 and over 9 planes, normalised by 1 / 0.6).
CLIPS = [
    ("data.dat", "data.png", 250, 35.83, 0.9256),
    (
        "base/test/spike/203_part1_key_id151.dat",
        "base/test/gt/203_part1_key_id151.png",
        150,
        30.74,
        0.9096,
    ),
]


#: Limit in bytes; that of other weights is 3.5e6.
MAX_BYTES = {"sci": 8e6, "stir-aligned": 11e6}


@pytest.mark.parametrize("name", shipped_weights())
def test_shipped_weights_are_small_and_contain_their_configuration(name: str) -> None:
    path = shipped_weights()[name]
    assert path.stat().st_size <= MAX_BYTES.get(name, 3.5e6)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert len(metadata["sha256"]) == 64
    assert re.search("max_steps|updates", metadata["config"])
    assert not spike_zoo.load(name).training


@pytest.mark.slow
@pytest.mark.parametrize(("name", "margin"), [("stir", 1.0), ("stir-aligned", 2.0)])
@pytest.mark.parametrize(("clip", "truth", "rows", "decibels", "similarity"), CLIPS)
def test_stir_exceeds_the_best_classical_method_on_unseen_clips(
    shared: Path,
    name: str,
    margin: float,
    clip: str,
    truth: str,
    rows: int,
    decibels: float,
    similarity: float,
) -> None:
    module = spike_zoo.load(name)
    assert isinstance(module, ReconstructionModule)
    recording = spike_zoo.read_recording(shared / "data" / clip, height=250, width=400)
    image = module.reconstruct(recording, [150], rate_scale=0.6)
    target = torch.from_numpy(load_image(shared / "data" / truth))[None]
    actual, expected = image[:, :, :rows], target[:, :, :rows]
    assert psnr(actual, expected).item() > decibels + margin
    assert ssim_uniform7(actual, expected).item() > similarity


@pytest.fixture(scope="module")
def exposures() -> list[Take]:
    """Return one exposure per speed, of scenes not used in training."""
    scenes = deblur_scenes("test", 3, seed=11, height=64, width=64)
    return [simulate_exposures(scene) for scene in scenes]


def psnr_gain(module: SSDMStudentModule, take: Take) -> float:
    """Return the gain in PSNR of the deblurred images over the blurry one."""
    assert take.images is not None
    assert take.blur is not None
    assert take.image_index is not None
    blurry = torch.from_numpy(take.blur[0]).permute(2, 0, 1)
    sharp = torch.from_numpy(take.images).permute(0, 3, 1, 2) / 255
    deblurred = module.deblur(blurry, take.recording, take.image_index.tolist())
    before = psnr((blurry / 255).expand_as(sharp), sharp)
    return (psnr(deblurred, sharp) - before).mean().item()


@pytest.mark.slow
def test_student_improves_the_psnr_of_unseen_blurry_scenes(exposures: list[Take]) -> None:
    module = spike_zoo.load("ssdm-student")
    assert isinstance(module, SSDMStudentModule)
    gains = [psnr_gain(module, take) for take in exposures]
    assert min(gains) > 2.0
    assert sum(gains) / len(gains) > 3.0


@pytest.mark.slow
def test_student_is_better_than_the_published_weights(exposures: list[Take], shared: Path) -> None:
    official = SSDMStudentModule.from_official(shared / "weights" / "ssdm_ldn_official.pth")
    student = spike_zoo.load("ssdm-student")
    assert isinstance(student, SSDMStudentModule)
    differences = [psnr_gain(student, take) - psnr_gain(official, take) for take in exposures]
    assert min(differences) > 0.3, differences
    assert sum(differences) / len(differences) > 1.0


@pytest.fixture(scope="module")
def fast_takes() -> list[tuple[Take, float]]:
    """Return fast scenes not used in training, with their rate scale."""
    specs = sequence_scenes("test", 12, seed=7, height=64, width=64)
    fast = [spec for spec in specs if "fast" in spec.name]
    return [(simulate_take(scene, image_stride=7, margin=6), scene.rate_scale) for scene in fast]


def psnr_gain_over_tfi(take: Take, scale: float, planes: list[int], reconstructed: Tensor) -> float:
    """Return the gain in PSNR over TFI with a mean of 9 planes."""
    assert take.images is not None
    assert take.image_index is not None
    numbers = [take.image_index.tolist().index(plane) for plane in planes]
    truth = torch.from_numpy(take.images[numbers] / 255).float()[:, None]
    spikes = take.recording.to_tensor()
    interval = torch.stack([tfi(spikes, plane, average=9) / scale for plane in planes])[:, None]
    reconstructed_psnr, tfi_psnr = (
        psnr(x.clamp(0, 1), truth).mean().item() for x in (reconstructed, interval)
    )
    return reconstructed_psnr - tfi_psnr


def test_a_committed_bitstream_of_sci_decodes_to_its_images(golden: Path) -> None:
    """It has affine and dense motion, content and interpolated frames. Decoding checks symbols."""
    codec = cast("Any", spike_zoo.load("sci")).codec
    images = codec.reconstruct(codec.decompress(golden / "weights_sci.sci"))[:, 0]
    stored = np.load(golden / "weights_sci.npz")["images"] / 255
    np.testing.assert_allclose(images.numpy(), stored, atol=0.01)


@pytest.mark.parametrize("quality", range(4))
def test_p_frames_of_a_static_scene_cost_few_bits_and_lose_no_quality(quality: int) -> None:
    """P-frames of ``sci_joint`` cost a quarter of an I-frame or more and lost decibels."""
    codec = cast("Any", spike_zoo.load("sci")).codec
    row = np.linspace(0.1, 0.9, 64, dtype=np.float32)
    image = torch.from_numpy(np.minimum.outer(row, row[::-1]).copy())
    features = [image.expand(1, 3, -1, -1)] * 9
    symbols, decoded, bits = RateEstimator(is_exact=True), [], []
    options = {"estimation": codec.motion, "weight": codec.rd_weights[quality]}
    with torch.inference_mode():
        for frame in encode_frames(codec.codec_networks, symbols, features, quality, **options):
            decoded.append(psnr(frame.feature.clamp(0, 1), features[0]).item())
            bits.append(float(torch.as_tensor(symbols.bits)))
    assert (bits[-1] - bits[0]) / 8 < 0.1 * bits[0]
    assert decoded[-1] > decoded[0] - 0.01


@pytest.mark.slow
def test_sci_exceeds_tfi_on_unseen_fast_scenes(fast_takes: list[tuple[Take, float]]) -> None:
    module = spike_zoo.load("sci")
    assert isinstance(module, SCI)
    gains = [
        psnr_gain_over_tfi(take, scale, [48], module.reconstruct(take.recording, [48]))
        for take, scale in fast_takes
    ]
    assert sum(gains) / 4 > 1.0


@pytest.mark.slow
def test_sci_codes_fast_scenes_below_a_tenth_of_a_bit_and_exceeds_tfi(
    fast_takes: list[tuple[Take, float]],
) -> None:
    codec = cast("Any", spike_zoo.load("sci")).codec
    gains = []
    for take, scale in fast_takes:
        bitstream = codec.compress(take.recording, quality=3)
        # raw spikes: 1 bit per pixel and plane
        assert 8 * len(bitstream) < 0.1 * take.recording.to_tensor().numel()
        assert take.image_index is not None
        images = codec.reconstruct(codec.decompress(bitstream))
        gains.append(psnr_gain_over_tfi(take, scale, take.image_index.tolist(), images))
    assert sum(gains) / 4 > 1.0
