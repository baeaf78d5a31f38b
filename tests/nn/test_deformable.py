"""Deformable convolution against loops over pixels, standard convolutions and flop counts."""

import itertools
import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.nn import deformable
from spike_zoo.nn.deformable import deform_conv2d


@pytest.fixture(autouse=True, params=["operator", "plain"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with the CPU operator and with the fallback of devices without an operator."""
    if request.param == "plain":
        monkeypatch.setattr(deformable, "has_operator", lambda device: False)
    return request.param


class Case(NamedTuple):
    """Arguments of a deformable convolution."""

    input: Tensor
    offset: Tensor
    weight: Tensor
    bias: Tensor
    mask: Tensor

    def convolve(self) -> Tensor:
        """Return the convolution."""
        padding = self.weight.shape[-1] // 2
        return deform_conv2d(*self[:4], padding=padding, mask=self.mask)

    def gradients(self, of: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients of all arguments for a weighted sum of the output."""
        return torch.autograd.grad(of, self, of.detach().cos(), retain_graph=True)


def make_case(
    shape: tuple[int, int, int, int] = (2, 8, 5, 6),
    *,
    groups: int = 2,
    count: int = 3,
    kernel: int = 3,
    reach: float = 2.0,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Case:
    """Return random arguments; a third of the offsets are integers, some point far outside."""
    generator = torch.Generator().manual_seed(seed)
    batch, channels, height, width = shape
    taps = groups * kernel**2

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=dtype)

    offset = reach * draw(batch, 2 * taps, height, width)
    offset[:, ::3] = offset[:, ::3].round()
    offset[:, 1::5, ::2] *= 1e3
    case = Case(
        draw(*shape),
        offset,
        draw(count, channels, kernel, kernel),
        draw(count),
        2 * draw(batch, taps, height, width).sigmoid(),
    )
    return Case(*(tensor.requires_grad_() for tensor in case))


def convolve_by_loops(case: Case) -> Tensor:
    """Compute the paper's equation pixel by pixel."""
    image, offset, weight, bias, mask = (tensor.detach() for tensor in case)
    batch, channels, height, width = image.shape
    kernel = weight.shape[-1]
    groups = mask.shape[1] // kernel**2
    result = bias[:, None, None].repeat(batch, 1, height, width)
    groups_and_taps = itertools.product(range(batch), range(groups), range(kernel**2))
    for (index, group, tap), i, j in itertools.product(
        groups_and_taps, range(height), range(width)
    ):
        number = group * kernel**2 + tap
        down, right = offset[index, 2 * number : 2 * number + 2, i, j].tolist()
        y, x = i + tap // kernel - kernel // 2 + down, j + tap % kernel - kernel // 2 + right
        group_channels = slice(group * channels // groups, (group + 1) * channels // groups)
        sample = torch.zeros_like(image[0, group_channels, 0, 0])
        for row, column in itertools.product((0, 1), (0, 1)):
            row, column = math.floor(y) + row, math.floor(x) + column
            if 0 <= row < height and 0 <= column < width:
                share = (1 - abs(y - row)) * (1 - abs(x - column))
                sample += share * image[index, group_channels, row, column]
        sample = sample * mask[index, number, i, j]
        result[index, :, i, j] += weight[:, group_channels, tap // kernel, tap % kernel] @ sample
    return result


CASES = [
    make_case(),
    make_case((1, 8, 7, 4), groups=8, count=5),
    make_case((2, 5, 3, 3), groups=1, count=2, reach=0.5),
    make_case((1, 3, 1, 6), groups=1),
    make_case((1, 12, 4, 5), groups=2, kernel=5),
    make_case((1, 6, 4, 5), groups=3, kernel=1),
]


@pytest.mark.parametrize("case", CASES)
def test_output_equals_the_papers_equation_pixel_by_pixel(case: Case) -> None:
    torch.testing.assert_close(case.convolve(), convolve_by_loops(case), rtol=0, atol=1e-10)


def test_without_offset_and_mask_output_equals_a_convolution() -> None:
    image, offset, weight, bias, mask = make_case()
    no_offset = torch.zeros_like(offset, requires_grad=True)
    expected = F.conv2d(image, weight, bias, padding=1)
    actual = deform_conv2d(image, no_offset, weight, bias)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)
    learned = [image, weight, bias]
    torch.testing.assert_close(
        torch.autograd.grad(actual.square().sum(), learned),
        torch.autograd.grad(expected.square().sum(), learned),
    )
    without_bias = deform_conv2d(image, no_offset, weight, mask=torch.ones_like(mask))
    torch.testing.assert_close(without_bias, F.conv2d(image, weight, padding=1))


def test_gradients_equal_finite_differences() -> None:
    image, offset, weight, bias, mask = make_case((1, 4, 3, 4), reach=1.0)
    offset = (offset.detach().floor() + 0.1 + 0.8 * torch.rand_like(offset)).requires_grad_()

    def convolved(*case: Tensor) -> Tensor:
        return Case(*case).convolve()

    assert torch.autograd.gradcheck(convolved, (image, offset, weight, bias, mask))


def test_gradient_at_integer_offsets_is_the_slope_ahead() -> None:
    ramp = torch.tensor([0.0, 1.0, 4.0, 9.0]).expand(1, 1, 4, 4).contiguous()
    offset = torch.zeros(1, 18, 4, 4, requires_grad=True)
    centre = torch.zeros(1, 1, 3, 3)
    centre[..., 1, 1] = 1.0
    (gradient,) = torch.autograd.grad(deform_conv2d(ramp, offset, centre).sum(), offset)
    torch.testing.assert_close(gradient[0, 9, 1], torch.tensor([1.0, 3.0, 5.0, -9.0]))
    torch.testing.assert_close(gradient[0, 8, :, 1], torch.tensor([0.0, 0.0, 0.0, -1.0]))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30, -1e30])
def test_an_offset_that_is_not_finite_or_huge_samples_zeros(bad: float) -> None:
    case = make_case()
    offset = case.offset.detach().clone()
    offset[:, :2, 1] = bad
    away = offset.clone()
    away[:, :2, 1] = 1e3
    actual, expected = (
        case._replace(offset=tensor.requires_grad_()).convolve() for tensor in (offset, away)
    )
    torch.testing.assert_close(actual, expected)
    (gradient,) = torch.autograd.grad(actual.sum(), offset)
    assert gradient[:, :2, 1].abs().max() == 0
    assert torch.isfinite(gradient).all()


def test_the_memory_format_of_the_arguments_does_not_change_the_output() -> None:
    case = make_case()
    expected = case.convolve()
    channels_last = Case(
        *(t.to(memory_format=torch.channels_last) if t.ndim == 4 else t for t in case)
    )
    strided = Case(*(torch.stack((t, t), dim=-1)[..., 0] for t in case))
    for arguments in (channels_last, strided):
        actual = arguments.convolve()
        torch.testing.assert_close(actual, expected)
        torch.testing.assert_close(case.gradients(actual), case.gradients(expected))


def test_autocast_samples_in_single_precision_and_keeps_the_inputs() -> None:
    case = make_case(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        same = case.convolve()
        coarse = case._replace(input=case.input.bfloat16()).convolve()
        (gradient,) = torch.autograd.grad(coarse.float().sum(), case.offset)
    assert coarse.dtype == torch.bfloat16
    assert gradient.dtype == torch.float32
    exact = case._replace(input=case.input.bfloat16().float()).convolve()
    torch.testing.assert_close(coarse, exact.bfloat16(), rtol=0, atol=0)
    torch.testing.assert_close(same, case.convolve(), rtol=0, atol=0)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_flops_equal_a_convolution_forwards_and_backwards(device: str) -> None:
    case = make_case((2, 8, 6, 5), count=4, dtype=torch.float32)
    on_device = Case(*(t.detach().to(device).requires_grad_() for t in case))
    counts = []
    for call in (
        on_device.convolve,
        lambda: F.conv2d(on_device.input, on_device.weight, on_device.bias, padding=1),
    ):
        with FlopCounterMode(display=False) as forwards:
            output = call()
        with FlopCounterMode(display=False) as backwards:
            output.sum().backward()
        counts.append((forwards.get_total_flops(), backwards.get_total_flops()))
    forward = 2 * 2 * 6 * 5 * 8 * 4 * 9
    assert counts == [(forward, 2 * forward)] * 2


@pytest.mark.slow
def test_convolution_can_be_exported() -> None:
    class Layer(torch.nn.Module):
        def forward(self, *case: Tensor) -> Tensor:
            return Case(*case).convolve()

    case = make_case(dtype=torch.float32)
    program = torch.export.export(Layer(), tuple(tensor.detach() for tensor in case))
    torch.testing.assert_close(program.module()(*case), case.convolve())
    assert "spike_zoo" not in str(program.graph)  # programs are loaded without this package


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"input": torch.rand(2, 7, 5, 6)}, "takes 8 channels, input has 7"),
        ({"offset": torch.rand(2, 35, 5, 6)}, r"offset must be .*\(2, 18, 5, 6\), got \(2, 35"),
        ({"offset": torch.rand(2, 36, 5, 5)}, r"offset must be .*\(2, 36, 5, 6\), got \(2, 36, 5"),
        ({"offset": torch.rand(2, 54, 5, 6)}, "8 channels .* by 3 groups, .* the 54 channels"),
        ({"mask": torch.rand(2, 17, 5, 6)}, r"mask must be .*\(2, 18, 5, 6\), got \(2, 17, 5, 6\)"),
        ({"weight": torch.rand(3, 8, 4, 4)}, "square and odd .* got 4x4 with padding 2"),
        ({"weight": torch.rand(3, 8, 3)}, r"weight \(N, C, K, K\), got .* \(3, 8, 3\)"),
        ({"bias": torch.rand(4)}, r"bias must be \(3,\).* got \(4,\)"),
    ],
)
def test_wrong_shapes_are_rejected_with_both_shapes(
    changed: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_case()._replace(**changed).convolve()


def test_padding_that_does_not_fit_the_kernel_is_rejected() -> None:
    case = make_case()
    with pytest.raises(ValueError, match="got 3x3 with padding 0"):
        deform_conv2d(*case[:4], padding=0, mask=case.mask)
