"""Tests of stages ``fem``, ``motion`` and ``fam``: shared tests, images and rejected input."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from lightning import Trainer, seed_everything

import spike_zoo
from spike_zoo.checkpoints.loading import initialise, save_weights
from spike_zoo.data import ReconstructionDataModule, SceneDataModule
from spike_zoo.errors import ConfigError, MissingFileError, PlaneRangeError, WeightsError
from spike_zoo.methods.sci import SCI, SCICodecModule
from spike_zoo.methods.sci.analysis.alignment import Align
from spike_zoo.methods.sci.training.clips import Intermediates, stretch_contrast
from spike_zoo.methods.sci.training.options import Stage
from spike_zoo.methods.sci.training.stage_module import flow_failure
from spike_zoo.simulation.kinds.recipes import RECIPES
from spike_zoo.testing import (
    MethodTester,
    ReconstructionTester,
    pattern_take,
    tiny_archive,
    training_loss,
)
from spike_zoo.testing.testers import QUIET
from tests.methods.sci.batches import batch_of
from tests.methods.sci.coding import SPLITS, small


class TestExtraction(ReconstructionTester, MethodTester):
    """Tests of stage ``fem``."""

    height = 32
    width = 32

    def make_module(self) -> SCICodecModule:
        return small("fem", smoothness_weight=0.0, warmup=0.0)


class TestAnalysis(ReconstructionTester, MethodTester):
    """Tests of stage ``fam`` with frozen features."""

    height = 16
    width = 16
    overfit_steps = 120
    overfit_psnr = 16.0  # features of a random FEM have little contrast
    files: dict[str, str]

    @pytest.fixture(autouse=True)
    def _set_files(self, stage_files: dict[str, str]) -> None:
        type(self).files = stage_files

    def make_module(self) -> SCICodecModule:
        return small("fam", **self.files)

    @pytest.mark.slow
    def test_repeats_by_seed_and_resumes_to_the_same_weights(self, tmp_path: Path) -> None:
        super().test_repeats_by_seed_and_resumes_to_the_same_weights(tmp_path)


def test_missing_and_unsuitable_checkpoints_of_earlier_stages_are_rejected(
    stage_files: dict[str, str], tmp_path: Path
) -> None:
    module = small("motion")
    with pytest.raises(ConfigError, match=r"fem: this stage starts from.*configs/sci_fem\.yaml"):
        training_loss(module, batch_of(module))
    missing = small("motion", **{**stage_files, "fem": str(tmp_path / "none.ckpt")})
    with pytest.raises(MissingFileError, match=r"none\.ckpt: there is no such checkpoint of stage"):
        training_loss(missing, batch_of(missing))
    wider = small("motion", **{**stage_files, "fem_width": 0.25})
    with pytest.raises(WeightsError, match=r"fem\.safetensors: its part codec\.fem is not FEM"):
        training_loss(wider, batch_of(wider))


@pytest.mark.slow
def test_training_features_with_the_analysis_lowers_the_loss(stage_files: dict[str, str]) -> None:
    losses = {}
    for train_fem in (False, True):
        seed_everything(0)
        module = small("fam", train_fem=train_fem, **stage_files)
        module.setup("fit")
        motion = {name: value.clone() for name, value in module.codec.motion.state_dict().items()}
        batch = batch_of(module)
        optimizer = torch.optim.Adam((p for p in module.parameters() if p.requires_grad), 3e-3)
        for _ in range(30):
            optimizer.zero_grad()
            terms = module.terms(batch)
            terms["total"].backward()
            optimizer.step()
        losses[train_fem] = float(terms["image"].detach())
        after = module.codec.motion.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in motion.items())
    assert losses[True] < 0.8 * losses[False]
    assert terms["anchor"] < 0.05, "the mean of the channels is near the image"


def test_a_checkpoint_loads_without_files_of_earlier_stages(
    stage_files: dict[str, str], tmp_path: Path
) -> None:
    module = small("fam", **{name: f"{tmp_path}/gone-{name}" for name in stage_files})
    save_weights(module, tmp_path / "fam.safetensors")
    loaded = cast("SCI", spike_zoo.load(tmp_path / "fam.safetensors"))
    recording = pattern_take(3, planes=48).recording
    assert torch.equal(loaded.reconstruct(recording, [20]), module.reconstruct(recording, [20]))
    trained = small("fam", **{name: f"{tmp_path}/gone-{name}" for name in stage_files})
    initialise(trained, tmp_path / "fam.safetensors")
    trained.setup("fit")  # must not read the missing files, because weights are loaded


def test_images_with_shared_features_equal_single_images_and_forward(
    stage_files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_everything(0)
    module = small("fam", **stage_files)
    module.setup("fit")
    recording = pattern_take(3, planes=70).recording
    alone = torch.cat([module.reconstruct(recording, [plane]) for plane in (30, 37, 44)])
    clip = torch.from_numpy(recording[10:51])[None].float()
    with torch.no_grad():
        image = module.eval()(clip, torch.tensor([recording.rate_scale or 1.0]))
    torch.testing.assert_close(alone[:1], image, rtol=0, atol=1e-5)
    counts: list[int] = []
    fem = module.codec.fem.forward

    def counting_forward(planes: torch.Tensor) -> torch.Tensor:
        counts.append(len(planes))
        return fem(planes)

    monkeypatch.setattr(module.codec.fem, "forward", counting_forward)
    together = module.reconstruct(recording, [30, 37, 44])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)
    assert sum(counts) == 7  # planes 16, 23, ..., 58: 7 features instead of 3 x 5


def test_network_input_is_divided_by_the_rate_scale_if_scale_input_is_set() -> None:
    seed_everything(0)
    codec = small("fem").codec.eval()
    window = (torch.rand(1, 13, 16, 16) < 0.5).float()
    with torch.no_grad():
        usual = codec.feature(window, torch.tensor([0.6]))
        torch.testing.assert_close(usual, codec.fem(window))  # for 0.6 the factor is 1
        weighted = codec.fem(window * 2)
        torch.testing.assert_close(codec.feature(window, torch.tensor([0.3])), weighted)
        codec.scale_input = False
        torch.testing.assert_close(codec.feature(window, torch.tensor([0.3])), usual)


@pytest.mark.parametrize(
    ("spikes", "error", "message"),
    [
        (torch.zeros(1, 12, 16, 16), ConfigError, "12 planes, one feature takes 13"),
        (torch.zeros(41, 16, 16), ValueError, r"planes before rows and columns, got \(41, 16, 16"),
        (torch.zeros(0, 41, 16, 16), ValueError, r"got \(0, 41, 16, 16\)"),
        (torch.full((1, 13, 16, 16), 0.5), ValueError, "spikes must be 0 or 1"),
        (torch.full((1, 13, 16, 16), torch.nan), ValueError, "spikes must be 0 or 1"),
        (torch.zeros(1, 13, 12, 16), ConfigError, "at least 16 x 16 pixels are needed"),
        (torch.zeros(1, 13, 1, 2**24 + 1, dtype=torch.bool), ConfigError, r"more than 2\^24 pix"),
    ],
)
def test_invalid_spikes_are_rejected(
    spikes: torch.Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        small("fem").codec.features(spikes)


def test_a_short_clip_gives_a_warning_and_a_shorter_recording_raises(
    stage_files: dict[str, str],
) -> None:
    module = small("fam", **stage_files).eval()
    with torch.no_grad(), pytest.warns(UserWarning, match="20 planes hold fewer than five feat"):
        image = module.codec(torch.zeros(1, 20, 16, 16), torch.tensor([0.6]))
    assert image.shape == (1, 1, 16, 16)
    with pytest.raises(PlaneRangeError, match="a recording with 6 planes"):
        module.reconstruct(pattern_take(3, planes=6).recording, [3])


@pytest.mark.parametrize(
    ("stage", "option", "message"),
    [
        ("codec", {"quantization": "hard"}, "quantization must be one of mixed, noise"),
        ("codec", {"rd_weights": (1.0, 2.0)}, r"rd_weights must be 4 .*1.0, 2.0"),
        ("codec", {"phase_fractions": (0, 0, 0)}, "phase_fractions must be 3 parts of the run"),
        ("codec", {"gop": 0}, "gop must be 1 or more, got 0"),
        ("codec", {"context": "both"}, "context must be one of condition"),
        ("joint", {"temporal_prior": "a"}, "temporal_prior must be one of"),
        ("codec", {"codec_width": 0.0}, "codec_width must be above 0"),
        ("codec", {"patch": 8}, "patch must be 16 pixels or more, got 8"),
        ("codec", {"cache_gib": -1}, "cache_gib must be 0 or more"),
        ("fem", {"smoothness_weight": -1.0}, "smoothness_weight must be 0 or more, got -1"),
        ("motion", {"flow_loss_weight": float("nan")}, "flow_loss_weight must be 0 or more"),
        ("fem", {"learning_rate": 0.0}, "learning_rate must be a positive"),
    ],
)
def test_arguments_outside_their_range_are_rejected(
    stage: Stage, option: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        small(stage, **option)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return an archive of small sequences with ground-truth motion."""
    path = tmp_path_factory.mktemp("sequences") / "sequence.h5"
    options = {"train": 1, "val": 1, "test": 3, "height": 32, "width": 32}
    takes = RECIPES["sequence"].request("small", 0, options).takes()
    with spike_zoo.archive.ArchiveWriter(path) as writer:
        for split, jobs in takes.items():
            for name, job in jobs.items():
                writer.add(name, job())
                writer.put_in_split(split, name)
    return str(path)


def test_motion_errors_are_logged_by_speed(sequences: str, stage_files: dict[str, str]) -> None:
    seed_everything(0)
    module = small("motion", **stage_files)
    options: dict[str, Any] = {"images_per_sample": 2, "full_sequence_splits": SPLITS, "crop": 32}
    data = SceneDataModule(sequences, 13, **options, batch_size=2, seed=0)
    quiet = {**QUIET, "logger": False, "enable_checkpointing": False}
    trainer = Trainer(max_epochs=1, limit_train_batches=2, **quiet)
    trainer.fit(module, data)
    with pytest.warns(UserWarning, match="motion is not learned well enough"):  # after two updates
        (metrics,) = trainer.test(module, data, verbose=False)
    still = {speed: metrics[f"test/epe_still_{speed}"] for speed in ("slow", "medium", "fast")}
    # 7 planes at below 0.2 pixels per plane, and at 0.7 to 3
    assert 0 < still["slow"] < 1.4 < still["fast"] < 21
    for speed, length in still.items():
        ratio = metrics[f"test/epe_{speed}"] / length
        assert metrics[f"test/epe_ratio_{speed}"] == pytest.approx(ratio, rel=1e-5)
    batches = trainer.predict(module, data)
    assert batches is not None
    batch = next(iter(data.test_dataloader()))
    images = module.evaluator.sample_predictions(batch, cast("Any", batches[0]))
    assert [image.image.shape for image in images if image.image is not None] == [(3, 32, 32)]
    mean = sum(still.values()) / 3
    assert metrics["test/epe_still"] == pytest.approx(mean, rel=1e-4)  # equal numbers per speed


def test_failed_motion_reports_ratios_above_0_4() -> None:
    values = {"slow": 0.45, "medium": 0.39, "fast": 0.45}
    ratios = {f"test/epe_ratio_{name}": torch.tensor(value) for name, value in values.items()}
    assert "to that of zero flow is 0.45 on fast scenes, above 0.4" in flow_failure(ratios)


def test_the_weight_of_the_flow_loss_decreases_to_its_final_fraction(
    stage_files: dict[str, str],
) -> None:
    module = small("motion", flow_loss_weight=0.8, flow_loss_weight_end=0.25, **stage_files)
    run = {"training": True, "estimated_stepping_batches": 10, "max_epochs": 1}
    for step, weight in ((5, 0.5), (12, 0.2)):
        module._trainer = cast("Any", SimpleNamespace(global_step=step, **run))
        assert module.flow_loss_weight == pytest.approx(weight)


@pytest.mark.parametrize(
    ("align", "steps"),
    [("afr", ["warped", "deformed", "fused"]), ("dcn", ["embedded", "deformed"])],
)
def test_images_of_a_sample_contain_every_step_of_its_alignment(
    align: Align, steps: list[str]
) -> None:
    seed_everything(0)
    module = small("fam", align=align)
    with torch.no_grad():
        intermediates = Intermediates.of(module.codec, batch_of(module, 17, 18))
        images = intermediates.captioned_images(1)
    feature, motion, *names = images
    assert feature == "feature"
    assert motion.startswith("flow, up to")
    assert names == steps
    assert images["feature"].shape == (3, 17, 18)
    assert all(0 <= image.min() <= image.max() <= 1 for image in images.values())


def test_stretching_fills_the_unit_range_and_maps_constants_to_0() -> None:
    assert stretch_contrast(torch.tensor([[2.0, 4.0, 3.0]])).tolist() == [[0.0, 1.0, 0.5]]
    assert stretch_contrast(torch.full((2, 2), 7.0)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_a_test_measures_features_and_the_deviation_of_a_still_scene(tmp_path: Path) -> None:
    seed_everything(0)
    module = small("fem")
    data = ReconstructionDataModule(str(tiny_archive(tmp_path / "a.h5", planes=21)), 13)
    trainer = Trainer(logger=False, enable_checkpointing=False, limit_test_batches=1, **QUIET)
    (metrics,) = trainer.test(module, data, verbose=False)
    # 0.01 is above the camera's noise and below the differences of a moving scene
    assert 0 < metrics["test/frame_deviation"] < 0.01
    assert 0 < metrics["test/lap2"] < metrics["test/lap1"] < 1
    batch = next(iter(data.test_dataloader()))
    with torch.inference_mode():
        evaluation = module.evaluate(data.on_after_batch_transfer(batch, 0), "test", 0)
    captions = list(evaluation.samples[0].images)
    assert captions[1:] == ["feature", "reconstruction", "ground truth"]
    assert len(evaluation.values["lap1"]) == len(batch["image"]), "a claim compares photographs"
