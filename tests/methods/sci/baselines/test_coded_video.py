"""Tests of the baselines with video codecs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from lightning import seed_everything

from spike_zoo.checkpoints.loading import save_weights
from spike_zoo.cli.inputs import load_method
from spike_zoo.errors import MediaError, UsageError
from spike_zoo.media import coded_video
from spike_zoo.methods.classical import TFP, tfp_video
from spike_zoo.methods.sci import ATCModule, CAASModule, CTAModule
from spike_zoo.methods.sci.analysis.fam import gather_analysis_input
from spike_zoo.methods.sci.baselines.coded_video import affine_maps
from spike_zoo.tasks.evaluators.coding import CodedScene, CompressedRecording
from tests.methods.sci.coding import small

PLANES, SIDE, SCALE = 41, 32, 0.6


@pytest.fixture(scope="module")
def scene() -> CodedScene:
    """Return noise-free spikes of a smooth moving image."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    times = 0.2 * torch.arange(PLANES).view(-1, 1, 1)
    images = 0.5 + 0.3 * torch.sin((columns + times) / 6) * torch.cos(rows / 7)
    start = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    charge = (images * SCALE).cumsum(0) + start
    spikes = charge.floor().diff(dim=0, prepend=charge[:1].floor()).to(torch.uint8)
    planes = [6, 13, 20, 27, 34]
    return CodedScene(spikes, images[planes][:, None], planes, SCALE, "waves")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a file of small networks of stage ``fam`` with random weights."""
    seed_everything(3)
    path = tmp_path_factory.mktemp("weights") / "seeing.safetensors"
    save_weights(small("fam"), path)
    return str(path)


def encode_and_decode(
    module: Any, scene: CodedScene, point: int = -1
) -> tuple[CompressedRecording, torch.Tensor]:
    """Encode a scene at a rate point, and return the coded and the decoded data."""
    module.read_weights()
    with torch.inference_mode():
        coded = module.compress(module.prepared(scene), point % len(module.qps))
        return coded, module.decompress(coded, scene)


def psnr(images: torch.Tensor, truth: torch.Tensor) -> float:
    return float(-10 * (images - truth).square().mean().log10())


def test_nearly_lossless_video_of_spikes_gives_the_images_of_playback(scene: CodedScene) -> None:
    coded, images = encode_and_decode(CTAModule("x264", qps=[30, 1]), scene)
    playback = (tfp_video(scene.spikes, scene.planes, 13) / SCALE).clamp(0, 1)
    torch.testing.assert_close(images[:, 0], playback)
    assert coded.n_bytes > 41 * SIDE * SIDE / 8, "lossy coding of spikes takes more than raw ones"


def test_decoded_values_of_128_or_more_are_spikes(
    scene: CodedScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = CTAModule("x264")
    module.read_weights()
    grey = np.full((PLANES, SIDE, SIDE), 127, np.uint8)
    grey[:, :, 10] = 128
    monkeypatch.setattr("spike_zoo.media.coded_video.decode_video", lambda coded: grey)
    images = module.decompress(CompressedRecording(0, None), scene)
    assert images[:, 0, :, 10].min() == 1
    assert images.sum() == 5 * SIDE


def test_nearly_lossless_video_of_images_gives_the_images_of_the_reconstructor(
    scene: CodedScene,
) -> None:
    _, images = encode_and_decode(
        ATCModule("x265", qps=[30, 4], reconstructor="tfp:window=9"), scene
    )
    recording = ATCModule(reconstructor="tfp:window=9")
    recording.read_weights()
    expected = recording.images_of(scene.spikes, scene)
    assert isinstance(recording.reconstructor, TFP)
    assert psnr(images, expected) > 42
    assert images.shape == (5, 1, SIDE, SIDE)


def test_images_are_also_measured_before_coding(scene: CodedScene) -> None:
    batch: Any = {
        "spikes": scene.spikes[None],
        "images": scene.images[None],
        "planes": torch.tensor([scene.planes]),
        "rate_scale": torch.tensor([SCALE]),
        "name": [scene.name],
    }
    module = ATCModule("x265", qps=[40, 4], reconstructor="tfp:window=9")
    module.read_weights()
    values = module.evaluator.evaluate(module, batch, "test", 0).values
    pairs = zip(module.images_of(scene.spikes, scene), scene.images, strict=True)
    expected = [psnr(*pair) for pair in pairs]
    assert values["psnr_not_coded"].tolist() == pytest.approx(expected, abs=0.05)  # bytes
    assert "psnr_not_coded" in module.evaluator.split_means("test")


@pytest.mark.parametrize("name", ["tfp", "tfi", "tfi:average=9", "tfi-aligned", "tfp:window=13"])
def test_a_baseline_has_the_options_of_the_command_reconstruct(name: str) -> None:
    module = ATCModule(reconstructor=name)
    module.read_weights()
    of_command: Any = load_method(name, "cpu", trust=False)
    assert isinstance(module.reconstructor, type(of_command))
    assert module.reconstructor.hparams == of_command.hparams


@pytest.mark.parametrize("motion", ["decoded", "none"])
def test_nearly_lossless_video_of_features_gives_the_images_of_the_features(
    scene: CodedScene, weights: str, motion: Any
) -> None:
    module = CAASModule("x264", qps=[40, 2], weights=weights, motion=motion)
    _, images = encode_and_decode(module, scene)
    networks: Any = module.networks
    with torch.inference_mode():
        features = networks.features(scene.spikes[None], torch.tensor([SCALE]))
        backward = (
            networks.backward_flow(features)
            if motion == "decoded"
            else torch.zeros(1, 5, 2, SIDE, SIDE)
        )
        expected = torch.cat(
            [networks.fam(*gather_analysis_input(features, backward, t)) for t in range(5)]
        )
    assert psnr(images, expected.clamp(0, 1)) > 38
    assert 0 <= images.min() <= images.max() <= 1


def test_without_an_analysis_images_are_the_mean_of_the_features(
    scene: CodedScene, stage_files: dict[str, str]
) -> None:
    module = CAASModule("x264", qps=[40, 2], weights=stage_files["fem"])
    _, images = encode_and_decode(module, scene)
    networks: Any = module.networks
    with torch.inference_mode():
        features = networks.features(scene.spikes[None], torch.tensor([SCALE]))[0]
    assert psnr(images, features.mean(dim=1, keepdim=True)) > 42


def test_channels_mean_codes_the_mean_and_affine_maps_with_fewer_bytes(
    scene: CodedScene, weights: str
) -> None:
    mean = torch.rand(4, 16, 16, generator=torch.Generator().manual_seed(0))
    slope, offset = torch.tensor([0.5, 1.0, 1.5]), torch.tensor([0.1, 0.0, -0.1])
    features = slope.view(3, 1, 1) * mean[:, None] + offset.view(3, 1, 1)
    torch.testing.assert_close(affine_maps(features, mean), torch.stack([slope, offset]))
    all_channels, _ = encode_and_decode(CAASModule("x264", qps=[40, 2], weights=weights), scene)
    module = CAASModule("x264", qps=[40, 2], weights=weights, channels="mean")
    coded, images = encode_and_decode(module, scene)
    assert coded.n_bytes < 0.7 * all_channels.n_bytes
    assert images.shape == (5, 1, SIDE, SIDE)
    assert float(module.prepared(scene).maps.abs().sum()) > 0  # type: ignore[union-attr]  # it has them


def test_weights_are_frozen_parameters_after_read_weights(weights: str) -> None:
    module = CAASModule(weights=weights)
    assert not list(module.parameters())
    module.read_weights()
    module.read_weights()
    assert list(module.parameters())
    assert not any(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CTAModule("vvc"), "codec: one of x264, x265, x265-zerolatency, svtav1, got 'vvc'"),
        (lambda: CTAModule(qps=[22, 32]), r"the coarsest first, got \[22, 32\]"),
        (lambda: CTAModule(qps=[]), "the coarsest first"),
        (lambda: ATCModule("x264", qps=[60, 32]), "those of x264 lie in 0..51"),
        (lambda: CAASModule(motion="coded"), "motion: one of decoded, none, got 'coded'"),  # type: ignore[arg-type]  # an invalid value
        (lambda: CAASModule(channels="two"), "channels: one of all, mean, got 'two'"),  # type: ignore[arg-type]  # an invalid value
        (lambda: CAASModule(weights="tfp").read_weights(), "not of SCI with images"),
        (
            lambda: ATCModule(reconstructor="tfp:planes=3").read_weights(),
            "reconstructor tfp:planes=3: there is no setting 'planes'",
        ),
        (
            lambda: CTAModule(reconstructor="ssdm-student").read_weights(),
            "does not reconstruct images",
        ),
    ],
)
def test_invalid_settings_are_rejected_by_name(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_a_missing_video_codec_raises_before_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = coded_video.CODECS["svtav1"]._replace(encoder="libnone")
    monkeypatch.setitem(coded_video.CODECS, "svtav1", missing)
    with pytest.raises(MediaError, match=r"svtav1: .*no encoder libnone"):
        CTAModule("svtav1").setup("test")
