"""The larger student: size and cost of the published one, and the same use."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.methods.ssdm import SAN


def profiler_macs(network: nn.Module, height: int, width: int) -> float:
    """Count as the paper's profiler: a transposed convolution by the pixels of its output."""
    extra = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal extra
        assert isinstance(layer, nn.ConvTranspose2d)
        entries = layer.weight.numel()
        extra += entries * (output[0, 0].numel() - inputs[0][0, 0].numel())

    for layer in network.modules():
        if isinstance(layer, nn.ConvTranspose2d):
            layer.register_forward_hook(count)
    blur = torch.zeros(1, 3, height, width, device="meta")
    window = torch.zeros(1, 21, height // 4, width // 4, device="meta")
    with FlopCounterMode(display=False) as counter:
        network(blur, window)
    return counter.get_total_flops() / 2 + extra


def test_size_and_cost_are_the_published_ones() -> None:
    network = SAN()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters / 1e6 == pytest.approx(2.36, abs=5e-3)
    assert profiler_macs(network.to("meta"), 720, 1280) / 1e9 == pytest.approx(107.84, rel=2e-3)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (20, 28)])
def test_many_times_in_one_pass_are_the_same_images(height: int, width: int) -> None:
    network = SAN(window_length=5).eval()
    blur, windows = torch.rand(2, 3, height, width), torch.rand(3, 2, 5, height // 4, width // 4)
    with torch.no_grad():
        together = network.decode(network.encode_blur(blur), windows)
        alone = torch.stack([network(blur, window) for window in windows])
    assert together.shape == (3, 2, 3, height, width)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    network = SAN(window_length=5)
    network(torch.rand(2, 3, 32, 32), torch.rand(2, 5, 8, 8)).square().sum().backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        SAN(window_length=4)
    with pytest.raises(ValueError, match="multiples of 4"):
        SAN()(torch.zeros(1, 3, 18, 16), torch.zeros(1, 21, 4, 4))
    with pytest.raises(ValueError, match=r"expected \(N, 1, 21, 4, 4\)"):
        SAN()(torch.zeros(1, 3, 16, 16), torch.zeros(1, 20, 4, 4))
