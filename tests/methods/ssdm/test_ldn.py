"""The student: sizes, what is refused, and work shared between times."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.errors import WeightsError
from spike_zoo.methods.ssdm import LDN
from spike_zoo.methods.ssdm.ldn import window_length_of
from tests.methods.ssdm.conftest import Entries, recipe


@pytest.fixture(scope="module")
def network(ldn_weights: dict[str, Tensor]) -> LDN:
    return LDN.from_official(ldn_weights)


def inputs(times: int, batch: int = 2, height: int = 6, width: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(times)
    blur = torch.rand(batch, 3, 4 * height, 4 * width, generator=generator)
    spikes = torch.rand(times, batch, 21, height, width, generator=generator) < 0.4
    return blur, spikes.float()


def test_names_shapes_and_size_are_the_published_ones(official_entries: dict[str, Entries]) -> None:
    network = LDN()
    ours = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert ours == dict(official_entries["LDN"])
    assert sum(value.numel() for value in network.parameters()) == 234_158


def test_costs_the_published_multiply_accumulates() -> None:
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        LDN()(torch.zeros(1, 3, 720, 1280), torch.zeros(1, 21, 180, 320))
    assert counter.get_total_flops() / 2e9 == pytest.approx(15.90, abs=0.005)


@pytest.mark.parametrize("length", [1, 11, 41])
def test_the_window_is_as_long_as_the_weights_say(
    length: int, official_entries: dict[str, Entries]
) -> None:
    entries = [
        (name, (16, length, 3, 3) if name == "spike_enc.0.weight" else shape)
        for name, shape in official_entries["LDN"]
    ]
    network = LDN.from_official(recipe("LDN", entries, 700 + length))
    assert network.window_length == length
    assert not network.training
    image = network(torch.zeros(1, 3, 8, 12), torch.zeros(1, length, 2, 3))
    assert image.shape == (1, 3, 8, 12)


@pytest.mark.parametrize("times", [1, 4])
def test_many_times_in_one_pass_are_the_times_one_by_one(network: LDN, times: int) -> None:
    blur, windows = inputs(times)
    with torch.no_grad():
        together = network.decode(network.encode_blur(blur), windows)
        alone = torch.stack([network(blur, window) for window in windows])
    assert together.shape == (times, *blur.shape)
    torch.testing.assert_close(together, alone, rtol=0.0, atol=1e-5)


def test_images_of_a_batch_do_not_know_each_other(network: LDN) -> None:
    blur, windows = inputs(3)
    with torch.no_grad():
        both = network.decode(network.encode_blur(blur), windows)
        last = network.decode(network.encode_blur(blur[1:]), windows[:, 1:])
    torch.testing.assert_close(both[:, 1:], last, rtol=0.0, atol=1e-5)


def test_every_parameter_gets_a_gradient(ldn_weights: dict[str, Tensor]) -> None:
    network = LDN.from_official(ldn_weights)
    blur, windows = inputs(2)
    network.decode(network.encode_blur(blur), windows).square().mean().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


@pytest.mark.parametrize("length", [0, 20, -1])
def test_a_window_without_a_middle_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="odd and positive"):
        LDN(length)


@pytest.mark.parametrize(
    ("blur", "window", "message"),
    [
        ((1, 3, 22, 20), (1, 21, 5, 5), "multiples of 4"),
        ((1, 1, 20, 20), (1, 21, 5, 5), "multiples of 4"),
        ((3, 20, 20), (1, 21, 5, 5), "multiples of 4"),
        ((1, 3, 20, 20), (1, 19, 5, 5), r"21 planes .* expected \(N, 1, 21, 5, 5\)"),
        ((1, 3, 20, 20), (1, 21, 20, 20), "a quarter as wide and high"),
        ((2, 3, 20, 20), (1, 21, 5, 5), r"expected \(N, 2, 21, 5, 5\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    network: LDN, blur: tuple[int, ...], window: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        network(torch.zeros(blur), torch.zeros(window))


def test_wrong_weights_are_refused_with_the_first_of_each_fault(
    ldn_weights: dict[str, Tensor],
) -> None:
    wrong = {**ldn_weights, "head.weight": torch.zeros(1), "pred.weight": torch.zeros(3, 16, 1, 1)}
    del wrong["sa.conv1.weight"]
    with pytest.raises(WeightsError) as caught:
        LDN.from_official(wrong)
    message = str(caught.value)
    assert "not the published weights of LDN: 1 missing, first sa.conv1.weight" in message
    assert "1 unexpected, first head.weight" in message
    assert "first pred.weight: (3, 16, 1, 1) instead of (3, 19, 1, 1)" in message


@pytest.mark.parametrize("first", [torch.zeros(16, 20, 3, 3), torch.zeros(16)])
def test_a_first_layer_of_no_window_is_a_fault_of_shape(
    first: Tensor, ldn_weights: dict[str, Tensor]
) -> None:
    state = {**ldn_weights, "spike_enc.0.weight": first}
    assert window_length_of(state) == 21
    with pytest.raises(WeightsError, match=r"1 of another shape, first spike_enc\.0\.weight"):
        LDN.from_official(state)
