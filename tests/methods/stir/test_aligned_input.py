"""Tests of STIR with align_input: input, draft, flow and initialisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch
from lightning import seed_everything
from torch.utils._python_dispatch import TorchDispatchMode

from spike_zoo.errors import PlaneRangeError, UsageError
from spike_zoo.methods.classical import TFI, AlignedTFI, alignment, deblurring, intervals
from spike_zoo.methods.classical.aligned_input import aligned_window, aligned_windows, with_errors
from spike_zoo.methods.stir import STIR, AlignedSTIRModule, FlowOptions, STIROptions, streaming
from spike_zoo.metrics import psnr
from spike_zoo.spikes import SpikeRecording
from spike_zoo.testing import MethodTester, ReconstructionTester, training_loss
from tests.helpers.takes import moving_clip

if TYPE_CHECKING:
    from torch import Tensor

SMALL: dict[str, Any] = {"pyramid_levels": 3, "width": 0.34, "lpips": "off"}
CENTER = 90


def aligned_module(**options: Any) -> AlignedSTIRModule:
    seed_everything(0)
    return AlignedSTIRModule(**SMALL, **options)


class TestAlignedSTIRModule(ReconstructionTester, MethodTester):
    height = 32
    width = 32
    overfit_steps = 90

    def make_module(self) -> AlignedSTIRModule:
        return AlignedSTIRModule(**SMALL)


@pytest.fixture(scope="module")
def moving() -> tuple[SpikeRecording, Any]:
    """Return a recording of a scene in motion, and the clip around plane 90 with flow."""
    recording, batch = moving_clip(CENTER, scene=1)
    return recording, {**batch, "spikes": batch["spikes"][:, CENTER - 75 : CENTER + 76]}


def temporal_variance(planes: Tensor) -> float:
    """Return the variance over planes ``(1, 61, H, W)``, averaged over pixels without borders."""
    inside = planes[..., 8:-8, 12:-12]
    return (inside - inside.mean(dim=1, keepdim=True)).square().mean().item()


def test_aligned_planes_are_alike_and_their_draft_has_higher_psnr(moving: tuple[Any, Any]) -> None:
    _, batch = moving
    spikes, scale = batch["spikes"], batch["rate_scale"]
    still = aligned_windows(spikes, scale, torch.zeros_like(batch["flow"]))
    oracle = aligned_windows(spikes, scale, batch["flow"])
    estimated = aligned_windows(spikes, scale)
    assert temporal_variance(oracle.planes) < temporal_variance(still.planes) / 2
    assert temporal_variance(estimated.planes) < temporal_variance(still.planes) / 2
    psnrs = [psnr(window.draft, batch["image"]).item() for window in (oracle, estimated, still)]
    assert min(psnrs[:2]) > psnrs[2] + 3
    known = batch["flow"].isfinite()
    torch.testing.assert_close(oracle.fields[known], batch["flow"][known])
    assert (oracle.fields[~known] == 0).all()


def test_an_untrained_network_has_the_psnr_of_aligned_tfi(moving: tuple[Any, Any]) -> None:
    recording, batch = moving
    methods: dict[str, Any] = {
        "stir": aligned_module().eval(),
        "tfi": TFI(9),
        "aligned": AlignedTFI(),
    }
    psnrs = {
        name: psnr(method.reconstruct(recording, [CENTER]), batch["image"]).item()
        for name, method in methods.items()
    }
    assert psnrs["stir"] > psnrs["tfi"] + 1
    assert psnrs["stir"] == pytest.approx(psnrs["aligned"], abs=0.2)


def test_every_level_uses_the_detail_of_the_draft_at_its_resolution() -> None:
    seed_everything(0)
    network = STIR(pyramid_levels=3, width=0.34).eval()
    planes, draft = torch.rand(1, 61, 32, 32), torch.rand(1, 1, 32, 32)
    cells = torch.nn.functional.avg_pool2d(draft, 2)
    blurred = cells.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)  # no fine detail
    corrections = {}
    for name, image in (("detailed", draft), ("blurred", blurred)):
        levels = network.pyramid(planes, draft=image).levels
        corrections[name] = levels[2].image - cells, levels[1].image - image
    coarse, fine = zip(*corrections.values(), strict=True)
    torch.testing.assert_close(*coarse, atol=1e-5, rtol=0)
    assert (fine[0] - fine[1]).abs().mean() > 1e-3


def test_recordings_and_clips_give_the_same_image_with_and_without_tiles(
    moving: tuple[Any, Any],
) -> None:
    recording, batch = moving
    module = aligned_module().eval()
    whole = module.reconstruct(recording, [CENTER])
    torch.testing.assert_close(module.predict_step(batch, 0), whole, atol=1e-5, rtol=0)
    wide = SpikeRecording.from_planes(
        np.tile(recording[0 : len(recording)], (1, 1, 4)), rate_scale=recording.rate_scale
    )
    untiled = module.reconstruct(wide, [CENTER])
    module.tile = 128
    torch.testing.assert_close(module.reconstruct(wide, [CENTER]), untiled, atol=2e-3, rtol=0)


def test_inputs_computed_ahead_by_threads_give_the_same_images(
    moving: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recording, centers = moving[0], [60, 63, 66, 69, 72, 69]
    module = aligned_module().eval()
    serial = module.reconstruct(recording, centers)
    monkeypatch.setattr(streaming, "_threads", lambda device, pixels: 3)  # as on a GPU
    assert torch.equal(module.reconstruct(recording, centers), serial)


class CountedOperations(TorchDispatchMode):
    """Counts the operations of torch, each of which is at most a kernel or two on a GPU."""

    count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        self.count += 1
        return func(*args, **(kwargs or {}))


def test_aligned_input_needs_few_operations_without_compiled_loops(
    moving: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (alignment, deblurring, intervals):
        monkeypatch.setattr(module, "is_compiled_for", lambda device: False)
    with CountedOperations() as operations:  # type: ignore[no-untyped-call]  # as in torch
        aligned_window(moving[1]["spikes"][0], 0.6, 75)
    assert operations.count < 800  # 7,800 if each plane is warped alone


def test_the_draft_replaces_the_image_where_the_network_diverges(moving: tuple[Any, Any]) -> None:
    module = aligned_module().eval()
    usual = module.reconstruct(moving[0], [CENTER])
    draft = aligned_window(moving[1]["spikes"][0], 0.6, 75).draft
    head = cast("Any", module.network.decoders["1"]).head
    for bias, expected in ((0.05, usual + 0.05), (0.6, draft), (torch.nan, draft)):
        head.bias.data.fill_(bias)
        image = module.reconstruct(moving[0], [CENTER])
        inside = (slice(None), slice(None), slice(4, -4), slice(4, -4))
        assert (image[inside] - expected.clamp(0, 1)[inside]).abs().mean() < 0.02


def test_motion_returns_the_flow_used_for_alignment(moving: tuple[Any, Any]) -> None:
    recording, batch = moving
    module = aligned_module().eval()
    assert module.estimates_flow
    field = module.motion(recording, [CENTER])
    _, fields = module.predict_with_flow(batch, 0)
    torch.testing.assert_close(fields[0], field)
    error = (field - batch["flow"]).norm(dim=2).nanmedian()
    assert error < 0.4 * batch["flow"].norm(dim=2).nanmedian()


@pytest.mark.parametrize("center", [3, 79])
def test_images_near_the_ends_of_a_recording_are_accurate(center: int) -> None:
    periods = np.random.default_rng(0).integers(2, 9, (24, 32)).repeat(2, 0).repeat(2, 1)
    spikes = np.arange(80)[:, None, None] % periods == 0
    recording = SpikeRecording.from_planes(spikes, rate_scale=0.5)
    image = aligned_module().eval().reconstruct(recording, [center])
    expected = torch.from_numpy(2 / periods).float()[None, None]
    assert psnr(image, expected) > 26  # an interval without its end counts as short


def test_pixels_without_spikes_near_the_window_are_black() -> None:
    fires = torch.arange(151)[:, None, None] % 3 == 0
    bright = torch.arange(24) >= 12
    spikes = (fires & bright).expand(151, 16, 24).clone()
    spikes[5, :, :6] = True  # once, 70 planes before the middle plane: too far for an interval
    aligned = aligned_windows(spikes[None].float(), None, torch.zeros(1, 2, 2, 16, 24))
    assert aligned.planes[..., :10].abs().max() < 1e-4
    torch.testing.assert_close(aligned.planes[..., 14:], torch.full((1, 61, 16, 10), 1 / 3))


def test_a_recording_shorter_than_half_a_window_is_rejected() -> None:
    short = SpikeRecording.from_planes(np.ones((20, 16, 16), np.bool_), rate_scale=1.0)
    with pytest.raises(PlaneRangeError):
        aligned_module().eval().reconstruct(short, [10])


def test_planes_beyond_an_end_repeat_earlier_planes_at_their_positions() -> None:
    # a bright column moves 4 pixels in 20 planes; at plane 5 the window starts 25 planes too early
    light = torch.full((40, 16, 48), 0.2)
    for plane in range(40):
        light[plane, :, 14 + plane // 5] = 0.9
    spikes = (torch.rand(light.shape, generator=torch.Generator().manual_seed(0)) < light).float()
    motion = torch.zeros(2, 2, 16, 48)
    motion[0, 0], motion[1, 0] = -4.0, 4.0
    aligned = aligned_window(spikes, 1.0, 5, motion).planes[0].mean(dim=(0, 1))
    assert aligned.argmax() in (14, 15)
    assert aligned.max() > 1.5 * aligned.median()


def test_training_aligns_by_true_flow_with_errors_seeded_by_the_step(
    moving: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, batch = moving
    flows: list[Tensor | None] = []

    def recording_aligned_windows(
        spikes: Tensor, rate_scale: Tensor, flow: Tensor | None = None
    ) -> Any:
        flows.append(flow)
        return aligned_windows(spikes, rate_scale, flow)

    path = "spike_zoo.methods.classical.aligned_input.aligned_windows"
    monkeypatch.setattr(path, recording_aligned_windows)
    module = aligned_module()
    training_loss(module, batch)
    training_loss(module, batch)
    module.eval()
    module.predict_with_flow(batch, 0)
    first, again, evaluated = flows
    assert first is not None
    assert again is not None
    assert evaluated is None, "evaluation estimates the flow"
    assert torch.equal(first, again)
    known = batch["flow"].isfinite()
    difference = (first - batch["flow"])[known].abs()
    assert 0.01 < difference.mean() < 0.5
    unknown: Any = {name: value for name, value in batch.items() if name != "flow"}
    training_loss(module.train(), unknown)
    assert flows[-1] is None, "training data may have no flow"


def test_flow_errors_grow_with_the_motion_and_differ_by_seed() -> None:
    still, fast = torch.zeros(1, 2, 2, 64, 64), torch.full((1, 2, 2, 64, 64), 12.0)
    errors = [
        with_errors(motion, torch.Generator().manual_seed(seed)) - motion
        for motion, seed in ((still, 0), (fast, 0), (fast, 1))
    ]
    assert errors[1].std() > 2 * errors[0].std() > 0.05
    assert not torch.equal(errors[1], errors[2])


def test_oracle_flow_is_used_for_alignment_in_tests(moving: tuple[Any, Any]) -> None:
    recording, batch = moving
    oracle = aligned_module(
        flow=FlowOptions(oracle=True), network=STIROptions(interaction="synthesis_only")
    ).eval()
    images, (field,) = oracle.predict_with_flow(batch, 0)
    known = batch["flow"].isfinite()
    torch.testing.assert_close(field[known], batch["flow"][known])
    reversed_batch: Any = {**batch, "flow": -batch["flow"]}
    wrong = oracle.predict_step(reversed_batch, 0)
    assert psnr(images, batch["image"]) > psnr(wrong, batch["image"]) + 1
    with pytest.raises(UsageError, match=r"flow\.oracle: this method needs the ground-truth flow"):
        oracle.reconstruct(recording, [CENTER])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flow": {"weight": 1.0}}, r"flow\.weight: not with align_input"),
        ({"scale_input": False}, r"flow\.align_input: requires scale_input: true"),
    ],
)
def test_incompatible_options_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        aligned_module(**options)
