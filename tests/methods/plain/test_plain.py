"""Tests of Plain: sizes, merged form, initialisation and training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import spike_zoo
from spike_zoo.methods.classical import TFI
from spike_zoo.methods.plain import Plain, PlainModule, interval_rates
from spike_zoo.methods.plain.network import PlainReconstruction
from spike_zoo.spikes import SpikeRecording
from spike_zoo.testing import MethodTester, ReconstructionTester, pattern_take
from tests.helpers.checkpoints import export
from tests.helpers.streams import random_spikes


class TestPlainModule(ReconstructionTester, MethodTester):
    def make_module(self) -> PlainModule:
        return PlainModule(channels=16, learning_rate=3e-3, lpips="off")


def _with_noise(network: Plain) -> Plain:
    """Add noise to all weights, so that no branch is zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    return network


def test_the_merged_network_has_187860_parameters() -> None:
    merged = Plain().merged()
    assert sum(parameter.numel() for parameter in merged.parameters()) == 187_860


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (5, 4)])
def test_the_merged_network_gives_the_same_output(size: tuple[int, int]) -> None:
    network = _with_noise(Plain(channels=12, depth=4)).eval()
    rates = torch.rand(2, 57, *size)
    with torch.no_grad():
        merged = network.merged()
        torch.testing.assert_close(merged(rates), network(rates), atol=1e-4, rtol=1e-4)
    assert all(isinstance(layer, nn.Conv2d) for layer in merged.hidden)
    network.bfloat16().merged()
    assert {parameter.dtype for parameter in network.parameters()} == {torch.bfloat16}
    again = merged.merged()
    torch.testing.assert_close(again(rates), merged(rates), atol=0, rtol=0)


def test_an_untrained_network_equals_tfi_over_nine_planes() -> None:
    recording = SpikeRecording.from_planes(random_spikes(161, 20, 22, rate=0.4), rate_scale=0.5)
    module = PlainModule(channels=8, lpips="off")
    actual = module.reconstruct(recording, [80])
    clip = recording.between(40, 121)
    expected = TFI(average=9).reconstruct(clip, [40], rate_scale=0.5)
    torch.testing.assert_close(actual, expected)


def test_rates_are_inverse_intervals_with_the_shortest_possible_at_the_ends_of_a_clip() -> None:
    spikes = torch.zeros(1, 81, 1, 2)
    spikes[0, ::4, 0, 0] = 1
    rates = interval_rates(spikes)
    assert (rates[0, :, 0, 0] == 0.25).all()
    torch.testing.assert_close(rates[0, :, 0, 1], torch.full((57,), 1 / 82))
    with pytest.raises(ValueError, match="81 planes, got 61"):
        interval_rates(spikes[:, :61])


@pytest.mark.parametrize("rate_scale", [0.3, 0.05, 0.001])
def test_pixels_without_spikes_are_dark_at_any_rate_scale(rate_scale: float) -> None:
    recording = SpikeRecording.from_planes(np.zeros((81, 16, 18), np.bool_), rate_scale=rate_scale)
    plain: Any = spike_zoo.load("plain")
    assert float(plain.reconstruct(recording, [40]).max()) < 0.06
    scale = torch.tensor([rate_scale], dtype=torch.float64)  # numpy's type
    assert float(plain(torch.zeros(1, 81, 16, 18), scale).detach().max()) < 0.06


def test_an_exported_merged_module_gives_the_same_images(tmp_path: Path) -> None:
    module = PlainModule(channels=8, lpips="off")
    _with_noise(module.network)
    merged = module.merged()
    export(merged, tmp_path / "plain.safetensors")
    loaded = spike_zoo.load(tmp_path / "plain.safetensors")
    assert type(loaded) is PlainReconstruction
    recording = pattern_take(0).recording
    torch.testing.assert_close(
        loaded.reconstruct(recording, [40]), module.reconstruct(recording, [40]), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [({"channels": 0}, "at least 1"), ({"averages": 17}, "averages must be 1 to 16, got 17")],
)
def test_impossible_sizes_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PlainModule(**options, lpips="off")
