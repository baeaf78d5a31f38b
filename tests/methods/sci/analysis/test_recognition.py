"""Tests of SCIRecognitionModule and SpikeClassifier: inputs, coding, stored inputs, bitstreams."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from lightning import Trainer, seed_everything
from torch.utils.data import DataLoader

import spike_zoo
from spike_zoo.checkpoints.loading import save_weights
from spike_zoo.data import ClassificationDataModule
from spike_zoo.errors import SpikeZooError
from spike_zoo.methods.sci import SCICodec, SCIRecognitionModule, SpikeClassifier
from spike_zoo.methods.sci.analysis.classifier import (
    CENTRES,
    MIDDLE,
    ClassifierInput,
    ClassifierOptions,
)
from spike_zoo.methods.sci.analysis.coded_inputs import (
    CodedAccuracy,
    CodedInputOptions,
    Coder,
    coded_clips,
    coded_inputs,
    encoder_features,
)
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.windows import centred_window, mirrored_planes
from spike_zoo.testing import (
    ClassificationTester,
    MethodTester,
    labelled_archive,
    labelled_batch,
    labelled_take,
    pattern_take,
)
from spike_zoo.testing.testers import QUIET
from spike_zoo.training.evaluation import PerImageMetrics
from spike_zoo.training.stored import read_per_image
from tests.methods.sci.codecs import recording
from tests.methods.sci.coding import small

SMALL: Any = {"channels": 8, "fem_width": 0.125}


@pytest.fixture(autouse=True)
def _in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    # batches are computed in float32, inputs in bf16 on CPUs that are faster in it
    monkeypatch.setattr("spike_zoo.nn.precision.has_fast_bf16", lambda **_: False)


class TestSCIRecognition(ClassificationTester, MethodTester):
    height = 24
    width = 24

    def make_module(self) -> SCIRecognitionModule:
        module = SCIRecognitionModule(2, network=ClassifierOptions(channels=8))
        module.setup("fit")  # features of a random FEM have little contrast
        return module


class TestRecognitionFromPlayback(ClassificationTester, MethodTester):
    def make_module(self) -> SCIRecognitionModule:
        return SCIRecognitionModule(2, input="mean", network=SMALL)


class TestRecognitionOfCodedImages(ClassificationTester):
    weights: str

    @pytest.fixture(autouse=True)
    def _set_weights(self, joint_file: str) -> None:
        type(self).weights = joint_file

    def make_module(self) -> SCIRecognitionModule:
        return coded_module("jpeg", self.weights)


@pytest.fixture(scope="module")
def joint_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a file of finalised networks of stage ``joint`` with random weights."""
    seed_everything(8)
    module = small("joint")
    module.finalize()
    path = tmp_path_factory.mktemp("joint") / "joint.safetensors"
    save_weights(module, path)
    return str(path)


def coded_module(coder: Coder, weights: str, **options: Any) -> SCIRecognitionModule:
    seed_everything(0)
    coding: Any = {"coder": coder, "training": options.pop("training", 0.5)}
    return SCIRecognitionModule(2, weights=weights, coding=coding, **{"network": SMALL, **options})


@pytest.mark.parametrize("kind", get_args(ClassifierInput))
def test_an_input_has_a_row_for_each_window_and_its_middle_is_that_of_training(
    kind: ClassifierInput, joint_file: str
) -> None:
    batch, weights = labelled_batch(41, 24, 32), "plain" if kind == "images" else joint_file
    classifier = SpikeClassifier(2, input=kind, weights=weights, network=SMALL).eval()
    inputs = classifier.inputs(batch["spikes"], batch["rate_scale"])
    channels = {"features": 3, "spikes": 13}.get(kind, 1)
    assert inputs.shape == (2, 5, channels, 24, 32)
    assert inputs.dtype == torch.uint8
    middle = classifier.inputs(batch["spikes"], batch["rate_scale"], middle=True)
    errors = middle[:, 0].int() - inputs[:, MIDDLE].int()
    assert errors.abs().max() <= 1  # rounding of networks depends on the batch
    if kind == "mean":
        centre = CENTRES[1]
        mean = (
            batch["spikes"][:, centre - 6 : centre + 7].mean(1) / batch["rate_scale"][:, None, None]
        )
        torch.testing.assert_close(inputs[:, 1, 0] / 255.0, mean.clamp(max=1), atol=0.003, rtol=0)
    logits = torch.stack([classifier.network(inputs[:, n].float() / 255) for n in range(5)])
    torch.testing.assert_close(classifier.logits(inputs), logits.mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("weights", "planes"), [("tfi:average=9", 81), ("sci", 41)])
def test_images_are_those_of_as_many_planes_as_their_method_needs(
    weights: str, planes: int
) -> None:
    batch = labelled_batch(41, 24, 32)
    classifier = SpikeClassifier(2, input="images", weights=weights, network=SMALL).eval()
    span = mirrored_planes(*centred_window(CENTRES[MIDDLE], planes), 41)
    images = classifier.method(batch["spikes"][:, span], batch["rate_scale"])
    inputs = classifier.inputs(batch["spikes"], batch["rate_scale"])
    assert inputs.shape == (2, 5, 1, 24, 32)
    assert (inputs[:, MIDDLE] / 255.0 - images).abs().max() < 0.01


def test_a_test_without_coded_clips_has_no_results_of_coding() -> None:
    assert CodedAccuracy().results() == ({}, {})


@pytest.mark.parametrize("coder", get_args(Coder))
def test_a_coder_returns_five_inputs_and_size_and_psnr_of_each_clip(
    coder: Coder, joint_file: str
) -> None:
    codec, batch = coded_module(coder, joint_file).classifier.codec, labelled_batch(41, 40, 48)
    features = encoder_features(codec, batch["spikes"], batch["rate_scale"])
    coded = [coded_inputs(codec, coder, features, point) for point in range(4)]
    assert [inputs.shape for inputs, *_ in coded] == 4 * [(2, 5, 3, 40, 48)]
    assert all(len(n_bytes) == len(quality) == 2 for _, n_bytes, quality in coded)
    if coder != "sci":  # its networks are random
        sizes = [sum(n_bytes) for _, n_bytes, _ in coded]
        assert sizes == sorted(sizes)
        assert len(set(sizes)) == 4
        assert (coded[3][2] > coded[0][2]).all()


def test_only_coded_clips_have_saved_bits_and_lost_accuracy(
    tmp_path: Path, joint_file: str
) -> None:
    coding: Any = {"coder": "jpeg", "test": 0.5}
    module = SCIRecognitionModule(2, weights=joint_file, coding=coding, network=SMALL)
    batches: Any = [
        labelled_batch(41, 40, 48) | {"name": [f"clip {number}", f"clip {number + 1}"]}
        for number in range(0, 12, 2)
    ]
    trainer = Trainer(logger=False, callbacks=[PerImageMetrics(tmp_path)], **QUIET)
    (means,) = trainer.test(module, DataLoader(batches, batch_size=None))
    clips = read_per_image(tmp_path)
    is_coded = [clip["bit_saving_q0"] is not None for clip in clips]
    assert is_coded == [bool(module.coding_options.rows_of([c["name"]], 0.5)) for c in clips]
    assert 0 < sum(is_coded) < 12
    for name in ("bit_saving_q0", "accuracy_decrease_q3"):
        values = [clip[name] for clip in clips if clip[name] is not None]
        assert len(values) == sum(is_coded)
        assert statistics.fmean(values) == pytest.approx(means[f"test/{name}"], abs=1e-4)


def test_a_share_of_the_training_clips_is_coded_each_at_one_rate(joint_file: str) -> None:
    batch: Any = labelled_batch(41, 40, 48)
    inputs = []
    for share in (0.0, 0.5, 1.0):
        module = coded_module("jpeg", joint_file, training=share)
        rows = []
        for number in range(12):
            batch["name"] = [f"clip {number}"] * 2
            rows.append(module._coded_middle(batch)[0, 0])
        inputs.append(rows)
    changed = [not torch.equal(*pair) for pair in zip(*inputs[:2], strict=True)]
    assert 0 < sum(changed) < 12
    assert all(not torch.equal(*pair) for pair in zip(inputs[0], inputs[2], strict=True))
    coded = {row.numpy().tobytes() for row in inputs[2]}
    assert len(coded) == 4  # of the same clip
    assert not [name for name in module.state_dict() if "codec" in name], "checkpoints lack it"


def test_stored_inputs_replace_those_of_batches_and_are_computed_once(
    tmp_path: Path, stage_files: dict[str, str]
) -> None:
    archive = labelled_archive(tmp_path / "labelled.h5", 41, 16, 24, classes=2)
    states: list[dict[str, torch.Tensor]] = []
    calls: list[Any] = []
    for store in (None, str(tmp_path / "inputs"), str(tmp_path / "inputs")):
        seed_everything(0)
        data = ClassificationDataModule(str(archive), batch_size=2, seed=0)
        module = SCIRecognitionModule(2, weights=stage_files["fem"], network=SMALL, store=store)
        windows: list[int] = []
        fem: Any = module.classifier.fem
        fem.register_forward_hook(lambda _, __, output, seen=windows: seen.append(len(output)))
        trainer = Trainer(max_epochs=2, logger=False, enable_checkpointing=False, **QUIET)
        trainer.fit(module, data)
        states.append(module.state_dict())
        calls.append(sum(windows))
    assert calls[2] == 2, "the third run computes one sample of each split, for its shape"
    assert calls[0] > calls[1] > calls[2]
    names = sorted(file.name for file in (tmp_path / "inputs").iterdir())
    assert [name.rsplit("-", 1)[1] for name in names] == ["train.bytes", "val.bytes"]
    for other in states[1:]:
        for key, value in states[0].items():
            torch.testing.assert_close(value, other[key], rtol=1e-3, atol=1e-4, msg=key)


def test_options_that_do_not_fit_are_rejected() -> None:
    with pytest.raises(SpikeZooError, match="coder: one of sci, x265, svtav1, jpeg, got 'h264'"):
        coded_module("h264", "sci")  # type: ignore[arg-type]
    with pytest.raises(SpikeZooError, match="training above 0 only with a coder"):
        CodedInputOptions(training=0.5)
    with pytest.raises(SpikeZooError, match="needs the input 'features', not 'mean'"):
        coded_module("sci", "sci", input="mean")
    with pytest.raises(SpikeZooError, match="input 'images' needs a method"):
        SCIRecognitionModule(2, input="images", weights=None)
    with pytest.raises(SpikeZooError, match="sci-mnist does not reconstruct images"):
        _ = SpikeClassifier(input="images", weights="sci-mnist").method
    with pytest.raises(SpikeZooError, match="plain: PlainReconstruction does not compress"):
        SpikeClassifier(weights="plain").classify_bitstream(b"")
    with pytest.raises(ValueError, match=r"mixup must be from 0 to 0\.5, got 1"):
        SCIRecognitionModule(2, augmentation={"mixup": 1})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "augmentation", [{"affine": 0.2}, {"flip": True}, {"cutout": 0.5}, {"mixup": 0.4}]
)
def test_clips_are_changed_in_training_and_not_in_prediction(augmentation: Any) -> None:
    two: Any = labelled_batch(41, 24, 24)
    batch: Any = {  # of eight clips, some of which are mirrored
        key: torch.cat([x] * 4) if isinstance(x, torch.Tensor) else x * 4 for key, x in two.items()
    }
    results = []
    choices: tuple[dict[str, Any], ...] = ({}, augmentation)
    for options in choices:
        seed_everything(3)
        arguments: dict[str, Any] = {"input": "mean", "network": SMALL, "augmentation": options}
        module = SCIRecognitionModule(2, **arguments).eval()
        with torch.no_grad():
            learned = [module.logits(batch) for _ in range(2)]
            results.append((learned[0], module.predict_step(batch, 0)))
        assert torch.equal(*learned)  # the random seed is the number of the update
    (plain, predicted), (changed, predicted_again) = results
    torch.testing.assert_close(predicted, predicted_again)
    assert not torch.allclose(changed, plain, atol=1e-4)


def test_clips_of_a_batch_are_coded_like_single_recordings(codec: SCICodec) -> None:
    takes = [recording(41, seed) for seed in (3, 4)]
    spikes = torch.stack([torch.from_numpy(take[0:41]) for take in takes])
    features = encoder_features(codec, spikes, torch.tensor([0.6, 0.6]))
    coded = coded_clips(codec, features, 1)
    for number, take in enumerate(takes):
        alone = coded_clips(codec, features[number : number + 1], 1)
        assert alone.n_bytes == [coded.n_bytes[number]]
        assert torch.equal(alone.features[0], coded.features[number])
        data = codec.compress(take, quality=1, gop=5)
        # Float rounding differs in a batch: a symbol can round differently, and so can all symbols
        # that depend on it.
        assert coded.n_bytes[number] == pytest.approx(len(data), rel=0.03)
        decoded = codec.decompress(data)
        for part, single in ((coded.features, decoded.features), (coded.motion, decoded.motion)):
            own, other = part[number], part[1 - number]
            assert (own - single).abs().mean() <= 0.3 * (other - single).abs().mean()


def test_coding_with_a_codec_that_is_not_final_raises(unfinished: SCICodec) -> None:
    with pytest.raises(SpikeZooError, match="this codec is not final"):
        coded_clips(unfinished, torch.zeros(1, 5, 3, 64, 64), 0)


def test_the_classes_of_a_bitstream_are_those_of_its_decoded_features(joint_file: str) -> None:
    module = coded_module("sci", joint_file).eval()
    source = pattern_take(1, planes=41, height=32, width=40).recording
    data = module.classifier.codec.compress(source, quality=3)
    decoded = module.classifier.codec.decompress(data)
    with torch.inference_mode():
        logits = module.classifier.network((decoded.features * 255).round() / 255)
    expected = logits.mean(0).softmax(0)
    torch.testing.assert_close(module.classify_bitstream(data), expected, rtol=1e-4, atol=1e-5)
    other = SpikeClassifier(2, input="mean", weights=joint_file, network=SMALL)
    with pytest.raises(SpikeZooError, match="classify mean, not decoded features"):
        other.classify_bitstream(data)


def test_a_longer_recording_has_the_mean_logits_of_its_clips() -> None:
    classifier: Any = spike_zoo.load("sci-mnist")
    assert isinstance(classifier, SpikeClassifier)  # and not the module of its training
    source = labelled_take(3, planes=62, height=32, width=32, classes=10).recording
    calls: list[tuple[int, ...]] = []
    actual = classifier.classify(source, rate_scale=0.6, progress=lambda *done: calls.append(done))
    logits = [
        classifier.classify(SpikeRecording.from_planes(source[start : start + 41], rate_scale=0.6))
        for start in (0, 21)
    ]
    expected = torch.stack(logits).log().mean(0).softmax(0)
    torch.testing.assert_close(actual, expected, atol=0.01, rtol=0)
    assert calls == [(1, 2), (2, 2)]
