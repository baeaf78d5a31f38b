"""Tests of SSMT: sizes, intervals, memory of the previous clip, and training."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningDataModule, seed_everything
from torch import Tensor, nn
from torch.nn import functional as F

import spike_zoo
from spike_zoo.data import SceneDataModule
from spike_zoo.errors import ConfigError, UsageError
from spike_zoo.methods.classical import TFI
from spike_zoo.methods.ssmt import (
    SSMT,
    MotionNetwork,
    SSMTModule,
    SSMTMotionModule,
    SSMTOptions,
    clip_intervals,
)
from spike_zoo.methods.ssmt.motion import CLIP_PLANES, flow_loss
from spike_zoo.methods.ssmt.network import STRIDE, IntervalAlignment
from spike_zoo.spikes import SpikeRecording
from spike_zoo.tasks import TaskModule
from spike_zoo.tasks.batch import SceneBatch
from spike_zoo.testing import MethodTester, ReconstructionTester, pattern_take, tiny_archive
from spike_zoo.testing.testers import training_loss
from tests.helpers.streams import random_spikes

pytestmark = pytest.mark.filterwarnings("ignore:motion_weights is not set")

OPTIONS: dict[str, Any] = {
    "encoder_blocks": 1,
    "decoder_blocks": 1,
    "memory_blocks": 1,
    "deformable_groups": 2,
    "motion_size": "small",
    "motion_updates": 2,
    "correlation_levels": 2,
}
CLIPS = 3


def module_of(**arguments: Any) -> SSMTModule:
    """Return a small module; options of the network and arguments of the module override."""
    names = {field.name for field in dataclasses.fields(SSMTOptions)}
    options = {name: arguments.pop(name) for name in names & arguments.keys()}
    return SSMTModule(**{"width": 8, "network": SSMTOptions(**{**OPTIONS, **options}), **arguments})


def small_module(**options: Any) -> SSMTModule:
    seed_everything(0)
    return module_of(**{"lpips": "off", "learning_rate": 2e-3, **options})


def scene_batch(clips: int = CLIPS, height: int = 40, width: int = 48) -> SceneBatch:
    """Return two scenes of drifting patterns with images 20 planes apart."""
    planes = CLIP_PLANES + STRIDE * (clips - 1)
    takes = [pattern_take(seed, planes, height, width, stride=STRIDE) for seed in (0, 1)]
    images = torch.stack([torch.from_numpy(take.images) for take in takes])
    centres = torch.arange(CLIP_PLANES // 2, planes - CLIP_PLANES // 2, STRIDE)
    spikes = torch.stack([take.recording.to_tensor(0, planes, torch.uint8) for take in takes])
    index = takes[0].image_index
    assert index is not None
    chosen = [index.tolist().index(plane) for plane in centres.tolist()]
    return {
        "spikes": spikes,
        "images": images[:, chosen, None].float() / 255,
        "planes": centres.repeat(2, 1),
        "start": torch.zeros(2, dtype=torch.int64),
        "rate_scale": torch.tensor([take.recording.rate_scale for take in takes]),
        "name": ["zero", "one"],
    }


class TestSSMTModule(ReconstructionTester, MethodTester):
    def make_module(self) -> SSMTModule:
        return small_module()

    def make_batch(self, height: int | None = None, width: int | None = None) -> Any:
        batch: Any = scene_batch(CLIPS, height or self.height, width or self.width)
        return {**batch, "image": batch["images"][:, -1]}

    def make_data(self, module: TaskModule, folder: Path) -> LightningDataModule:
        path = folder / "scenes.h5"
        if not path.exists():
            tiny_archive(path, 121, self.height, self.width, stride=STRIDE)
        return SceneDataModule(str(path), CLIP_PLANES, crop=32, batch_size=2, seed=0)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"subclips": 1, "alignment": "none", "intensity_memory": False}, 947_457),
        ({"alignment": "none", "intensity_memory": False}, 1_006_209),
        ({"alignment": "features", "intensity_memory": False}, 1_315_353),
        ({"intensity_memory": False}, 1_317_657),
        ({"warp_memory": False}, 1_614_298),
    ],
)
def test_options_give_the_specified_numbers_of_parameters(
    options: dict[str, Any], count: int
) -> None:
    assert _parameters(SSMT(options=SSMTOptions(**options))) == count


@pytest.mark.parametrize(
    ("size", "levels", "count"),
    [("large", 4, 5_495_872), ("large", 3, 5_475_136), ("small", 4, 1_109_330)],
)
def test_raft_has_the_specified_numbers_of_parameters(size: Any, levels: int, count: int) -> None:
    assert _parameters(MotionNetwork(size, levels=levels)) == count


def test_intervals_equal_a_loop_over_planes() -> None:
    spikes = torch.from_numpy(random_spikes(30, 4, 5, rate=0.2)).float()
    intervals = clip_intervals(spikes[None])[0]
    for y in range(4):
        for x in range(5):
            fired = [-1, *spikes[:, y, x].nonzero()[:, 0].tolist(), 30]
            for plane in range(30):
                last = max(time for time in fired if time < plane)
                following = min(time for time in fired if time >= plane)
                assert intervals[plane, y, x] == pytest.approx(following - last)


def test_alignment_without_offsets_is_a_convolution() -> None:
    layer = IntervalAlignment(8, 2, with_intervals=True)
    for part in (layer.offset[-1], layer.mask[-1]):
        assert isinstance(part, nn.Conv2d)
        nn.init.zeros_(part.weight)
    nn.init.constant_(layer.mask[-1].bias, 30.0)  # type: ignore[arg-type]  # a convolution's
    outer, middle, intervals = (torch.randn(2, n, 12, 14) for n in (8, 8, 2))
    torch.testing.assert_close(
        layer(outer, middle, intervals), layer.conv(outer), atol=1e-5, rtol=1e-5
    )


def test_memory_with_a_zero_last_layer_does_not_change_images() -> None:
    with_memory, without = small_module(), small_module(intensity_memory=False)
    assert with_memory.network.memory_encoder is not None
    last = with_memory.network.memory_encoder[-1]
    assert isinstance(last, nn.Conv2d)
    nn.init.zeros_(last.weight)
    shared = without.network.state_dict()
    with_memory.network.load_state_dict(shared, strict=False)
    batch = scene_batch()
    images = [module.eval().predict_step(batch, 0) for module in (with_memory, without)]
    assert torch.equal(*images)


def test_later_planes_do_not_change_an_image() -> None:
    module, batch = small_module().eval(), scene_batch()
    before = module.predict_step(batch, 0).unflatten(0, (CLIPS, 2))
    last = CLIP_PLANES + STRIDE
    batch["spikes"][:, last:] = 1 - batch["spikes"][:, last:]
    after = module.predict_step(batch, 0).unflatten(0, (CLIPS, 2))
    assert torch.equal(before[:2], after[:2])
    assert not torch.equal(before[2], after[2])


def test_reconstruct_gives_the_same_images_for_any_requested_planes() -> None:
    module, batch = small_module().eval(), scene_batch()
    recording = _recording(batch, 1)
    chain = module.predict_step(batch, 0).unflatten(0, (CLIPS, 2))[:, 1]
    centres = [20, 40, 60]
    # plane 0 is mirrored and comes first in a recording; a scene starts at plane 20
    with_start = module.reconstruct(recording, [0, *centres])
    torch.testing.assert_close(with_start[1:], module.reconstruct(recording, centres))
    for place, centre in enumerate(centres, start=1):
        alone = module.reconstruct(recording, [centre])
        torch.testing.assert_close(alone[0], with_start[place])
    unordered = module.reconstruct(recording, [60, 33, 20, 40])
    torch.testing.assert_close(unordered[[2, 3, 0]], with_start[1:])
    expected = TFI(average=9).reconstruct(recording, [20])
    assert not torch.allclose(with_start[1], expected[0]), "the chain starts at plane 0"
    torch.testing.assert_close(chain[0], expected[0], atol=1e-5, rtol=0)


def test_history_limits_the_clips_before_an_image() -> None:
    batch = scene_batch()
    chain = small_module().eval().predict_step(batch, 0).unflatten(0, (CLIPS, 2))[:, 0]
    images = small_module(history=1).eval().reconstruct(_recording(batch, 0), [40])
    torch.testing.assert_close(images[0], chain[1])
    streamed = small_module(history=1).eval().reconstruct_stream(_recording(batch, 0), [60])
    next(streamed)
    assert not torch.is_inference_mode_enabled(), "the mode of the caller does not change"


def test_without_motion_memory_flow_depends_on_only_two_clips() -> None:
    batch = scene_batch()
    flows = {}
    for keeps in (True, False):
        network = small_module(motion_memory=keeps).eval().network
        scale = batch["rate_scale"]
        clips = [batch["spikes"][:, 20 * n : 20 * n + 41].float() for n in range(3)]
        with torch.no_grad():
            _, second = network(clips[1], scale, network.start(clips[0], scale))
            _, third = network(clips[2], scale, second)
            _, alone = network(clips[2], scale, network.start(clips[1], scale))
        flows[keeps] = third.flow, alone.flow
    assert torch.equal(*flows[False])
    assert not torch.equal(*flows[True])


def test_training_changes_only_the_flow_head_of_raft() -> None:
    module = small_module().train()
    assert module.network.motion is not None
    before = {name: value.clone() for name, value in module.network.motion.state_dict().items()}
    optimizer = torch.optim.Adam(
        [value for value in module.parameters() if value.requires_grad], 1e-2
    )
    training_loss(module, scene_batch()).backward()
    optimizer.step()
    after = module.network.motion.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed
    assert all(".flow_head." in name for name in changed)


def test_gradients_differ_with_and_without_backpropagation_through_clips() -> None:
    gradients: list[Tensor] = []
    for clips in (0, 1):
        module = small_module(bptt_clips=clips, initial="self").train()
        first = module.network.encoder[0]
        assert isinstance(first, nn.Conv2d)
        training_loss(module, scene_batch()).backward()
        assert first.weight.grad is not None
        gradients.append(first.weight.grad)
    assert torch.isfinite(gradients[0]).all()
    assert not torch.equal(*gradients)


def test_the_first_image_is_made_by_the_initial_method() -> None:
    batch = scene_batch()
    first = small_module(initial="plain").eval()
    assert first.clip_length == 81
    with pytest.raises(ConfigError, match="SceneDataModule"):
        first.predict_step({name: v for name, v in batch.items() if name != "planes"}, 0)
    recording = _recording(scene_batch(7), 0)

    torch.testing.assert_close(
        first.reconstruct(recording, [10]),
        spike_zoo.load("plain").reconstruct(recording, [10]),  # type: ignore[operator]  # a method's
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subclips": 2}, "1 or 3"),
        ({"subclip_length": 14}, "odd, 13 to 41, got 14"),
        ({"width": 9}, "no multiple of deformable_groups"),
        ({"motion_input": "events"}, "intervals, spikes, got 'events'"),
        ({"alignment": "flow"}, "alignment must be"),
        ({"bptt_clips": 3}, "bptt_clips must be 0"),
        ({"history": 0}, "history must be"),
        ({"deformable_groups": 0}, "deformable_groups at least 1"),
        ({"memory_blocks": -1}, "must be 0 or more"),
        ({"initial": "hf:owner/name"}, "is not on this machine"),
        ({"initial": "ssdm-student"}, "does not reconstruct grey images"),
        ({"initial": "tfi-colour"}, "does not reconstruct grey images"),
        ({"initial": "tfi:0"}, "tfi:N needs 1 to 41"),
        ({"motion_updates": 0}, "at least 1"),
    ],
)
def test_impossible_options_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        module_of(**options, lpips="off")


def test_images_at_other_distances_are_rejected() -> None:
    batch = scene_batch()
    batch["planes"] = batch["planes"] // 2 + 20
    with pytest.raises(ConfigError, match=r"20 planes apart, got 10 planes.*--stride 20"):
        small_module().eval().predict_step(batch, 0)
    with pytest.raises(ValueError, match="41 planes and 20 for each further clip, got 60"):
        small_module()(torch.zeros(1, 60, 16, 16))


def test_a_motion_network_rejects_reconstruction() -> None:
    module = SSMTMotionModule("small", 2, 2)
    with pytest.raises(UsageError, match="reconstructs no images"):
        module.reconstruct(_recording(scene_batch(), 0), [20])


def test_flows_are_measured_with_the_rate_scales_of_their_recordings() -> None:
    batch: Any = {**scene_batch(), "flow": torch.zeros(2, 3, 2, 40, 48)}
    batch["flow"][0, 2] = torch.nan
    batch["rate_scale"] = torch.tensor([0.5, 0.25])
    module = SSMTMotionModule("small", 1, 2).eval()
    module.setup("test")
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]  # no trainer
    with torch.no_grad():
        images = module.evaluate(batch, "test", 0).measured
    assert [(*image.origin, image.rate_scale) for image in images] == [
        *(("zero", 40, 0.5), ("one", 40, 0.25), ("one", 60, 0.25))
    ]


def test_loaded_weights_are_not_replaced_by_those_of_the_first_stage() -> None:
    first, second = small_module(), small_module(motion_weights="none.ckpt")
    second.load_state_dict(first.state_dict())
    second.setup("fit")  # would raise, because the file does not exist


def test_the_motion_network_takes_any_size_and_starts_from_a_flow() -> None:
    network = MotionNetwork("small", updates=2, levels=2).eval()
    planes = torch.rand(1, 41, 17, 33)
    with torch.no_grad():
        features = network.features(planes)
        estimate = network(planes, features, features)
        from_flow = network(planes, features, features, torch.full_like(estimate.coarse, 0.5))
    assert estimate.flow.shape == (1, 2, 17, 33)
    assert not torch.equal(estimate.flow, from_flow.flow)


def test_unknown_flow_does_not_contribute_to_the_loss() -> None:
    truth = torch.zeros(1, 2, 4, 4)
    truth[..., 0] = torch.nan
    flow = torch.zeros(1, 2, 4, 4)
    flow[..., 0] = 100.0
    assert flow_loss([flow], truth) == 0
    flow[..., 1] = 1.2
    assert float(flow_loss([flow, flow], truth)) == pytest.approx(1.8 * 0.4)


@pytest.mark.slow
def test_the_motion_network_learns_translations() -> None:
    """Check that a texture of d pixels per plane has a flow of -20 d to the previous clip."""
    seed_everything(0)
    module = SSMTMotionModule("small", 2, 2)
    generator = torch.Generator().manual_seed(0)
    network = module.network.train()
    optimizer = torch.optim.Adam(network.parameters(), 5e-4)
    for _ in range(400):
        speeds = torch.rand(4, 2, generator=generator) * 0.6 - 0.3
        planes = _moving_intervals(speeds, generator)
        pair = network.features(planes[0]), network.features(planes[1])
        truth = (-20 * speeds)[:, :, None, None].expand(-1, -1, 64, 64)
        loss = flow_loss(network(planes[1], pair[1], pair[0]).flows, truth)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    network.eval()
    speeds = torch.tensor([[0.15, 0.0], [-0.1, 0.1], [0.0, -0.15], [0.1, 0.05]])
    planes = _moving_intervals(speeds, generator)
    with torch.no_grad():
        pair = network.features(planes[0]), network.features(planes[1])
        flow = network(planes[1], pair[1], pair[0]).flow[..., 8:-8, 8:-8].mean(dim=(2, 3))
    error = torch.linalg.vector_norm(flow + 20 * speeds, dim=1)
    assert error.mean() < 0.5 * torch.linalg.vector_norm(20 * speeds, dim=1).mean()


def _moving_intervals(speeds: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return intervals of two clips of moving smooth textures, each ``(B, 41, 64, 64)``."""
    coarse = torch.rand(len(speeds), 1, 24, 24, generator=generator)
    texture = F.interpolate(coarse, (96, 96), mode="bicubic").clamp(0.1, 1)
    y, x = torch.meshgrid(torch.arange(64) + 16.0, torch.arange(64) + 16.0, indexing="ij")
    planes = []
    for plane in range(61):
        position = torch.stack((x, y), dim=-1) - plane * speeds[:, None, None]
        grid = 2 * position / 95 - 1
        planes.append(F.grid_sample(texture, grid, align_corners=True)[:, 0])
    intervals = 0.1 / torch.stack(planes, dim=1).clamp(min=0.1)
    return intervals[:, :41], intervals[:, 20:]


def _parameters(network: nn.Module) -> int:
    parts = {name: value.numel() for name, value in network.named_parameters()}
    return sum(count for name, count in parts.items() if not name.startswith("motion."))


def _recording(batch: SceneBatch, index: int) -> SpikeRecording:
    return SpikeRecording.from_planes(
        batch["spikes"][index].bool().numpy(), rate_scale=float(batch["rate_scale"][index])
    )
