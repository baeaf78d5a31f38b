"""The denoiser's two promises: it does not see the pixel, and it does not know the exposure."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.errors import WeightsError
from spike_zoo.methods.ssdm import BSN
from spike_zoo.methods.ssdm.bsn import rotated_back, rotations
from tests.methods.ssdm.conftest import Entries


def sensitivity(network: BSN, height: int, width: int, row: int, column: int) -> Tensor:
    """Return the derivative of one output pixel by every input pixel, ``(H, W)``."""
    generator = torch.Generator().manual_seed(row * width + column)
    rates = torch.rand(1, 1, height, width, generator=generator, requires_grad=True)
    network(rates)[0, 0, row, column].backward()
    assert rates.grad is not None
    return rates.grad[0, 0]


def test_names_shapes_and_size_are_the_published_ones(official_entries: dict[str, Entries]) -> None:
    network = BSN()
    ours = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert ours == dict(official_entries["BSN"])
    assert sum(value.numel() for value in network.parameters()) == 1_118_832


def test_costs_the_published_multiply_accumulates_less_one_row_a_convolution() -> None:
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        network = BSN()
        network(torch.zeros(1, 1, 64, 64))
    # the published form computes a row more, which it drops
    widths = {"enc1": 64, "enc2": 32, "enc3": 16, "dec2": 32, "dec1": 64}
    dropped = sum(
        4 * widths[name] * sum(weight.numel() for weight in stage.parameters())
        for name, stage in network.unet.named_children()
    )
    spent = counter.get_total_flops() / 2 + dropped
    assert spent / 1e9 == pytest.approx(8.832, abs=5e-4)


@settings(max_examples=25, deadline=None)
@given(side=st.sampled_from([14, 15, 16, 20]), data=st.data())
def test_a_pixel_of_a_square_image_is_made_without_itself(
    bsn: BSN, side: int, data: st.DataObject
) -> None:
    row, column = (data.draw(st.integers(0, side - 1)) for _ in range(2))
    derivative = sensitivity(bsn, side, side, row, column)
    assert derivative[row, column] == 0.0
    assert derivative.count_nonzero() > side


@pytest.mark.parametrize(("row", "sees_itself"), [(1, True), (2, True), (5, False), (9, True)])
def test_mirrored_rows_show_a_pixel_of_other_images_to_itself(
    bsn: BSN, row: int, sees_itself: bool
) -> None:
    derivative = sensitivity(bsn, 12, 16, row, 7)
    assert bool(derivative[row, 7] != 0.0) is sees_itself


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(1e-3, 1e3), height=st.integers(8, 17), width=st.integers(8, 17))
def test_an_image_times_a_number_is_denoised_to_that_number_times_more(
    bsn: BSN, factor: float, height: int, width: int
) -> None:
    generator = torch.Generator().manual_seed(height * width)
    rates = torch.rand(1, 1, height, width, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(
            bsn(factor * rates), factor * bsn(rates), rtol=1e-4, atol=1e-5 * factor
        )


def test_a_network_may_start_as_the_mean_of_neighbours_and_every_parameter_still_learns() -> None:
    torch.manual_seed(0)
    network, rates = BSN(), torch.rand(1, 1, 24, 24)
    network.start_from_neighbours()
    denoised = network(rates)
    inner = rates[..., 1:-1, 1:-1]
    around = [rates[..., 1:-1, :-2], rates[..., 1:-1, 2:], rates[..., :-2, 1:-1]]
    mean = torch.stack([*around, rates[..., 2:, 1:-1]]).mean(0)
    error = (denoised[..., 1:-1, 1:-1] - mean).abs().mean()
    assert error < 0.1 * (inner - mean).abs().mean()
    denoised.square().mean().backward()
    assert all(
        parameter.grad is not None and parameter.grad.any() for parameter in network.parameters()
    )


def test_rotations_are_four_different_ones_and_come_back() -> None:
    image = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4)
    turned = rotations(image)
    turns = [torch.rot90(image, count, dims=(-2, -1)) for count in range(4)]
    for part in turned.chunk(4):
        assert sum(torch.equal(part, turn) for turn in turns) == 1
    assert all(torch.equal(part, image) for part in rotated_back(turned))


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (16, 16), (1, 1, 3, 8), (1, 1, 5, 14)])
def test_what_cannot_be_made_square_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="BSN takes images"):
        BSN()(torch.zeros(shape))


def test_the_longest_image_that_can_be_mirrored_is_taken() -> None:
    with torch.no_grad():
        assert BSN()(torch.zeros(1, 1, 5, 13)).shape == (1, 1, 5, 13)


def test_weights_of_another_network_are_refused(ldn_weights: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match=r"BSN: 20 missing, first unet\.enc1\.conv1\.conv"):
        BSN.from_official(ldn_weights)
