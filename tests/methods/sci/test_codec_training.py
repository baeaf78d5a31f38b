"""Stages ``codec`` and ``joint``: the shared tests of learned methods, and what is their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pytest
import torch
from lightning import Trainer, seed_everything
from torch.nn import functional as F

import spike_zoo
from spike_zoo import SpikeArchive
from spike_zoo.coding import BitstreamReader
from spike_zoo.data import ReconstructionDataModule, SceneDataModule
from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci import SCICodecModule
from spike_zoo.methods.sci.bitstream import digest_of
from spike_zoo.methods.sci.codec_training import (
    FREE,
    CodecJob,
    CodingJob,
    counted,
    drawn_group,
    images_at,
    phase_of,
)
from spike_zoo.methods.sci.frames import coded_frames
from spike_zoo.methods.sci.scenes import Scenes
from spike_zoo.methods.sci.symbols import Counted
from spike_zoo.testing import QUIET, MethodTester, tiny_archive
from tests.methods.sci.batches import batch_of, scene_batch

if TYPE_CHECKING:
    from pathlib import Path

    from lightning import LightningDataModule

    from spike_zoo.methods.sci.frames import Coding
    from spike_zoo.methods.sci.stages import Stage
    from spike_zoo.spikes import SpikeRecording
    from spike_zoo.tasks.base import TaskModule
    from spike_zoo.tasks.coding import Scene

WIDTHS: dict[str, Any] = {"fem_width": 0.125, "codec_width": 0.125, "fam_width": 0.125}
SPLITS = ["train", "val", "test"]


def small(stage: Stage, **arguments: Any) -> SCICodecModule:
    return SCICodecModule(stage, lpips="off", **{**WIDTHS, **arguments})


def scenes_in(folder: Path) -> SceneDataModule:
    """Return data of five images a recording, 7 planes apart, two batches an epoch."""
    path = folder / "scenes.h5"
    if not path.exists():
        tiny_archive(path, planes=41, height=32, width=40, stride=7)
    given: dict[str, Any] = {"images": 5, "whole": SPLITS, "batch_size": 2, "crop": None, "seed": 0}
    return SceneDataModule(str(path), 13, **given)


class CodingTester(MethodTester):
    """The shared tests, of scenes instead of clips and bits instead of pictures."""

    files: dict[str, str]

    @pytest.fixture(autouse=True)
    def _begin(self, all_beginnings: dict[str, str]) -> None:
        type(self).files = all_beginnings

    def made(self, **arguments: Any) -> SCICodecModule:
        raise NotImplementedError

    def make_module(self) -> SCICodecModule:
        module = self.made()
        module.codec.finalize_entropy()  # to predict something before it has learned
        return module

    def make_batch(self, height: int | None = None, width: int | None = None) -> Any:
        return scene_batch(5, height or 32, width or 32)

    def make_data(self, module: TaskModule, folder: Path) -> LightningDataModule:
        return scenes_in(folder)

    @pytest.mark.slow
    def test_repeats_by_seed_and_resumes_to_the_same_weights(self, tmp_path: Path) -> None:
        super().test_repeats_by_seed_and_resumes_to_the_same_weights(tmp_path)

    def test_overfits_one_batch(self) -> None:
        seed_everything(0)
        module = self.made(phases=(1.0, 0.0, 0.0))
        losses = self.learn(module, self.make_batch(), self.overfit_steps)
        assert losses[-1] < 0.7 * losses[0]


class TestCodec(CodingTester):
    """Stage ``codec``, in its last phase."""

    overfit_steps = 30
    parts_at_rest = (  # they see hyper symbols, which are all zero at first
        "codec.intra.entropy.raise_hyper.0.conv.weight",
        "codec.intra.entropy.scales.layers.0.weight",
        "codec.inter.entropy.motion.raise_hyper.0.conv.weight",
        "codec.inter.entropy.motion.scales.layers.0.weight",
        "codec.inter.entropy.content.raise_hyper.0.conv.weight",
        "codec.inter.entropy.content.scales.layers.0.weight",
    )

    def made(self, **arguments: Any) -> SCICodecModule:
        return small("codec", **{"phases": (0.0, 0.0, 1.0), **self.files, **arguments})


class TestJoint(CodingTester):
    """Stage ``joint``."""

    overfit_steps = 8

    def made(self, **arguments: Any) -> SCICodecModule:
        return small("joint", **{**self.files, **arguments})


# what is drawn


def test_a_run_goes_from_i_frames_over_pairs_to_rollouts() -> None:
    phases = (0.45, 0.25, 0.3)
    found = [phase_of(progress, phases) for progress in (0.0, 0.44, 0.46, 0.69, 0.71, 1.0)]
    assert [kind for kind, _ in found] == ["intra", "intra", "pair", "pair", "rollout", "rollout"]
    assert [done for _, done in found] == pytest.approx([0, 44 / 45, 0.04, 0.96, 1 / 30, 1])
    kind, done = phase_of(0.575, (9, 5, 6))  # parts of any sum
    assert kind == "pair"
    assert done == pytest.approx(0.5)
    assert [phase_of(x, (0, 0, 1)) for x in (0.0, 1.0)] == [("rollout", 0.0), ("rollout", 1.0)]


@pytest.mark.parametrize("count", [2, 5, 6])
def test_groups_follow_in_time(count: int) -> None:
    numbers = torch.arange(count).view(1, count, 1, 1, 1).expand(2, count, 3, 4, 4)
    starts = set()
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        first, second = drawn_group(numbers, "pair", generator)
        assert torch.equal(second, first + 1)
        assert len(first) == 2 * (count // 2)
        starts.add(int(first[0, 0, 0, 0]))
        (single,) = drawn_group(numbers, "intra", generator)
        assert len(single) == 2 * (count // 2)
        rollout = drawn_group(numbers, "rollout", generator)
        assert [int(one[0, 0, 0, 0]) for one in rollout] == list(range(min(count, 5)))
    assert starts == ({0, 1} if count % 2 else {0})


@pytest.mark.parametrize(
    ("stage", "quant", "progress", "wanted"),
    [
        ("codec", "mixed", 0.1, (True, False)),
        ("codec", "mixed", 0.3, (False, False)),
        ("codec", "mixed", 0.95, (False, True)),
        ("codec", "noise", 0.5, (True, False)),
        ("codec", "ste", 0.1, (False, False)),
        ("joint", "noise", 0.1, (False, True)),  # its entropy model is frozen, as it will code
    ],
)
def test_rounding_begins_with_noise_and_ends_with_levels(
    stage: Stage, quant: str, progress: float, wanted: tuple[bool, bool]
) -> None:
    class Run:
        def __init__(self) -> None:
            self.stage, self.progress, self.hparams = stage, progress, {"quant": quant}

    found = counted(cast("SCICodecModule", Run()), torch.Generator())
    assert (found._is_noisy, found._is_rounded) == wanted


def test_a_step_draws_by_its_number_and_not_by_what_was_drawn_before() -> None:
    seed_everything(3)
    module, batch = small("codec", patch=16), scene_batch(3)
    first = module.learned_scenes(batch).features
    torch.rand(7)
    assert torch.equal(module.learned_scenes(batch).features, first)
    assert first.shape == (2, 3, 3, 16, 16)
    seed_everything(4)
    assert not torch.equal(module.learned_scenes(batch).features, first)


def test_pairs_have_the_true_error_of_decoded_motion_beside(all_beginnings: dict[str, str]) -> None:
    batch = scene_batch(3)
    terms = {}
    for kind, phases in {"intra": (1, 0, 0), "pair": (0, 1, 0), "rollout": (0, 0, 1)}.items():
        module = small("codec", phases=phases, **all_beginnings)
        module.setup("fit")
        terms[kind] = module.job.terms(batch)
    assert set(terms["intra"]) == set(terms["rollout"]) == {"rate", "distortion", "total"}
    assert set(terms["pair"]) == {"rate", "distortion", "total", "warp"}
    for one in terms.values():
        assert all(torch.isfinite(value) for value in one.values())
        assert one["rate"] > 0


def test_pairs_leave_i_frames_alone_and_begin_almost_free(
    all_beginnings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_everything(0)
    module = small("codec", phases=(0, 1, 0), quant="ste", **all_beginnings)
    module.setup("fit")
    weight = module.hparams["lambdas"][int(torch.randint(4, (), generator=module.generator()))]
    costs = []
    for progress in (0.0, 0.5):
        monkeypatch.setattr(SCICodecModule, "progress", progress)
        terms = module.job.terms(scene_batch(3))
        named = {name: float(value.detach()) for name, value in terms.items()}
        costs.append(named["total"] - weight * (named["distortion"] + named["warp"]))
    assert costs[0] == pytest.approx(FREE**0.5 * costs[1], rel=0.01)
    told = costs[1] / FREE**0.5 / named["rate"]
    assert 0.05 < told < 0.95  # the I-frame's bits are no part of it
    terms["total"].backward()
    learned = {name for name, one in module.codec.named_parameters() if one.grad is not None}
    assert {name.split(".")[0] for name in learned} == {"inter", "gains", "motion"}


@pytest.mark.slow
def test_what_is_new_in_a_frame_is_learned_to_be_coded(monkeypatch: pytest.MonkeyPatch) -> None:
    seed_everything(0)
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(16, 3, 10, 10, generator=generator)
    smooth = F.interpolate(coarse, (64, 64), mode="bicubic", align_corners=False).clamp(0, 1)
    scenes = smooth.unflatten(0, (8, 2))  # of two frames that have nothing in common
    module = small("codec", phases=(0, 1, 0), lambdas=[256.0] * 4)
    drawn = (torch.randint(8, (4,), generator=generator) for _ in range(160))
    monkeypatch.setattr(
        module, "learned_scenes", lambda _: Scenes(scenes[next(drawn)], torch.empty(0), None)
    )
    optimizer = torch.optim.Adam(module.codec.parameters(), 1e-3)
    for step in range(160):
        monkeypatch.setattr(SCICodecModule, "progress", step / 200)
        optimizer.zero_grad()
        module.job.terms(scene_batch(2))["total"].backward()
        module.configure_gradient_clipping(optimizer, 1.0, "norm")
        optimizer.step()
    coding, symbols = cast("Coding", module.codec.coding), Counted()
    given: Any = {"features": list(scenes.unbind(1)), "estimation": module.codec.motion}
    with torch.no_grad():
        _, found = coded_frames(coding, symbols, (64, 64), 3, count=2, **given)
    error = F.mse_loss(found.feature, scenes[:, 1])
    assert error < 0.6 * scenes[:, 1].var(correction=0)


def test_motion_does_not_limit_what_else_is_learned() -> None:
    module = small("codec")
    parts: dict[str, Any] = dict(module.codec.named_parameters())
    moving, other = (
        parts["inter.motion_synthesis.8.weight"],
        parts["inter.synthesis.at_full.0.weight"],
    )
    moving.grad, other.grad = torch.full_like(moving, 100.0), torch.full_like(other, 1e-3)
    optimizer = torch.optim.Adam(module.codec.parameters())
    module.configure_gradient_clipping(optimizer, 1.0, "norm")
    assert torch.equal(other.grad, torch.full_like(other, 1e-3))
    assert moving.grad.norm() == pytest.approx(1.0, rel=1e-3)
    other.grad *= 1e5
    module.configure_gradient_clipping(optimizer, 1.0, "norm")
    assert other.grad.norm() == pytest.approx(1.0, rel=1e-3)


def test_images_are_those_of_the_features_at_their_planes() -> None:
    found = [(number, torch.full((1, 2, 2), float(number))) for number in range(5)]
    images = images_at([27, 6], found)
    assert images[:, 0, 0, 0].tolist() == [3.0, 0.0]


# what is measured


class Trained(NamedTuple):
    """A run of stage ``codec``: two updates, a validation, a test.

    Attributes:
        module: As the run left it.
        data: What it was trained on.
        recordings: By split, the recordings of its archive.
        validated: Values of the validation.
        tested: Values of the test.
        file: Its checkpoint.
    """

    module: SCICodecModule
    data: SceneDataModule
    recordings: dict[str, SpikeRecording]
    validated: dict[str, float]
    tested: dict[str, float]
    file: Path

    def scene(self, split: str) -> tuple[Any, Scene]:
        """Return the only recording of a split as a batch and by itself."""
        self.data.setup({"val": "validate"}.get(split, split))
        loader: Any = getattr(self.data, f"{split}_dataloader")()
        batch = self.data.on_after_batch_transfer(next(iter(loader)), 0)
        (scene,) = self.module.scenes(cast("Any", batch))
        return batch, scene


@pytest.fixture(scope="module")
def trained(all_beginnings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    seed_everything(0)
    module, data = small("codec", gop=3, **all_beginnings), scenes_in(folder)
    quiet: dict[str, Any] = {**QUIET, "logger": False, "enable_checkpointing": False}
    trainer = Trainer(max_epochs=1, num_sanity_val_steps=0, **quiet)
    trainer.fit(module, data)
    validated = {name: float(value) for name, value in trainer.callback_metrics.items()}
    trainer.save_checkpoint(folder / "codec.ckpt")
    (tested,) = trainer.test(module, data, verbose=False)
    archive = SpikeArchive(folder / "scenes.h5")
    recordings = {split: archive[archive.names(split)[0]] for split in SPLITS}
    return Trained(module, data, recordings, validated, dict(tested), folder / "codec.ckpt")


def test_a_validation_estimates_rate_and_distortion_at_every_quality(trained: Trained) -> None:
    assert (trained.module.monitor, trained.module.monitor_mode) == ("val/rd", "min")
    costs = []
    for quality, weight in enumerate(trained.module.hparams["lambdas"]):
        rate = trained.validated[f"val/rate_q{quality}"]
        assert 0 < rate < 20
        error = 10 ** (-trained.validated[f"val/feature_psnr_q{quality}"] / 10)
        costs.append(rate + weight * error)
    mean = sum(costs) / 4
    assert trained.validated["val/rd"] == pytest.approx(mean, rel=0.05)  # PSNR is a mean of logs


def test_a_test_measures_whole_files(trained: Trained) -> None:
    for quality in range(4):
        made = trained.module.codec.compress(trained.recordings["test"], quality=quality, gop=3)
        rate = 8 * len(made) / (41 * 32 * 40)
        assert trained.tested[f"test/bpp_q{quality}"] == pytest.approx(rate, rel=0.02)
        assert trained.tested[f"test/psnr_q{quality}"] > 0
    curves = trained.module.curves
    assert set(curves) == {"rate_distortion/psnr", "rate_distortion/ssim"}
    for quality, point in enumerate(curves["rate_distortion/psnr"]):
        wanted = [trained.tested[f"test/{name}_q{quality}"] for name in ("bpp", "psnr")]
        assert point == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("quality", [0, 3])
def test_estimates_of_a_validation_are_what_files_hold(trained: Trained, quality: int) -> None:
    job, codec = trained.module.job, trained.module.codec
    assert isinstance(job, CodecJob)
    prepared = job.prepared(trained.scene("val")[1])
    coded = job.compress(prepared, quality)
    rate, groups = job._coded(prepared, quality)
    header, payloads = coded.content
    assert coded.n_bytes == 44 + sum(8 + len(payload) for payload in payloads)
    words = sum(len(payload) - 8 for payload in payloads)
    estimated = float(rate) * header.frames * 32 * 40 / 8
    assert abs(estimated - words) <= 0.015 * words + 6 * len(payloads)
    whole = codec.compress(trained.recordings["val"], quality=quality, gop=3)
    assert len(whole) == coded.n_bytes
    found = torch.cat([group.features for group in groups])
    torch.testing.assert_close(found, codec.decompress(whole).features, rtol=0, atol=1e-4)


def test_every_checkpoint_of_stage_codec_is_final(trained: Trained) -> None:
    codec = cast("SCICodecModule", spike_zoo.load(trained.file)).codec
    made = codec.compress(trained.recordings["test"], quality=1, gop=5)
    assert BitstreamReader(made).header.digest == digest_of(codec)
    assert codec.reconstruct(codec.decompress(made)).shape == (5, 1, 32, 40)


def test_decoded_images_are_predicted(trained: Trained) -> None:
    batch, _ = trained.scene("test")
    found = trained.module.predict_step(batch, 0)
    assert found.shape == (5, 1, 32, 40)
    assert 0 <= found.min() <= found.max() <= 1
    named = trained.module.predicted(batch, found)
    assert [one.origin.plane for one in named] == [6, 13, 20, 27, 34]


def test_images_between_features_are_refused(trained: Trained) -> None:
    _, scene = trained.scene("test")
    moved = scene._replace(planes=[plane + 1 for plane in scene.planes])
    assert isinstance(trained.module.job, CodingJob)
    with pytest.raises(ConfigError, match=r"images at planes \[7, 14, 21\].*simulate --kind seque"):
        trained.module.job.prepared(moved)


def test_data_of_single_clips_are_refused_before_a_run(trained: Trained) -> None:
    clips = ReconstructionDataModule("none.h5", 13)
    with pytest.raises(ConfigError, match=r"codes whole recordings; serve them by.*\[val\]"):
        trained.module.check_data(clips, "validate")


def test_a_stage_without_a_codec_codes_nothing() -> None:
    module = small("fam")
    with pytest.raises(ConfigError, match="stage fam has no codec; use stage codec or joint"):
        module.prepared(cast("Any", None))


def test_joint_leaves_what_is_written_as_it_was(all_beginnings: dict[str, str]) -> None:
    seed_everything(0)
    module = small("joint", **all_beginnings)
    module.setup("fit")
    codec = cast("SCICodecModule", spike_zoo.load(all_beginnings["codec"])).codec
    frozen = ("intra.entropy.", "inter.entropy.", "intra.analysis.", "gains.encoder.", "motion.")
    theirs, ours = codec.state_dict(), module.codec.state_dict()
    shared = [name for name in theirs if name.startswith(frozen)]
    assert any(name.endswith("scales.is_final") for name in shared)
    assert all(torch.equal(theirs[name], ours[name]) for name in shared)
    assert digest_of(module.codec) == digest_of(codec)  # until it has learned
    optimiser = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], 1e-2)
    module.train()
    module.job.terms(batch_of(module))["total"].backward()
    optimiser.step()
    assert digest_of(module.codec) != digest_of(codec)
    assert all(torch.equal(theirs[name], ours[name]) for name in shared)
