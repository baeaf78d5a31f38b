"""Custom operator of deformable convolution: PyTorch's checks, flop counts, torchvision."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.nn.fast import deformable
from spike_zoo.nn.fast.deformable import deform_conv2d_operator, has_torchvision
from tests.helpers.processes import run_python

MACS = 2 * 5 * 6 * 4 * 3 * 9  # pixels, channels in and out, taps
#: As torchvision's own registrations for tensors without memory have it.
GEOMETRY = (
    "SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dil_h, SymInt dil_w, "
    "SymInt n_weight_grps, SymInt n_offset_grps, bool use_mask"
)
TENSORS = "Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias"


def draw() -> list[Tensor]:
    """Return random input, offset, weight, bias and mask."""
    sizes = (2, 4, 5, 6), (2, 36, 5, 6), (3, 4, 3, 3), (3,), (2, 18, 5, 6)
    return [torch.randn(size, requires_grad=True) for size in sizes]


def gradients(made: Tensor, arguments: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(made, arguments, torch.ones_like(made).cumsum(-1))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch 2.14's own check
def test_it_keeps_the_contract_of_operators() -> None:
    operator = torch.ops.spike_zoo.deform_conv2d.default
    arguments = draw()
    torch.library.opcheck(operator, tuple(arguments))
    torch.library.opcheck(operator, (*arguments[:3], None, None))


@pytest.mark.parametrize(
    ("learned", "products"),
    [([0], 1), ([1], 1), ([4], 1), ([2], 1), ([0, 1, 2, 3, 4], 2), ([3], 0)],
)
def test_the_way_back_is_counted_for_what_learns_and_gives_gradients_to_it_alone(
    learned: list[int], products: int
) -> None:
    everything = draw()
    wanted = gradients(deform_conv2d_operator(*everything), everything)
    some = [tensor.detach() for tensor in everything]
    for index in learned:
        some[index].requires_grad_()
    with FlopCounterMode(display=False) as forwards:
        made = deform_conv2d_operator(*some)
    assert forwards.get_total_flops() == 2 * MACS
    with FlopCounterMode(display=False) as backwards:
        found = gradients(made, [some[index] for index in learned])
    assert backwards.get_total_flops() == 2 * MACS * products
    torch.testing.assert_close(found, tuple(wanted[index] for index in learned))


def test_it_is_counted_where_nothing_learns() -> None:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        deform_conv2d_operator(*draw())
    assert counter.get_total_flops() == 2 * MACS


def test_a_gradient_of_its_gradient_is_refused() -> None:
    arguments = draw()
    made = deform_conv2d_operator(*arguments)
    (gradient,) = torch.autograd.grad(made.sum(), arguments[0], create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula was registered"):
        gradient.sum().backward()


def test_asking_for_torchvisions_operator_imports_nothing_of_it() -> None:
    done = run_python(
        "import sys, spike_zoo; from spike_zoo.nn.fast.deformable import has_operator;"
        "print(has_operator('cpu'), has_operator('meta'), has_operator('cuda') in (True, False),"
        "'torchvision' in sys.modules)"
    )
    assert done.stdout.split() == ["True", "False", "True", "False"], done.stderr


@pytest.mark.skipif(not has_torchvision("CPU"), reason="torchvision's operators do not load here")
@pytest.mark.parametrize("has_mask", [True, False])
def test_torchvisions_operator_gives_the_same(has_mask: bool) -> None:
    arguments = draw()[: None if has_mask else 4]
    rest = () if has_mask else (None,)
    wanted = deform_conv2d_operator(*arguments, *rest)
    made = torch.ops.torchvision.deform_conv2d(*deformable._for_torchvision(*arguments, *rest))
    torch.testing.assert_close(made, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        gradients(made, arguments), gradients(wanted, arguments), rtol=1e-4, atol=1e-4
    )


@pytest.fixture
def stand_in() -> Iterator[None]:
    """Register an operator with torchvision's name and arguments if torchvision is missing."""
    if hasattr(torch.ops.torchvision, "deform_conv2d"):
        pytest.skip("torchvision's own operator is here")
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define(f"deform_conv2d({TENSORS}, {GEOMETRY}) -> Tensor")
    five = ", ".join(["Tensor"] * 5)
    library.define(f"_deform_conv2d_backward(Tensor grad, {TENSORS}, {GEOMETRY}) -> ({five})")

    def checked(input: Tensor, weight: Tensor, *geometry: int | bool) -> bool:
        assert geometry[:8] == (1, 1, 1, 1, 1, 1, 1, 2)
        return bool(geometry[8])

    def forward(input, weight, offset, mask, bias, *geometry):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN002, ANN202
        counted = mask if checked(input, weight, *geometry) else None
        return deform_conv2d_operator(input, offset, weight, bias, counted)

    def backward(grad, input, weight, offset, mask, bias, *geometry):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN002, ANN202
        counted = mask if checked(input, weight, *geometry) else None
        made = deformable._backward(grad, input, offset, weight, counted, True, True)
        return made[0], made[2], made[1], made[3], grad.sum(dim=(0, 2, 3))

    library.impl("deform_conv2d", forward, "CPU")
    library.impl("_deform_conv2d_backward", backward, "CPU")
    yield
    library._destroy()


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("has_mask", [True, False])
def test_torchvisions_operator_is_called_as_it_wants_to_be(has_mask: bool) -> None:
    image, offset, weight, bias, mask = (tensor.detach() for tensor in draw())
    counted = mask if has_mask else None
    wanted = deform_conv2d_operator(image, offset, weight, bias, counted)
    found = deformable._by_torchvision(image, offset, weight, bias, counted)
    torch.testing.assert_close(found, wanted)
    gradient = torch.randn_like(wanted)
    arguments = gradient, image, offset, weight, counted, True, True
    torch.testing.assert_close(
        deformable._back_by_torchvision(*arguments), deformable._backward(*arguments)
    )
