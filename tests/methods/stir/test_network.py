"""Tests of the STIR network: sizes, costs, options, precision."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.methods.stir import STIR, STIROptions
from spike_zoo.methods.stir.decoder import RefiningDecoder
from spike_zoo.methods.stir.encoder import EncoderStage
from spike_zoo.nn.fast.layout import is_eager_inference

# Parameters, and multiply-accumulates per pixel where published, of the described variants.
PUBLISHED_COST: list[tuple[dict[str, Any], int, float | None]] = [
    ({}, 5_107_960, 442_665.3125),
    ({"flow_fields": 1}, 4_944_776, 284_297.3125),
    ({"flow_fields": 2}, 5_014_448, 351_753.3125),
    ({"flow_fields": 4}, 5_225_312, 557_033.3125),
    ({"flow_fields": 5}, 5_366_504, 694_857.3125),
    ({"pyramid_levels": 3}, 831_722, None),
    ({"pyramid_levels": 4}, 2_119_041, None),
    ({"attention": "none"}, 4_966_946, None),
    ({"attention": "self"}, 5_107_960, None),
    ({"interaction": "warp_only"}, 4_626_584, None),
    ({"interaction": "synthesis_only"}, 4_873_128, None),
    ({"width": 0.5}, 1_600_816, None),
    ({"width": 1.5}, 11_056_840, None),
    ({"embedding": "tfp"}, 5_104_660, None),
    ({"embedding": "resnet"}, 5_110_260, None),
    ({"hidden_channels": 4}, 5_014_024, None),
    ({"hidden_channels": 16}, 5_299_288, None),
]
PUBLISHED_PARTS = {
    "embedding": (3_476, 10_197.0),
    "encoder": (365_725, 59_664.0),
    "attention": (141_014, 888.609375),
    "decoders.5": (2_253_605, 8_798.625),
    "decoders.4": (1_442_972, 22_092.765625),
    "decoders.3": (396_764, 23_595.0625),
    "decoders.2": (229_676, 54_948.25),
    "decoders.1": (274_728, 262_481.0),
}
VARIANTS: list[dict[str, Any]] = [
    {"pyramid_levels": 3},
    {"flow_fields": 1},
    {"interaction": "warp_only"},
    {"interaction": "synthesis_only"},
    {"attention": "none"},
    {"attention": "self"},
    {"embedding": "tfp"},
    {"embedding": "resnet"},
    {"embedding": "tfp+multi_dilated"},
    {"embedding": "hist"},
    {"width": 0.5, "hidden_channels": 3},
]
SMALL: dict[str, Any] = {"pyramid_levels": 3, "flow_fields": 2, "width": 0.34}


def network_of(pyramid_levels: int = 5, width: float = 1.0, **options: Any) -> STIR:
    return STIR(pyramid_levels, width, STIROptions(**options))


def spikes_of(batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(batch, 61, height, width, generator=generator) < 0.3).float()


def parameters_of(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def count_flops(network: STIR, height: int, width: int) -> FlopCounterMode:
    counter = FlopCounterMode(display=False)
    with counter:
        network(torch.empty(1, 61, height, width, device="meta"))
    return counter


@pytest.fixture(scope="module")
def small() -> STIR:
    torch.manual_seed(3)
    return network_of(**SMALL).eval()


@pytest.mark.parametrize(("switches", "parameters", "macs"), PUBLISHED_COST)
def test_parameters_and_macs_equal_the_published_values(
    switches: dict[str, Any], parameters: int, macs: float | None
) -> None:
    with torch.device("meta"):
        network = network_of(**switches)
    assert parameters_of(network) == parameters
    if macs is not None:
        assert count_flops(network, 96, 64).get_total_flops() / 2 == macs * 96 * 64


def test_cost_is_that_of_the_size_padded_to_a_multiple_of_16() -> None:
    with torch.device("meta"):
        network = STIR()
    assert round(count_flops(network, 250, 400).get_total_flops() / 2e9, 3) == 45.329


def test_cost_of_every_part_equals_the_published_value() -> None:
    with torch.device("meta"):
        network = STIR()
    flops = count_flops(network, 64, 64).get_flop_counts()
    for name, (parameters, macs) in PUBLISHED_PARTS.items():
        assert parameters_of(network.get_submodule(name)) == parameters
        assert sum(flops[f"STIR.{name}"].values()) / 2 == macs * 64 * 64


@pytest.mark.parametrize(
    "switches",
    [
        {"pyramid_levels": 2},
        {"pyramid_levels": 6},
        {"flow_fields": 0},
        {"flow_fields": 1.5},
        {"hidden_channels": 0},
        {"interaction": "none"},
        {"attention": "dense"},
        {"embedding": "tfi"},
        {"width": -1.0},
        {"width": 0.1},
        {"width": float("nan")},
        {"width": float("inf")},
    ],
)
def test_options_outside_their_range_are_rejected_by_name(switches: dict[str, Any]) -> None:
    (name,) = switches
    with pytest.raises(ValueError, match=name):
        network_of(**switches)


@pytest.mark.parametrize("shape", [(61, 32, 32), (1, 60, 32, 32), (1, 1, 61, 32, 32)])
def test_other_numbers_of_planes_than_61_are_rejected(shape: tuple[int, ...], small: STIR) -> None:
    with pytest.raises(ValueError, match="61"):
        small(torch.zeros(shape))


@pytest.mark.parametrize("switches", VARIANTS)
def test_every_variant_reconstructs_and_trains_all_its_weights(switches: dict[str, Any]) -> None:
    torch.manual_seed(1)
    network = network_of(**{"width": 0.34, **switches})
    pyramid = network.pyramid(spikes_of(2, 48, 32))
    energies = [level.image.square().sum() for level in pyramid.levels.values()]
    torch.autograd.backward(energies)
    assert pyramid.image.shape == (2, 1, 48, 32)
    assert set(pyramid.levels) == set(range(1, network.pyramid_levels + 1))
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_image_depends_on_every_plane(small: STIR) -> None:
    spikes = spikes_of(1, 32, 32).requires_grad_()
    (gradient,) = torch.autograd.grad(small.pyramid(spikes).levels[1].image.sum(), spikes)
    assert (gradient[0].abs().amax(dim=(1, 2)) > 0).all()


def test_bfloat16_autocast_keeps_flows_and_images_in_single_precision(
    official_network: STIR,
) -> None:
    spikes = spikes_of(1, 64, 64)
    with torch.no_grad():
        exact = official_network.pyramid(spikes)
        with torch.autocast("cpu", torch.bfloat16):
            rough = official_network.pyramid(spikes)
    for level in rough.levels.values():
        tensors = (level.image, level.flow, level.upflow, level.extra_flow)
        assert {t.dtype for t in tensors if t is not None} == {torch.float32}
    assert rough.levels[1].hidden.dtype == torch.bfloat16
    assert (rough.image - exact.image).abs().mean() < 0.01


def test_fresh_weights_follow_the_published_initialisation() -> None:
    torch.manual_seed(0)
    network = STIR()
    for stage in network.encoder.stages:
        assert isinstance(stage, EncoderStage)
        assert stage.conv.bias is not None
        weight = stage.conv.weight
        fan = weight[0].numel() + weight[:, 0].numel()
        assert weight.abs().max() <= (6 / fan) ** 0.5  # Xavier uniform
        assert not stage.conv.bias.any()
        assert stage.act.weight.tolist() == [0.25]
    decoder = network.decoders["4"]
    assert isinstance(decoder, RefiningDecoder)
    block = decoder.res
    deviation = (2 / (2 * 192 * 9)) ** 0.5  # Xavier normal
    assert block.conv1.weight.std().item() == pytest.approx(deviation, rel=0.02)
    biases = [conv.bias for conv in (block.conv1, block.conv2)]
    assert not any(bias.any() for bias in biases if bias is not None)
    attention = network.attention
    assert attention is not None
    assert attention.temperature_t0.flatten().tolist() == [1.0] * 4


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_image_is_the_same_with_and_without_gradients(
    layout: torch.memory_format, official_network: STIR
) -> None:
    torch.manual_seed(0)
    spikes = (torch.rand(2, 61, 50, 67) < 0.3).float()
    official_network.to(memory_format=layout)  # type: ignore[call-overload]  # it has this
    assert not is_eager_inference(spikes)
    expected = official_network(spikes).detach()
    with torch.no_grad():
        assert is_eager_inference(spikes)
        actual = official_network(spikes)
    official_network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # it has this
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)
