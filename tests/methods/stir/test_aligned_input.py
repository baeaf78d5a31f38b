"""Tests of STIR with align_input: input, draft, flow and initialisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from lightning import seed_everything

from spike_zoo.errors import ConfigError, PlaneRangeError, UsageError
from spike_zoo.methods.classical import TFI, AlignedTFI
from spike_zoo.methods.stir import STIR, STIRModule
from spike_zoo.methods.stir.aligned_input import aligned_window, aligned_windows, with_errors
from spike_zoo.metrics import psnr
from spike_zoo.simulation import default_scenes
from spike_zoo.simulation.kinds.takes import simulate_take
from spike_zoo.spikes import SpikeRecording
from spike_zoo.testing import MethodTester, ReconstructionTester, training_loss

if TYPE_CHECKING:
    from torch import Tensor

SMALL: dict[str, Any] = {"pyramid_levels": 3, "motion_fields": 2, "width": 0.34, "lpips": "off"}
CENTER = 90


def along(**options: Any) -> STIRModule:
    seed_everything(0)
    return STIRModule(**{**SMALL, "align_input": True, **options})


class TestSTIRModuleAlongMotion(ReconstructionTester, MethodTester):
    height = 32
    width = 32
    overfit_steps = 90

    def make_module(self) -> STIRModule:
        return STIRModule(**SMALL, align_input=True)


@pytest.fixture(scope="module")
def moving() -> tuple[SpikeRecording, Any]:
    """Return a recording of a scene in motion, and the clip around plane 90 with flow."""
    _, scene = default_scenes("test", 2, seed=3, height=48, width=64, planes=181)
    take = simulate_take(scene, margin=CENTER, flow_offset=20)
    assert take.images is not None
    assert take.around is not None
    assert take.image_index is not None
    assert take.image_index[0] == CENTER
    batch = {
        "spikes": take.recording.to_tensor()[None, CENTER - 75 : CENTER + 76],
        "rate_scale": torch.tensor([take.recording.rate_scale]),
        "flow": torch.from_numpy(take.around[:1].astype(np.float32)),
        "image": torch.from_numpy(take.images[:1, None].astype(np.float32) / 255),
        "plane": torch.tensor([CENTER]),
        "name": [scene.name],
    }
    return take.recording, batch


def box_filter(planes: Tensor) -> float:
    """Return the deviation of planes ``(1, 61, H, W)`` from their mean, without borders."""
    inside = planes[..., 8:-8, 12:-12]
    return (inside - inside.mean(dim=1, keepdim=True)).square().mean().item()


def test_along_the_motion_all_planes_show_the_middle_one(moving: tuple[Any, Any]) -> None:
    _, batch = moving
    spikes, scale = batch["spikes"], batch["rate_scale"]
    still = aligned_windows(spikes, scale, torch.zeros_like(batch["flow"]))
    told = aligned_windows(spikes, scale, batch["flow"])
    found = aligned_windows(spikes, scale)
    assert box_filter(told.planes) < box_filter(still.planes) / 2
    assert box_filter(found.planes) < box_filter(still.planes) / 2
    reached = [psnr(one.draft, batch["image"]).item() for one in (told, found, still)]
    assert min(reached[:2]) > reached[2] + 3
    known = batch["flow"].isfinite()
    torch.testing.assert_close(told.fields[known], batch["flow"][known])
    assert (told.fields[~known] == 0).all()


def test_untrained_it_is_as_good_as_the_mean_that_it_corrects(moving: tuple[Any, Any]) -> None:
    recording, batch = moving
    reached = {
        name: psnr(method.reconstruct(recording, [CENTER]), batch["image"]).item()
        for name, method in {
            "stir": along().eval(), "tfi": TFI(9), "aligned": AlignedTFI()
        }.items()
    }  # fmt: skip
    assert reached["stir"] > reached["tfi"] + 1
    assert reached["stir"] == pytest.approx(reached["aligned"], abs=0.2)


def test_every_level_sees_the_detail_of_the_picture_that_it_corrects() -> None:
    seed_everything(0)
    network = STIR(pyramid_levels=3, motion_fields=2, width=0.34).eval()
    planes, draft = torch.rand(1, 61, 32, 32), torch.rand(1, 1, 32, 32)
    cells = torch.nn.functional.avg_pool2d(draft, 2)
    blurred = cells.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)  # the same but there
    corrections = {}
    for name, known in (("detailed", draft), ("blurred", blurred)):
        levels = network.pyramid(planes, draft=known).levels
        corrections[name] = levels[2].image - cells, levels[1].image - known
    coarse, fine = zip(*corrections.values(), strict=True)
    torch.testing.assert_close(*coarse, atol=1e-5, rtol=0)
    assert (fine[0] - fine[1]).abs().mean() > 1e-3


def test_a_recordings_picture_is_that_of_its_clip_whatever_the_tiles(
    moving: tuple[Any, Any],
) -> None:
    recording, batch = moving
    module = along().eval()
    whole = module.reconstruct(recording, [CENTER])
    torch.testing.assert_close(module.predict_step(batch, 0), whole, atol=1e-5, rtol=0)
    wide = SpikeRecording.from_planes(
        np.tile(recording[0 : len(recording)], (1, 1, 4)), rate_scale=recording.rate_scale
    )
    untiled = module.reconstruct(wide, [CENTER])
    module.tile = 128
    torch.testing.assert_close(module.reconstruct(wide, [CENTER]), untiled, atol=2e-3, rtol=0)


def test_the_motion_is_what_planes_were_moved_by(moving: tuple[Any, Any]) -> None:
    recording, batch = moving
    module = along().eval()
    assert module.finds_motion
    assert module.estimates_flow
    field = module.motion(recording, [CENTER])
    _, fields = module.found(batch, 0)
    torch.testing.assert_close(fields[0], field)
    error = (field - batch["flow"]).norm(dim=2).nanmedian()
    assert error < 0.4 * batch["flow"].norm(dim=2).nanmedian()


@pytest.mark.parametrize("center", [0, 3, 40, 79])
def test_the_ends_of_a_recording_are_no_obstacle(center: int) -> None:
    periods = np.random.default_rng(0).integers(2, 9, (24, 32)).repeat(2, 0).repeat(2, 1)
    spikes = np.arange(80)[:, None, None] % periods == 0
    recording = SpikeRecording.from_planes(spikes, rate_scale=0.5)
    image = along().eval().reconstruct(recording, [center])
    wanted = torch.from_numpy(2 / periods).float()[None, None]
    assert psnr(image, wanted) > 26  # an interval without its end is taken to be short


def test_what_does_not_fire_near_a_clips_window_is_black() -> None:
    fires = torch.arange(151)[:, None, None] % 3 == 0
    bright = torch.arange(24) >= 12
    spikes = (fires & bright).expand(151, 16, 24).clone()
    spikes[5, :, :6] = True  # once, 70 planes before the middle one: light that no interval tells
    shown = aligned_windows(spikes[None].float(), None, torch.zeros(1, 2, 2, 16, 24))
    assert shown.planes[..., :10].abs().max() < 1e-4
    torch.testing.assert_close(shown.planes[..., 14:], torch.full((1, 61, 16, 10), 1 / 3))


def test_a_recording_shorter_than_half_a_window_is_refused() -> None:
    short = SpikeRecording.from_planes(np.ones((20, 16, 16), np.bool_), rate_scale=1.0)
    with pytest.raises(PlaneRangeError):
        along().eval().reconstruct(short, [10])


def test_planes_beyond_an_end_are_those_before_it_where_they_were() -> None:
    # 4 pixels in 20 planes: a bright column passes; at plane 5 the window reaches 25 planes too far
    light = torch.full((40, 16, 48), 0.2)
    for plane in range(40):
        light[plane, :, 14 + plane // 5] = 0.9
    spikes = (torch.rand(light.shape, generator=torch.Generator().manual_seed(0)) < light).float()
    motion = torch.zeros(2, 2, 16, 48)
    motion[0, 0], motion[1, 0] = -4.0, 4.0
    shown = aligned_window(spikes, 1.0, 5, motion).planes[0].mean(dim=(0, 1))
    assert shown.argmax() in (14, 15)
    assert shown.max() > 1.5 * shown.median()


def test_training_is_told_the_truth_with_errors_that_the_step_decides(
    moving: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, batch = moving
    seen: list[Tensor | None] = []

    def watched(spikes: Tensor, rate_scale: Tensor, motion: Tensor | None = None) -> Any:
        seen.append(motion)
        return aligned_windows(spikes, rate_scale, motion)

    monkeypatch.setattr("spike_zoo.methods.stir.module.aligned_windows", watched)
    module = along()
    training_loss(module, batch)
    training_loss(module, batch)
    module.eval()
    module.found(batch, 0)
    first, again, evaluated = seen
    assert first is not None
    assert again is not None
    assert evaluated is None, "what is measured finds its motion"
    assert torch.equal(first, again)
    known = batch["flow"].isfinite()
    difference = (first - batch["flow"])[known].abs()
    assert 0.01 < difference.mean() < 0.5
    unknown: Any = {name: value for name, value in batch.items() if name != "flow"}
    training_loss(module.train(), unknown)
    assert seen[-1] is None, "data without motion are trained on too"


def test_errors_grow_with_the_motion_and_differ_by_seed() -> None:
    still, fast = torch.zeros(1, 2, 2, 64, 64), torch.full((1, 2, 2, 64, 64), 12.0)
    drawn = [
        with_errors(motion, torch.Generator().manual_seed(seed)) - motion
        for motion, seed in ((still, 0), (fast, 0), (fast, 1))
    ]
    assert drawn[1].std() > 2 * drawn[0].std() > 0.05
    assert not torch.equal(drawn[1], drawn[2])


def test_told_the_true_motion_planes_are_moved_by_it_in_tests_too(moving: tuple[Any, Any]) -> None:
    recording, batch = moving
    told = along(oracle_flow=True, interaction="synthesis_only").eval()
    images, (field,) = told.found(batch, 0)
    known = batch["flow"].isfinite()
    torch.testing.assert_close(field[known], batch["flow"][known])
    turned: Any = {**batch, "flow": -batch["flow"]}
    wrong = told.predict_step(turned, 0)
    assert psnr(images, batch["image"]) > psnr(wrong, batch["image"]) + 1
    with pytest.raises(UsageError, match="oracle_flow: this method needs the ground-truth flow"):
        told.reconstruct(recording, [CENTER])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss_motion": 1.0}, "loss_motion: not with align_input"),
        ({"scale_input": False}, "align_input: requires scale_input: true"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        along(**options)


def test_clips_as_short_as_a_window_are_refused(moving: tuple[Any, Any]) -> None:
    _, batch = moving
    short: Any = {**batch, "spikes": batch["spikes"][:, 45:106]}
    with pytest.raises(ConfigError, match="STIRModule takes 151"):
        along().eval().predict_step(short, 0)
