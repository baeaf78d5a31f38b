"""Tests of stages ``codec`` and ``joint``, with the shared tests of learned methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from lightning import LightningDataModule, seed_everything
from safetensors.torch import load_file
from torch.nn import functional as F

from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci import SCICodecModule
from spike_zoo.methods.sci.codec.bitstream import DecodedBitstream
from spike_zoo.methods.sci.codec.entropy import FrameCoder
from spike_zoo.methods.sci.codec.frames import CodecNetworks, encode_frames
from spike_zoo.methods.sci.codec.inter import FrameMode, Inter
from spike_zoo.methods.sci.codec.networks import FeatureStream
from spike_zoo.methods.sci.codec.symbols import RateEstimator
from spike_zoo.methods.sci.training.codec import FREE, phase_of, sample_group
from spike_zoo.methods.sci.training.options import Stage
from spike_zoo.methods.sci.training.stage_module import FeatureBatch
from spike_zoo.metrics.flow import end_point_error, flow_spread, still_error
from spike_zoo.spikes import SpikeRecording
from spike_zoo.tasks.base import MethodModule
from spike_zoo.tasks.evaluators.coding import coded_scenes
from spike_zoo.testing import MethodTester
from tests.methods.sci.batches import one_scene, scene_batch
from tests.methods.sci.coding import scenes_in, small


class CodingTester(MethodTester):
    """Shared tests for modules that are trained on scenes and evaluated by rates."""

    files: dict[str, str]
    images = 3  # an I-frame and two P-frames

    @pytest.fixture(autouse=True)
    def _set_files(self, all_stage_files: dict[str, str]) -> None:
        type(self).files = all_stage_files

    def build(self, **arguments: Any) -> SCICodecModule:
        raise NotImplementedError

    def make_module(self) -> SCICodecModule:
        module = self.build()
        module.codec.update_tables()  # for predictions before training
        return module

    def make_batch(self, height: int | None = None, width: int | None = None) -> Any:
        return one_scene(self.images, height or 32, width or 32)

    def make_data(self, module: MethodModule, folder: Path) -> LightningDataModule:
        return scenes_in(folder)

    @pytest.mark.slow
    def test_repeats_by_seed_and_resumes_to_the_same_weights(self, tmp_path: Path) -> None:
        super().test_repeats_by_seed_and_resumes_to_the_same_weights(tmp_path)

    def test_overfits_one_batch(self) -> None:
        seed_everything(0)
        module = self.build(phase_fractions=(1.0, 0.0, 0.0))
        losses = self.learn(module, self.make_batch(), self.overfit_steps)
        assert losses[-1] < 0.7 * losses[0]


class TestCodec(CodingTester):
    """Tests of stage ``codec`` in its last phase."""

    overfit_steps = 30
    untrained_parameters = (  # their inputs are hyper symbols, which are initially all zero
        "codec.intra.entropy.raise_hyper.0.conv.weight",
        "codec.intra.entropy.scales.layers.0.weight",
        "codec.inter.entropy.motion.raise_hyper.0.conv.weight",
        "codec.inter.entropy.motion.scales.layers.0.weight",
        "codec.inter.entropy.content.raise_hyper.0.conv.weight",
        "codec.inter.entropy.content.scales.layers.0.weight",
    )

    def build(self, **arguments: Any) -> SCICodecModule:
        return small("codec", **{"phase_fractions": (0.0, 0.0, 1.0), **self.files, **arguments})


class TestJoint(CodingTester):
    """Tests of stage ``joint``."""

    overfit_steps = 8
    images = 5

    def build(self, **arguments: Any) -> SCICodecModule:
        return small("joint", **{**self.files, **arguments})


QUANTISATIONS: list[tuple[Stage, str, float, bool, bool]] = [
    ("codec", "mixed", 0.1, True, False),
    ("codec", "mixed", 0.3, False, False),
    ("codec", "mixed", 0.95, False, True),
    ("codec", "noise", 0.5, True, False),
    ("codec", "ste", 0.1, False, False),
    ("joint", "noise", 0.1, False, True),  # the entropy model is frozen and exact
]


def test_phases_of_a_run_are_i_frames_then_pairs_then_rollouts() -> None:
    phases = (0.45, 0.25, 0.3)
    sequence = [phase_of(progress, phases) for progress in (0.0, 0.44, 0.46, 0.69, 0.71, 1.0)]
    kinds = [kind for kind in ("intra", "pair", "rollout") for _ in range(2)]
    assert [kind for kind, _ in sequence] == kinds
    assert [share for _, share in sequence] == pytest.approx([0, 44 / 45, 0.04, 0.96, 1 / 30, 1])
    kind, share = phase_of(0.575, (9, 5, 6))  # fractions with any sum
    assert kind == "pair"
    assert share == pytest.approx(0.5)
    assert [phase_of(x, (0, 0, 1)) for x in (0.0, 1.0)] == [("rollout", 0.0), ("rollout", 1.0)]


def test_rollouts_of_long_samples_have_frames_at_several_distances() -> None:
    numbers = torch.arange(9).view(1, 9, 1, 1, 1)
    seen = set()
    for seed in range(32):
        frames = sample_group(numbers, "rollout", torch.Generator().manual_seed(seed))
        seen.add(tuple(int(frame) for frame in frames))
    assert (0, 2, 4, 6, 8) in seen
    assert {step for first, step, *_ in seen if step - first == 1} >= {1, 2, 3}
    assert all(len(frames) == 5 for frames in seen)


@pytest.mark.parametrize("count", [2, 5])
def test_groups_contain_consecutive_frames(count: int) -> None:
    numbers = torch.arange(count).view(1, count, 1, 1, 1).expand(2, count, 3, 4, 4)
    starts = set()
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        first, second = sample_group(numbers, "pair", generator)
        assert torch.equal(second, first + 1)
        assert len(first) == 2 * (count // 2)
        starts.add(int(first[0, 0, 0, 0]))
        (single,) = sample_group(numbers, "intra", generator)
        assert len(single) == 2 * (count // 2)
        rollout = sample_group(numbers, "rollout", generator)
        assert [int(frame[0, 0, 0, 0]) for frame in rollout] == list(range(min(count, 5)))
    assert starts == ({0, 1} if count % 2 else {0})


def test_quantisation_starts_with_noise_and_ends_with_rounded_scale_indexes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for stage, kind, progress, is_noisy, is_rounded in QUANTISATIONS:
        module = small(stage, quantization=kind)
        monkeypatch.setattr(type(module), "progress", progress)
        estimator = module.rate_estimator(torch.Generator())
        assert (estimator._is_noisy, estimator._is_rounded) == (is_noisy, is_rounded)


def test_patches_depend_on_seed_and_step_and_not_on_earlier_random_numbers() -> None:
    seed_everything(3)
    module, batch = small("codec", patch=16), scene_batch(3)
    first = module.training_scenes(batch).features
    torch.rand(7)
    assert torch.equal(module.training_scenes(batch).features, first)
    assert first.shape == (2, 3, 3, 16, 16)
    seed_everything(4)
    assert not torch.equal(module.training_scenes(batch).features, first)


def test_pairs_and_rollouts_have_loss_terms_of_motion(all_stage_files: dict[str, str]) -> None:
    batch = scene_batch(3)
    terms = {}
    for kind, phases in {"intra": (1, 0, 0), "pair": (0, 1, 0), "rollout": (0, 0, 1)}.items():
        module = small("codec", phase_fractions=phases, **all_stage_files)
        module.setup("fit")
        terms[kind] = module.terms(batch)
    assert set(terms["intra"]) == {"rate", "distortion", "total"}
    assert set(terms["rollout"]) == {"rate", "distortion", "motion", "total"}
    assert set(terms["pair"]) == {"rate", "distortion", "motion", "total", "warp"}
    for losses in terms.values():
        assert all(torch.isfinite(value) for value in losses.values())
        assert losses["rate"] > 0


@pytest.mark.parametrize(("phases", "is_reduced"), [((0, 0, 1), True), ((0, 1, 0), False)])
def test_rollouts_leave_out_parts_of_p_frames_as_encoders_do(
    phases: tuple[int, int, int], is_reduced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, batch = small("codec", phase_fractions=phases, skip=True), one_scene(5)
    modes: list[FrameMode] = []
    monkeypatch.setattr(Inter, "encode_mode", lambda *call: modes.append(call[-1]))
    for step in range(6):
        monkeypatch.setattr(
            module, "generator", lambda _, seed=step: torch.Generator().manual_seed(seed)
        )
        assert torch.isfinite(module.terms(batch)["total"])
    assert all(mode.affine for mode in modes)
    assert any(not mode.motion for mode in modes) is is_reduced
    assert any(mode.motion and mode.content for mode in modes)


def test_pairs_train_no_i_frames_and_start_with_a_low_weight_of_the_rate(
    stage_files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_everything(0)
    module = small("codec", phase_fractions=(0, 1, 0), quantization="ste", **stage_files)
    module.setup("fit")
    weight = module.coding_options.rd_weights[
        int(torch.randint(4, (), generator=module.generator("coding")))
    ]
    costs = []
    for progress in (0.0, 0.5):
        monkeypatch.setattr(SCICodecModule, "progress", progress)
        terms = module.terms(scene_batch(3))
        values = {name: float(value.detach()) for name, value in terms.items()}
        costs.append(values["total"] - weight * (values["distortion"] + values["warp"]))
    assert costs[0] == pytest.approx(FREE**0.5 * costs[1], rel=0.01)
    p_frame_share = costs[1] / FREE**0.5 / values["rate"]
    assert 0.05 < p_frame_share < 0.95  # the bits of the I-frame are excluded
    terms["total"].backward()
    learned = {name for name, value in module.codec.named_parameters() if value.grad is not None}
    assert {name.split(".")[0] for name in learned} == {"inter", "gains", "motion"}


@pytest.mark.slow
def test_training_learns_to_code_frames_that_differ_from_their_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seed_everything(0)
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(16, 3, 10, 10, generator=generator)
    smooth = F.interpolate(coarse, (64, 64), mode="bicubic", align_corners=False).clamp(0, 1)
    scenes = smooth.unflatten(0, (8, 2))  # scenes of two unrelated frames
    module = small("codec", phase_fractions=(0, 1, 0), rd_weights=[256.0] * 4)
    indexes = (torch.randint(8, (4,), generator=generator) for _ in range(160))
    monkeypatch.setattr(
        module,
        "training_scenes",
        lambda _: FeatureBatch(scenes[next(indexes)], torch.empty(0), None),
    )
    optimizer = torch.optim.Adam(module.codec.parameters(), 1e-3)
    for step in range(160):
        monkeypatch.setattr(SCICodecModule, "progress", step / 200)
        optimizer.zero_grad()
        module.terms(scene_batch(2))["total"].backward()
        module.configure_gradient_clipping(optimizer, 1.0, "norm")
        optimizer.step()
    coding, symbols = cast("CodecNetworks", module.codec.codec_networks), RateEstimator()
    with torch.no_grad():
        _, p_frame = encode_frames(
            coding, symbols, scenes.unbind(1), 3, estimation=module.codec.motion
        )
    error = F.mse_loss(p_frame.feature, scenes[:, 1])
    assert error < 0.6 * scenes[:, 1].var(correction=0)


def test_gradients_of_motion_and_of_other_parts_are_clipped_separately() -> None:
    module = small("codec")
    parts: dict[str, Any] = dict(module.codec.named_parameters())
    names = "inter.motion_synthesis.8.weight", "inter.synthesis.at_full.0.weight"
    moving, other = (parts[name] for name in names)
    moving.grad, other.grad = torch.full_like(moving, 100.0), torch.full_like(other, 1e-3)
    optimizer = torch.optim.Adam(module.codec.parameters())
    module.configure_gradient_clipping(optimizer, 1.0, "norm")
    assert torch.equal(other.grad, torch.full_like(other, 1e-3))
    assert moving.grad.norm() == pytest.approx(1.0, rel=1e-3)
    other.grad *= 1e5
    module.configure_gradient_clipping(optimizer, 1.0, "norm")
    assert other.grad.norm() == pytest.approx(1.0, rel=1e-3)


def test_training_continues_from_a_codec_checkpoint_without_stage_motion(
    all_stage_files: dict[str, str],
) -> None:
    files = {"fem": all_stage_files["fem"], "codec": all_stage_files["codec"]}
    module = small("codec", **files)
    module.setup("fit")
    saved = load_file(files["codec"])
    for name, value in module.codec.state_dict().items():
        if not name.startswith("fem."):
            assert torch.equal(value, saved[f"codec.{name}"]), name
    with pytest.raises(ConfigError, match="motion: this stage starts from"):
        small("codec", fem=files["fem"]).setup("fit")


def test_with_another_motion_estimation_the_motion_coder_is_initialised_again(
    all_stage_files: dict[str, str],
) -> None:
    module = small("codec", **all_stage_files)
    module.setup("fit")
    codec, motion = (load_file(all_stage_files[stage]) for stage in ("codec", "motion"))
    state = module.codec.state_dict()
    for name in (name for name in state if name.startswith("motion.")):
        assert torch.equal(state[name], motion[f"codec.{name}"]), name
    content, coder = "inter.analysis.content.at_full.weight", "inter.motion_synthesis"
    assert torch.equal(state[content], codec[f"codec.{content}"])
    weights = [name for name in state if name.startswith(coder) and name.endswith("weight")]
    assert weights
    assert not any(torch.equal(state[name], codec[f"codec.{name}"]) for name in weights)


def test_motion_estimation_can_be_frozen(all_stage_files: dict[str, str]) -> None:
    module = small("codec", freeze_motion=True, phase_fractions=(0, 0, 1), **all_stage_files)
    module.setup("fit")
    module.terms(scene_batch(3))["total"].backward()
    learned = {name for name, value in module.codec.named_parameters() if value.grad is not None}
    assert not any(name.startswith("motion.") for name in learned)
    assert any(name.startswith("inter.motion_synthesis.") for name in learned)


def test_target_images_changes_the_distortion_and_not_the_rate(
    all_stage_files: dict[str, str],
) -> None:
    terms = {}
    for target in ("features", "images"):
        seed_everything(0)
        module = small("codec", target=target, phase_fractions=(1, 0, 0), **all_stage_files)
        module.setup("fit")
        terms[target] = module.terms(scene_batch(3))
    assert terms["images"]["rate"] == terms["features"]["rate"]
    assert terms["images"]["distortion"] != terms["features"]["distortion"]


def test_latents_of_an_untrained_codec_are_not_all_rounded_to_zero() -> None:
    """With torch's initial weights they were, and nothing was learned."""
    seed_everything(0)
    coding = cast("CodecNetworks", small("codec").codec.codec_networks)
    motion = torch.tensor([4.0, -4.0]).view(1, 2, 1, 1).expand(-1, -1, 64, 64)
    assert coding.inter.analysis.motion(motion).abs().max() > 0.5


@pytest.mark.slow
def test_the_motion_coder_learns_motion_in_all_directions() -> None:
    """Train the coder of motion on constant fields."""
    seed_everything(0)
    module = small("codec")
    coding = cast("CodecNetworks", module.codec.codec_networks)
    layers = [coding.inter.analysis.motion, coding.inter.motion_synthesis, coding.inter.entropy]
    optimizer = torch.optim.Adam([value for part in layers for value in part.parameters()], 3e-3)
    generator = torch.Generator().manual_seed(0)
    before = coding.inter.start(torch.rand(8, 3, 64, 64, generator=generator))

    def decode(motion: torch.Tensor, symbols: RateEstimator) -> torch.Tensor:
        coder = FrameCoder(symbols, coding.gains, 0)
        base = coding.inter.continue_motion(before, 0)
        return coding.inter.encode_motion(coder, motion, base, before).motion

    for _ in range(120):
        motion = 4 * torch.randn(8, 2, 1, 1, generator=generator).expand(-1, -1, 64, 64)
        symbols = RateEstimator(generator)
        error = (decode(motion, symbols) - motion).abs().mean()
        optimizer.zero_grad()
        (error + 1e-6 * symbols.bits).backward()
        optimizer.step()
    motion = 4 * torch.randn(8, 2, 1, 1, generator=generator).expand(-1, -1, 64, 64)
    with torch.no_grad():
        decoded = decode(motion, RateEstimator(generator))
    assert end_point_error(decoded, motion).mean() < 0.4 * still_error(decoded, motion).mean()
    assert flow_spread(decoded) > 0.5 * flow_spread(motion)


def test_decoded_motion_is_compared_with_the_true_motion(
    all_stage_files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end-point error is 0 for exact motion, and the length of the motion for zero motion."""
    module = small("joint", **all_stage_files)
    module.setup("validate")
    scene = next(coded_scenes(scene_batch(5)))
    logged: dict[str, float] = {}
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: value}))
    prepared = module.coder.prepared(scene)
    for value, error in ((1.0, 0.0), (0.0, 2**0.5)):
        motion = torch.full((5, 2, 32, 32), value)
        features = torch.cat(prepared.features)
        groups = [DecodedBitstream(features, motion, tuple(range(5)), prepared.header)]
        module.evaluator._measure_flow("val", module.coder.gop, scene, groups)
        module.log_epoch("val")
        assert logged["val/epe"] == pytest.approx(error, abs=1e-6)
        assert logged["val/epe_slow"] == pytest.approx(error, abs=1e-6)
        assert logged["val/epe_still"] == pytest.approx(2**0.5)


def test_training_and_encoder_analyse_alike(all_stage_files: dict[str, str]) -> None:
    module = small("codec", analysis="encoder", estimation="dis", **all_stage_files)
    module.setup("fit")
    assert not any(x.requires_grad for x in module.codec.fam.parameters())
    batch = one_scene(5)
    scenes = module.feature_scenes(batch)
    spikes = batch["spikes"][0].numpy().astype(bool)
    stream = FeatureStream(module.codec.eval(), SpikeRecording.from_planes(spikes), 0.6)
    for number, plane in enumerate(batch["planes"][0].tolist()):
        expected = scenes.features[0, number]
        torch.testing.assert_close(stream.coded(plane)[0], expected, rtol=0, atol=0.02)
    assert torch.isfinite(module.terms(batch)["total"])
