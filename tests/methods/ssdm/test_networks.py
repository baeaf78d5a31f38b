"""Tests of the networks of S-SDM: published sizes, costs and properties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.errors import WeightsError
from spike_zoo.methods.ssdm import BSN, EDSR, LDN
from spike_zoo.methods.ssdm.ldn import window_length_of
from spike_zoo.methods.ssdm.san import SAN
from tests.methods.ssdm.conftest import Entries, recipe


@pytest.fixture(scope="module")
def network(ldn_weights: dict[str, Tensor]) -> LDN:
    return LDN.from_official(ldn_weights)


def inputs(times: int, batch: int = 2, height: int = 6, width: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(times)
    blur = torch.rand(batch, 3, 4 * height, 4 * width, generator=generator)
    spikes = torch.rand(times, batch, 21, height, width, generator=generator) < 0.4
    return blur, spikes.float()


@pytest.mark.parametrize(
    ("make", "name", "size", "trained"),
    [
        (BSN, "BSN", 1_118_832, 1_118_832),
        (EDSR, "SR", 1_515_269, 1_515_265),
        (LDN, "LDN", 234_158, 234_158),
    ],
)
def test_names_shapes_and_sizes_equal_the_published_ones(
    make: type[nn.Module], name: str, size: int, trained: int, official_entries: dict[str, Entries]
) -> None:
    network = make()
    ours = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert ours == dict(official_entries[name])
    parameters = list(network.parameters())
    assert sum(value.numel() for value in parameters) == size
    assert sum(value.numel() for value in parameters if value.requires_grad) == trained


@pytest.mark.parametrize(
    ("make", "shapes", "expected"),
    [
        (EDSR, [(1, 1, 64, 64)], 8.043),
        (EDSR, [(1, 1, 180, 320)], 113.1),
        (LDN, [(1, 3, 720, 1280), (1, 21, 180, 320)], 15.90),
    ],
)
def test_macs_equal_the_published_values(
    make: type[nn.Module], shapes: list[tuple[int, ...]], expected: float
) -> None:
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        make()(*(torch.zeros(shape) for shape in shapes))
    assert counter.get_total_flops() / 2e9 == pytest.approx(expected, rel=1e-3)


def test_macs_of_the_denoiser_are_the_published_ones_without_one_row_per_convolution() -> None:
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        network = BSN()
        network(torch.zeros(1, 1, 64, 64))
    # the published network computes one more row per convolution and removes it
    widths = {"enc1": 64, "enc2": 32, "enc3": 16, "dec2": 32, "dec1": 64}
    removed_macs = sum(
        4 * widths[name] * sum(weight.numel() for weight in stage.parameters())
        for name, stage in network.unet.named_children()
    )
    macs = counter.get_total_flops() / 2 + removed_macs
    assert macs / 1e9 == pytest.approx(8.832, abs=5e-4)


def profiler_macs(network: nn.Module, height: int, width: int) -> float:
    """Return MACs as in the paper: transposed convolutions count the pixels of their output."""
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


def test_size_and_macs_of_the_larger_student_equal_the_published_ones() -> None:
    network = SAN()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters / 1e6 == pytest.approx(2.36, abs=5e-3)
    assert profiler_macs(network.to("meta"), 720, 1280) / 1e9 == pytest.approx(107.84, rel=2e-3)


def sensitivity(network: BSN, height: int, width: int, row: int, column: int) -> Tensor:
    """Return the derivatives of one output pixel with respect to all input pixels, ``(H, W)``."""
    generator = torch.Generator().manual_seed(row * width + column)
    rates = torch.rand(1, 1, height, width, generator=generator, requires_grad=True)
    network(rates)[0, 0, row, column].backward()
    assert rates.grad is not None
    return rates.grad[0, 0]


@settings(max_examples=25, deadline=None)
@given(side=st.sampled_from([14, 15, 16, 20]), data=st.data())
def test_a_pixel_of_a_square_image_does_not_depend_on_itself(
    bsn: BSN, side: int, data: st.DataObject
) -> None:
    row, column = (data.draw(st.integers(0, side - 1)) for _ in range(2))
    derivative = sensitivity(bsn, side, side, row, column)
    assert derivative[row, column] == 0.0
    assert derivative.count_nonzero() > side


@pytest.mark.parametrize(
    ("row", "depends_on_itself"), [(1, True), (2, True), (5, False), (9, True)]
)
def test_pixels_near_mirrored_rows_of_other_images_depend_on_themselves(
    bsn: BSN, row: int, depends_on_itself: bool
) -> None:
    derivative = sensitivity(bsn, 12, 16, row, 7)
    assert bool(derivative[row, 7] != 0.0) is depends_on_itself


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(1e-3, 1e3), height=st.integers(8, 17), width=st.integers(8, 17))
def test_the_denoiser_is_invariant_to_scale(
    bsn: BSN, factor: float, height: int, width: int
) -> None:
    generator = torch.Generator().manual_seed(height * width)
    rates = torch.rand(1, 1, height, width, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(
            bsn(factor * rates), factor * bsn(rates), rtol=1e-4, atol=1e-5 * factor
        )


def test_start_from_neighbours_gives_their_mean_and_gradients_for_all_parameters() -> None:
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


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (16, 16), (1, 1, 3, 8), (1, 1, 5, 14)])
def test_images_that_cannot_be_padded_to_a_square_are_rejected(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="BSN takes images"):
        BSN()(torch.zeros(shape))


def test_the_longest_image_that_can_be_mirrored_is_accepted() -> None:
    with torch.no_grad():
        assert BSN()(torch.zeros(1, 1, 5, 13)).shape == (1, 1, 5, 13)


@pytest.mark.parametrize("length", [1, 11, 41])
def test_the_window_length_follows_from_the_weights(
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
@pytest.mark.parametrize("make", [LDN, SAN])
def test_several_times_in_one_pass_equal_single_times(
    make: type[LDN | SAN], times: int, network: LDN
) -> None:
    student = network if make is LDN else SAN().eval()
    blur, windows = inputs(times)
    with torch.no_grad():
        together = student.decode(student.encode_blur(blur), windows)
        alone = torch.stack([student(blur, window) for window in windows])
    assert together.shape == (times, *blur.shape)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [LDN, SAN])
@pytest.mark.parametrize("length", [0, 20, -1])
def test_a_window_without_a_middle_is_rejected(make: type[LDN | SAN], length: int) -> None:
    with pytest.raises(ValueError, match="odd and positive"):
        make(length)


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
def test_inconsistent_shapes_are_rejected(
    network: LDN, blur: tuple[int, ...], window: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        network(torch.zeros(blur), torch.zeros(window))


@pytest.mark.parametrize("first", [torch.zeros(16, 20, 3, 3), torch.zeros(16)])
def test_a_first_layer_without_a_valid_window_is_rejected_by_its_shape(
    first: Tensor, ldn_weights: dict[str, Tensor]
) -> None:
    state = {**ldn_weights, "spike_enc.0.weight": first}
    assert window_length_of(state) == 21
    with pytest.raises(WeightsError, match=r"1 of another shape, first spike_enc\.0\.weight"):
        LDN.from_official(state)
