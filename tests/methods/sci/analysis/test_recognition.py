"""Tests of SCIRecognitionModule and of its baselines, which classify images."""

from __future__ import annotations

from typing import Any, cast, get_args

import pytest
import torch
from lightning import seed_everything
from sklearn.datasets import load_digits
from torch.nn import functional as F

import spike_zoo
from spike_zoo.checkpoints.loading import save_weights
from spike_zoo.errors import SpikeZooError
from spike_zoo.methods.sci import (
    CodedRecognitionModule,
    PlaybackRecognitionModule,
    SCICodec,
    SCIRecognitionModule,
)
from spike_zoo.methods.sci.analysis.recognition import coded_clips
from spike_zoo.methods.sci.baselines.picture_recognition import (
    CENTRES,
    Coder,
    PlaybackClassifier,
    playback_at,
)
from spike_zoo.methods.sci.codec.codec import analysis_inputs
from spike_zoo.testing import ClassificationTester, MethodTester, labelled_batch, pattern_take
from tests.methods.sci.batches import reversed_batch
from tests.methods.sci.codecs import recording
from tests.methods.sci.coding import WIDTHS, grouped, small


class TestSCIRecognition(ClassificationTester, MethodTester):
    files: dict[str, str]

    @pytest.fixture(autouse=True)
    def _set_files(self, stage_files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        type(self).files = stage_files
        # batches are computed in float32, recordings in bf16 on CPUs that are faster in it
        monkeypatch.setattr("spike_zoo.nn.precision.has_fast_bf16", lambda **_: False)

    height = 16
    width = 16
    overfit_steps = 150  # features of a random FEM have little contrast

    def make_module(self) -> SCIRecognitionModule:
        arguments: Any = {**grouped(**WIDTHS), **self.files, "cache_gib": 0.1}
        return SCIRecognitionModule(2, **arguments)


class TestPlayback(ClassificationTester, MethodTester):
    def make_module(self) -> PlaybackRecognitionModule:
        return PlaybackRecognitionModule(2, channels=8, blocks=1)


class TestCodedImages(ClassificationTester, MethodTester):
    weights: str

    @pytest.fixture(autouse=True)
    def _set_weights(self, joint_file: str) -> None:
        type(self).weights = joint_file

    def make_module(self) -> CodedRecognitionModule:
        return coded_module("spikes", self.weights, qps=(20, 15, 10, 5), cache_gib=0.1)


@pytest.fixture(scope="module")
def joint_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a file of finalised networks of stage ``joint`` with random weights."""
    seed_everything(8)
    module = small("joint")
    module.finalize()
    path = tmp_path_factory.mktemp("joint") / "joint.safetensors"
    save_weights(module, path)
    return str(path)


def coded_module(coder: Coder, weights: str, **options: Any) -> CodedRecognitionModule:
    seed_everything(0)
    return CodedRecognitionModule(coder, weights, classes=2, channels=8, blocks=1, **options)


@pytest.mark.parametrize("coder", get_args(Coder))
def test_a_coder_returns_five_images_and_the_size_of_each_clip(
    coder: Coder, joint_file: str
) -> None:
    module, batch = coded_module(coder, joint_file), labelled_batch(41, 40, 48)
    with torch.no_grad():
        decoded = [module.decoded(batch["spikes"], batch["rate_scale"], n) for n in range(4)]
    assert [images.shape for images, _ in decoded] == 4 * [(2, 5, 40, 48)]
    assert all(len(n_bytes) == 2 for _, n_bytes in decoded)
    if coder in ("x265", "spikes"):  # the networks are random
        sizes = [sum(n_bytes) for _, n_bytes in decoded]
        assert sizes == sorted(sizes)
        assert len(set(sizes)) == 4
    if coder == "spikes":
        exact = playback_at(batch["spikes"], batch["rate_scale"], CENTRES)
        errors = [float((images - exact).abs().mean()) for images, _ in decoded]
        assert errors[-1] < errors[0]


def test_each_training_clip_is_coded_once_and_at_one_rate(
    joint_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, batch = coded_module("x265", joint_file, cache_gib=0.1), labelled_batch(41, 40, 48)
    batch["name"] = [f"clip {number}" for number in range(2)]
    first = module.training_pictures(batch)
    monkeypatch.setattr(module, "decoded", None)  # images must come from the cache
    assert torch.equal(module.training_pictures(batch), first)


def test_coded_images_need_weights_with_a_codec_and_a_rate_for_each_quality(
    stage_files: dict[str, str],
) -> None:
    with pytest.raises(SpikeZooError, match="is not of SCI with a codec and an analysis"):
        coded_module("images", stage_files["fem"]).setup("fit")
    with pytest.raises(SpikeZooError, match="qps: 4, one for each quality"):
        coded_module("x265", "sci", qps=(40, 30))
    with pytest.raises(SpikeZooError, match="coder: one of features, images, x265, spikes"):
        coded_module("h264", "sci")  # type: ignore[arg-type]


def test_clips_are_analysed_once_and_returned_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    seed_everything(0)
    module = SCIRecognitionModule(2, cache_gib=1.0, **grouped(**WIDTHS)).eval()
    batch: Any = labelled_batch(41, 16, 16)
    with torch.no_grad():
        exact = module.codec.analysis_input(batch["spikes"], batch["rate_scale"])
        first = module._analysed(batch, None)
        monkeypatch.setattr(module.codec, "analysis_input", None)  # values must come from the cache
        again = module._analysed(reversed_batch(batch), None)
    for cached, reversed_part, expected in zip(first, again, exact, strict=True):
        assert torch.equal(cached, reversed_part.flip(0))
        torch.testing.assert_close(cached, expected, rtol=1e-3, atol=1e-3)  # half precision


@pytest.mark.parametrize("kind", [SCIRecognitionModule, PlaybackRecognitionModule])
def test_clips_are_distorted_in_training_and_not_in_prediction(kind: type) -> None:
    small: dict[str, Any] = {"channels": 8, "blocks": 1}
    if kind is SCIRecognitionModule:
        small = grouped(**WIDTHS)
    results, batch = [], labelled_batch(41, 24, 24)
    for amount in (0.0, 0.2):
        seed_everything(0)
        module = kind(2, affine_augment=amount, **small).eval()
        with torch.no_grad():
            learned = [module.logits(batch) for _ in range(2)]
            results.append((learned[0], module(batch["spikes"], batch["rate_scale"])))
        assert torch.equal(*learned)  # the random seed is the number of the update
    (plain, predicted), (distorted, predicted_again) = results
    torch.testing.assert_close(plain, predicted)
    torch.testing.assert_close(predicted, predicted_again)
    assert not torch.allclose(distorted, plain, atol=1e-4)
    with pytest.raises(ValueError, match="affine_augment must be from 0 to 1, got 2"):
        kind(2, affine_augment=2.0, **small)
    single: Any = {name: value[:1] for name, value in batch.items()}  # type: ignore[index]  # of each
    assert torch.isfinite(module.train().logits(single)).all()


@pytest.mark.slow
def test_the_playback_classifier_trains_at_the_depth_used_for_comparison() -> None:
    """The baseline must train; without batch normalisation its accuracy stays near 10 %."""
    seed_everything(0)
    digits = load_digits()
    images = F.interpolate(torch.tensor(digits.images)[:, None].float() / 16, (24, 24))
    labels = torch.tensor(digits.target)
    network = PlaybackClassifier(channels=48, blocks=4)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for batch in torch.arange(1200).split(16):
        optimizer.zero_grad()
        F.cross_entropy(network(images[batch]), labels[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        predictions = network.eval()(images[1400:1600]).argmax(dim=1)
    assert (predictions == labels[1400:1600]).float().mean() >= 0.5


def test_clips_of_a_batch_are_coded_like_single_recordings(codec: SCICodec) -> None:
    takes = [recording(41, seed) for seed in (3, 4)]
    spikes = torch.stack([torch.from_numpy(take[0:41]) for take in takes])
    coded = coded_clips(codec, spikes, torch.tensor([0.6, 0.6]), 1)
    for number, take in enumerate(takes):
        data = codec.compress(take, quality=1, gop=5)
        # Float rounding differs in a batch: a symbol can round differently, and so can all symbols
        # that depend on it.
        assert coded.n_bytes[number] == pytest.approx(len(data), rel=0.03)
        with torch.no_grad():
            expected = dict(analysis_inputs(codec, [codec.decompress(data)]))[2]
        for part, single in zip(coded.analysis, expected, strict=True):
            own, other = part[number : number + 1], part[1 - number : 2 - number]
            assert (own - single).abs().mean() <= 0.3 * (other - single).abs().mean()


def test_coding_with_a_codec_that_is_not_final_raises(unfinished: SCICodec) -> None:
    spikes = torch.zeros(1, 41, 16, 16)
    with pytest.raises(SpikeZooError, match="this codec is not final"):
        coded_clips(unfinished, spikes, torch.tensor([0.6]), 0)


def test_classes_of_a_recording_are_those_of_its_clips() -> None:
    """Clips share features, so the logits are compared with those of separate clips."""
    module = cast("SCIRecognitionModule", spike_zoo.load("sci-digits"))
    recording = pattern_take(3, planes=62, height=32, width=32).recording
    calls: list[tuple[int, ...]] = []
    probabilities = module.classify(
        recording, rate_scale=0.6, progress=lambda *done: calls.append(done)
    )
    spikes = recording.to_tensor().float()
    clips = torch.stack([spikes[:41], spikes[21:]])
    with torch.inference_mode():
        logits = module.eval()(clips, torch.full((2,), 0.6))
    torch.testing.assert_close(probabilities, logits.mean(0).softmax(0), atol=0.02, rtol=0)
    assert calls == [(1, 2), (2, 2)]
