"""Smoothness against closed forms and another library."""

import kornia
import pytest
import torch
from torch import Tensor

from spike_zoo.metrics.smoothness import frame_deviation, laplacian, laplacian_norms

KERNEL = torch.tensor([[[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]])


def _random(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_laplacian_is_0_on_a_ramp_and_2_on_a_parabola() -> None:
    rows, columns = torch.meshgrid(torch.arange(7.0), torch.arange(9.0), indexing="ij")
    ramp, parabola = 0.5 * columns - 2 * rows + 3, columns.square()
    actual = laplacian_norms(torch.stack([ramp, parabola])[:, None])
    assert actual.lap1.tolist() == [0.0, 2.0]
    assert actual.lap2.tolist() == [0.0, 4.0]
    # columns 0..8 squared: mean 204 / 9, mean of squares 8772 / 9
    deviation = (8772 / 9 - (204 / 9) ** 2) ** 0.5
    assert actual.lap1_normalised.tolist() == pytest.approx([0.0, 2 / deviation])
    assert actual.lap2_normalised.tolist() == pytest.approx([0.0, 4 / deviation**2])


def test_norms_are_per_sample_over_all_channels() -> None:
    features = _random(3, 3, 12, 10)
    together = torch.stack(laplacian_norms(features))
    alone = torch.stack(
        [torch.stack(laplacian_norms(sample[None]))[:, 0] for sample in features], 1
    )
    torch.testing.assert_close(together, alone)
    scaled = laplacian_norms(0.1 * features)
    torch.testing.assert_close(scaled.lap1, 0.1 * together[0])
    torch.testing.assert_close(scaled.lap1_normalised, together[2])
    torch.testing.assert_close(scaled.lap2_normalised, together[3])


def test_values_equal_kornias_filter() -> None:
    features = _random(2, 3, 11, 13)
    same = kornia.filters.filter2d(features, KERNEL, padding="valid")
    torch.testing.assert_close(laplacian(features), same)


def test_norms_are_exact_in_mixed_precision_and_have_a_gradient() -> None:
    features = _random(2, 3, 11, 13).requires_grad_()
    exact = laplacian_norms(features)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = laplacian_norms(features)
    assert torch.equal(torch.stack(exact), torch.stack(mixed))
    (mixed.lap1 + mixed.lap2).sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_norms_of_constant_features_are_0() -> None:
    assert torch.stack(laplacian_norms(torch.full((2, 3, 5, 5), 0.25))).tolist() == [[0, 0]] * 4


def test_too_small_features_and_single_images_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"at least 3x3 pixels, got \(1, 3, 2, 8\)"):
        laplacian_norms(torch.zeros(1, 3, 2, 8))
    with pytest.raises(ValueError, match=r"at least 2 images .* got \(1, 1, 4, 4\)"):
        frame_deviation(torch.zeros(1, 1, 4, 4))


def test_frame_deviation_of_flickering_images_is_half_the_step_times_the_area() -> None:
    images = torch.full((4, 1, 6, 8), 0.5)
    assert frame_deviation(images) == 0
    images[::2, ..., :4] = 0.7  # half of the pixels alternate by 0.2
    assert frame_deviation(images).item() == pytest.approx(0.05, abs=1e-6)
