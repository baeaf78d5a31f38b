"""Tests of FEM: planes of the filters, binary weights, options and sizes."""

from collections.abc import Callable

import pytest
import torch

from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.features.fem import FEM, BinaryConv2d, Fusion, Pathway


def test_filters_depend_exactly_on_the_planes_of_their_windows() -> None:
    torch.manual_seed(0)
    fem = FEM(0.25, attention=False, binarize=False)
    for bank, windows in (
        (fem.ventral, [(3, 9), (2, 10), (1, 11), (0, 12)]),  # 7, 9, 11, 13 around plane 6
        (fem.dorsal, [(3, 12), (2, 11), (1, 10), (0, 9)]),  # ten planes, the latest first
    ):
        assert bank is not None
        for layer, (first, last), (start, stop) in zip(
            bank.filters, windows, bank.planes, strict=True
        ):
            impulses = torch.eye(13)[:, start:stop, None, None].expand(-1, -1, 8, 8)
            with torch.no_grad():
                responses = layer(impulses) - layer(0 * impulses)
            reached = responses.abs().sum(dim=(1, 2, 3)) > 0
            assert reached.tolist() == [first <= plane <= last for plane in range(13)]


def test_binary_weights_have_two_values_per_channel_and_pass_gradients() -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(7, 16, 3, padding=1)
    with torch.no_grad():
        layer.weight[0, 0, 0, 0] = 0.0  # sign(0) is +1
        layer.weight[1, 0, 0, 0] = 1.5  # outside [-1, 1] the gradient is zero
    binary = layer.binary_weight()
    for channel, real in zip(binary.detach(), layer.weight.detach(), strict=True):
        alpha = real.abs().mean()
        assert set(channel.flatten().tolist()) == {alpha.item(), -alpha.item()}
    assert binary[0, 0, 0, 0] > 0
    layer(torch.ones(1, 7, 8, 8)).sum().backward()
    gradient = layer.weight.grad
    assert gradient is not None
    assert gradient[1, 0, 0, 0] == 0
    assert gradient.count_nonzero() == gradient.numel() - 1


@pytest.mark.parametrize(
    ("pathway", "pfu", "attention", "binarize"),
    [
        ("dual", "pfu", True, True),
        ("dual", "concat", False, True),
        ("dual", "none", True, False),
        ("ventral", "pfu", True, True),
        ("dorsal", "none", False, False),
    ],
)
def test_every_option_gives_features_and_gradients_for_all_parameters(
    pathway: Pathway, pfu: Fusion, attention: bool, binarize: bool
) -> None:
    torch.manual_seed(0)
    fem = FEM(0.125, pathway, pfu, attention=attention, binarize=binarize)
    feature = fem((torch.rand(2, 13, 17, 22) < 0.3).float())
    assert feature.shape == (2, 3, 17, 22)
    assert 0 < feature.min() <= feature.max() < 1
    feature.square().sum().backward()
    idle = [name for name, value in fem.named_parameters() if value.grad is None]
    assert not idle


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: FEM(0), ValueError, "fem_width must be above 0"),
        (lambda: FEM(pathway="both"), ValueError, "pathway must be one of dual, ventral, dorsal"),  # type: ignore[arg-type]
        (lambda: FEM(pfu="sum"), ValueError, "pfu must be one of pfu, concat, none"),  # type: ignore[arg-type]
        (lambda: FEM(0.125)(torch.zeros(1, 12, 16, 16)), ValueError, r"13 planes.*\(1, 12, 16"),
        (lambda: FEM(0.125)(torch.zeros(0, 13, 16, 16)), ValueError, r"got \(0, 13, 16, 16\)"),
        (lambda: FEM(0.125)(torch.zeros(13, 16, 16)), ValueError, r"got \(13, 16, 16\)"),
        (
            lambda: FEM(0.125)(torch.zeros(1, 13, 15, 40)),
            ConfigError,
            "at least 16 x 16.*got 40 x 15",
        ),
    ],
)
def test_invalid_options_and_shapes_are_rejected(
    make: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()
