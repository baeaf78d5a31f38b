"""Custom operator of deformable convolution: PyTorch's checks, flop counts, torchvision."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.nn.fast import deformable
from spike_zoo.nn.fast.deformable import deform_conv2d_operator, has_torchvision
from tests.helpers.processes import run_python

MACS = 2 * 5 * 6 * 4 * 3 * 9  # pixels, channels in and out, taps
#: Signature as in torchvision's registrations for meta tensors.
GEOMETRY = (
    "SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dil_h, SymInt dil_w, "
    "SymInt n_weight_grps, SymInt n_offset_grps, bool use_mask"
)
TENSORS = "Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias"


def draw() -> list[Tensor]:
    """Return random input, offset, weight, bias and mask."""
    sizes = (2, 4, 5, 6), (2, 36, 5, 6), (3, 4, 3, 3), (3,), (2, 18, 5, 6)
    return [torch.randn(size, requires_grad=True) for size in sizes]


def gradients(output: Tensor, arguments: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(output, arguments, torch.ones_like(output).cumsum(-1))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch 2.14's own check
def test_operator_passes_pytorchs_checks() -> None:
    operator = torch.ops.spike_zoo.deform_conv2d.default
    arguments = draw()
    torch.library.opcheck(operator, tuple(arguments))
    torch.library.opcheck(operator, (*arguments[:3], None, None))


@pytest.mark.parametrize(
    ("learned", "products"),
    [([0], 1), ([1], 1), ([4], 1), ([2], 1), ([0, 1, 2, 3, 4], 2), ([3], 0)],
)
def test_only_tensors_that_require_gradients_get_them_and_count_in_flops(
    learned: list[int], products: int
) -> None:
    arguments = draw()
    expected = gradients(deform_conv2d_operator(*arguments), arguments)
    inputs = [tensor.detach() for tensor in arguments]
    for index in learned:
        inputs[index].requires_grad_()
    with FlopCounterMode(display=False) as forwards:
        output = deform_conv2d_operator(*inputs)
    assert forwards.get_total_flops() == 2 * MACS
    with FlopCounterMode(display=False) as backwards:
        actual = gradients(output, [inputs[index] for index in learned])
    assert backwards.get_total_flops() == 2 * MACS * products
    torch.testing.assert_close(actual, tuple(expected[index] for index in learned))


def test_flops_are_counted_without_gradients() -> None:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        deform_conv2d_operator(*draw())
    assert counter.get_total_flops() == 2 * MACS


def test_has_operator_does_not_import_torchvision() -> None:
    process = run_python(
        "import sys, spike_zoo; from spike_zoo.nn.fast.deformable import has_operator;"
        "print(has_operator('cpu'), has_operator('meta'), has_operator('cuda') in (True, False),"
        "'torchvision' in sys.modules)"
    )
    assert process.stdout.split() == ["True", "False", "True", "False"], process.stderr


@pytest.mark.skipif(not has_torchvision("CPU"), reason="torchvision's operators do not load here")
@pytest.mark.parametrize("has_mask", [True, False])
def test_torchvisions_operator_gives_the_same_output(has_mask: bool) -> None:
    arguments = draw()[: None if has_mask else 4]
    no_mask = () if has_mask else (None,)
    expected = deform_conv2d_operator(*arguments, *no_mask)
    output = torch.ops.torchvision.deform_conv2d(*deformable._for_torchvision(*arguments, *no_mask))
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        gradients(output, arguments), gradients(expected, arguments), rtol=1e-4, atol=1e-4
    )


@pytest.fixture
def substitute_operator() -> Iterator[None]:
    """Register an operator with torchvision's name and arguments if torchvision is missing."""
    if hasattr(torch.ops.torchvision, "deform_conv2d"):
        pytest.skip("torchvision's operator is installed")
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define(f"deform_conv2d({TENSORS}, {GEOMETRY}) -> Tensor")
    five = ", ".join(["Tensor"] * 5)
    library.define(f"_deform_conv2d_backward(Tensor grad, {TENSORS}, {GEOMETRY}) -> ({five})")

    def uses_mask(input: Tensor, weight: Tensor, *geometry: int | bool) -> bool:
        assert geometry[:8] == (1, 1, 1, 1, 1, 1, 1, 2)
        return bool(geometry[8])

    def forward(input, weight, offset, mask, bias, *geometry):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN002, ANN202
        used_mask = mask if uses_mask(input, weight, *geometry) else None
        return deform_conv2d_operator(input, offset, weight, bias, used_mask)

    def backward(grad, input, weight, offset, mask, bias, *geometry):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN002, ANN202
        used_mask = mask if uses_mask(input, weight, *geometry) else None
        output = deformable._backward(grad, input, offset, weight, used_mask, True, True)
        return output[0], output[2], output[1], output[3], grad.sum(dim=(0, 2, 3))

    library.impl("deform_conv2d", forward, "CPU")
    library.impl("_deform_conv2d_backward", backward, "CPU")
    yield
    library._destroy()


@pytest.mark.usefixtures("substitute_operator")
@pytest.mark.parametrize("has_mask", [True, False])
def test_torchvisions_operator_gets_its_arguments_in_order(has_mask: bool) -> None:
    image, offset, weight, bias, mask = (tensor.detach() for tensor in draw())
    used_mask = mask if has_mask else None
    expected = deform_conv2d_operator(image, offset, weight, bias, used_mask)
    actual = deformable._by_torchvision(image, offset, weight, bias, used_mask)
    torch.testing.assert_close(actual, expected)
    gradient = torch.randn_like(expected)
    arguments = gradient, image, offset, weight, used_mask, True, True
    torch.testing.assert_close(
        deformable._back_by_torchvision(*arguments), deformable._backward(*arguments)
    )
