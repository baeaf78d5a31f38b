"""Tests of FAM: alignment, neighbours, sizes and skip connection."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from spike_zoo.methods.sci.analysis.alignment import Align, DeformableConv
from spike_zoo.methods.sci.analysis.fam import FAM, gather_analysis_input


def random_inputs(height: int = 12, width: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(2, 5, 3, height, width), torch.randn(2, 4, 2, height, width)


@pytest.mark.parametrize(
    ("align", "neighbors"), [("afr", 4), ("afr", 0), ("dcn", 2), ("warp", 4), ("none", 2)]
)
def test_every_alignment_takes_any_size_and_number_of_neighbours(
    align: Align, neighbors: int
) -> None:
    torch.manual_seed(0)
    features, motions = random_inputs(17, 22)
    actual = FAM(align, neighbors, 0.125).branches(features, motions)
    assert [image.shape for image in actual] == [(2, 1, 17, 22)] * 3


def test_the_image_depends_only_on_the_selected_neighbours() -> None:
    for neighbors, expected in ((0, {2}), (2, {1, 2, 3}), (4, {0, 1, 2, 3, 4})):
        torch.manual_seed(0)
        fam, (features, motions) = FAM("afr", neighbors, 0.125), random_inputs()
        features.requires_grad_()
        fam(features, motions).square().sum().backward()
        assert features.grad is not None
        assert {n for n in range(5) if features.grad[:, n].any()} == expected


def test_an_untrained_deformable_convolution_is_a_plain_convolution() -> None:
    torch.manual_seed(0)
    layer, x, guide = DeformableConv(16), torch.randn(2, 16, 9, 11), torch.randn(2, 16, 9, 11)
    torch.testing.assert_close(layer(x, guide), layer.conv(x), rtol=1e-4, atol=1e-5)


def test_offsets_are_at_most_ten_pixels_and_masks_at_most_two() -> None:
    layer, x = DeformableConv(8), torch.ones(1, 8, 64, 64)
    with torch.no_grad():
        layer.guidance.bias.fill_(1e6)  # type: ignore[union-attr]  # it has one
        layer.conv.weight.fill_(1.0)
        layer.conv.bias.zero_()  # type: ignore[union-attr]  # it has one
    actual = layer(x, x)[0, 0].detach()
    # all taps are offset by 10 px down and right: inside, 9 taps of 8 channels times a mask of 2
    assert actual[20, 20] == pytest.approx(2 * 9 * 8)
    assert actual[-10:].abs().sum() < actual[:10].abs().sum()
    assert actual[54:, 54:].abs().max() < 2 * 9 * 8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FAM("flow"), "align must be one of afr, dcn, warp, none"),  # type: ignore[arg-type]
        (lambda: FAM(neighbors=3), r"neighbors must be one of \(0, 2, 4\), got 3"),
        (lambda: FAM(width=-1), "fam_width must be above 0"),
        (
            lambda: FAM(width=0.125)(torch.zeros(1, 3, 3, 16, 16), torch.zeros(1, 4, 2, 16, 16)),
            r"features \(1, 5, 3, 16, 16\).*got \(1, 3, 3, 16, 16\)",
        ),
    ],
)
def test_invalid_options_and_shapes_are_rejected(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def surroundings_of(count: int, target: int) -> tuple[list[float], list[float]]:
    """Return inputs for features that are their index, with motion of 1 pixel between them."""
    features = torch.arange(float(count)).view(1, count, 1, 1, 1).expand(1, count, 3, 8, 8)
    links = torch.tensor([1.0, 0.0]).view(1, 1, 2, 1, 1).expand(1, count, 2, 8, 8)
    actual = gather_analysis_input(features, links, target)
    return actual.features[0, :, 0, 0, 0].tolist(), actual.motions[0, :, 0, 4, 4].tolist()


def test_a_target_gets_its_neighbours_or_the_nearest_and_the_motion_to_each() -> None:
    assert surroundings_of(7, 3) == ([1, 2, 3, 4, 5], [2, 1, -1, -2])
    assert surroundings_of(7, 0) == ([0, 0, 0, 1, 2], [0, 0, -1, -2])
    assert surroundings_of(7, 1) == ([0, 0, 1, 2, 3], [1, 1, -1, -2])
    assert surroundings_of(7, 5) == ([3, 4, 5, 6, 6], [2, 1, -1, -1])
    assert surroundings_of(7, 6) == ([4, 5, 6, 6, 6], [2, 1, 0, 0])
    assert surroundings_of(1, 0) == ([0] * 5, [0] * 4)
