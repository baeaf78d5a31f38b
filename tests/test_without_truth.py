"""The study of training without ground truth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from experiments import without_truth
from experiments.without_truth import CROP, LOSSES, Place, Recording, main
from spike_zoo.methods.plain import interval_rates
from spike_zoo.simulation import SpikeCamera

if TYPE_CHECKING:
    from pathlib import Path

SIDE, PLANE, SCALE = 60, 60, 0.6


def _place(spikes: Tensor, velocity: float = 0.0) -> Place:
    """Return a crop of spikes that move to the right."""
    field = torch.zeros(2, 2, SIDE, SIDE)
    field[:, 0] = torch.tensor([-20.0, 20.0])[:, None, None] * velocity
    recording = Recording("scene-slow-00", spikes, SCALE, {}, {}, {PLANE: field})
    return Place(recording, PLANE, slice(6, 6 + CROP), slice(6, 6 + CROP))


@pytest.mark.parametrize("name", ["neighbours", "flow", "thinned"])
def test_the_loss_of_an_image_exceeds_that_of_the_truth_by_its_squared_error(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    image = F.avg_pool2d(torch.rand(1, SIDE + 4, SIDE + 4, generator=generator), 5, stride=1)[0]
    truth = image[6 : 6 + CROP, 6 : 6 + CROP]
    noise = 0.1 * torch.randn(truth.shape, generator=generator)
    others = {
        "brighter": 1.15 * truth,
        "noisy": truth + noise,
        "flat": truth.mean().expand_as(truth),
    }
    excess, draws = dict.fromkeys(others, 0.0), 20
    for draw in range(draws):
        camera = SpikeCamera(gain=SCALE, generator=draw)
        spikes = torch.from_numpy(camera.expose(image.expand(121, -1, -1).numpy()))
        example = LOSSES[name](_place(spikes.byte()), generator)
        target = example.target[example.mask] / SCALE
        for kind, other in others.items():
            errors = ((x[example.mask] - target).square().mean() for x in (other, truth))
            excess[kind] += (next(errors) - next(errors)).item() / draws
    for kind, other in others.items():
        expected = (other - truth).square().mean().item()
        assert excess[kind] == pytest.approx(expected, rel=0.25), kind


def test_spikes_along_the_flow_replace_those_of_hidden_pixels() -> None:
    pattern = torch.rand(SIDE, SIDE + 121) < 0.4
    moving = torch.stack([pattern[:, 121 - t : 121 - t + SIDE] for t in range(121)]).byte()
    place = _place(moving, velocity=1.0)
    example = LOSSES["flow"](place, torch.Generator().manual_seed(0))
    assert 100 < example.mask.sum() <= CROP * CROP / 4
    own = interval_rates(place.clip()[None])[0]
    assert torch.equal(example.rates[:, example.mask], own[:, example.mask])
    still = _place(moving)
    with_errors = LOSSES["flow"](still, torch.Generator().manual_seed(0))
    assert not torch.equal(with_errors.rates, interval_rates(still.clip()[None])[0])


def test_the_input_does_not_depend_on_hidden_pixels() -> None:
    spikes = (torch.rand(121, SIDE, SIDE) < 0.4).byte()
    before = LOSSES["neighbours"](_place(spikes), torch.Generator().manual_seed(0))
    hidden = F.pad(before.mask, (6, 6, 6, 6))
    spikes = torch.where(hidden, 1 - spikes, spikes)
    after = LOSSES["neighbours"](_place(spikes), torch.Generator().manual_seed(0))
    assert torch.equal(before.rates, after.rates)
    assert torch.allclose(after.target[after.mask], 1 - before.target[after.mask])


@pytest.mark.slow
def test_the_command_writes_a_record_and_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"OWN": 1, "HELD_OUT": 1, "TEST": 1, "SIDE": 64, "VALIDATION": 2}
    for name, value in sizes.items():
        monkeypatch.setattr(without_truth, name, value)
    options = ["--conditions", "trained", "--updates", "1", "--out", str(tmp_path / "out.json")]
    main([*options, "--losses", "flow"])
    main([*options, "--losses", "flow", "later"])
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [row["loss"] for row in rows] == ["plain", "tfi-aligned", "flow", "later"]
    assert all(row["psnr"]["all"] > 20 for row in rows)
    assert len(capsys.readouterr().out.splitlines()) == 4
