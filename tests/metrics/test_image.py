"""Image metrics against independent libraries and closed forms."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from spike_zoo.metrics import psnr, psnr_stir, ssim, ssim_stir
from spike_zoo.metrics.image import MeanPerImage, ssim_uniform7
from tests.helpers.images import noisy_pair

Measure = Callable[[Tensor, Tensor], Tensor]

#: Options of scikit-image for the window of the original SSIM.
GAUSSIAN: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    return noisy_pair()


@pytest.mark.parametrize(
    ("measure", "library", "white", "options", "tolerance"),
    [
        (psnr, peak_signal_noise_ratio, 1.0, {}, 1e-5),
        (psnr_stir, peak_signal_noise_ratio, 255.0, {}, 1e-5),
        (ssim_uniform7, structural_similarity, 1.0, {}, 1e-9),
        (ssim_stir, structural_similarity, 255.0, {**GAUSSIAN, "win_size": 11}, 2e-6),
    ],
)
def test_values_of_each_image_equal_scikit_image(
    measure: Measure,
    library: Callable[..., float],
    white: float,
    options: dict[str, Any],
    tolerance: float,
    pair: tuple[Tensor, Tensor],
) -> None:
    images, targets = ((white * part[:, 0].double()).numpy() for part in pair)
    expected = [
        library(target, image, data_range=white, **options)
        for image, target in zip(images, targets, strict=True)
    ]
    np.testing.assert_allclose(measure(*pair).numpy(), expected, rtol=tolerance)


def test_ssim_includes_the_border_with_reflected_padding(pair: tuple[Tensor, Tensor]) -> None:
    image, target = (images[0, 0].double().numpy() for images in pair)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(gaussian_filter(values, 1.5, mode="mirror", truncate=3.5))

    mean_x, mean_y = mean(image), mean(target)
    covariance = mean(image * target) - mean_x * mean_y
    variances = mean(image**2) - mean_x**2 + mean(target**2) - mean_y**2
    similarity = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
    similarity *= (2 * covariance + 0.03**2) / (variances + 0.03**2)
    mean_ssim = ssim(pair[0], pair[1])[0].item()
    assert mean_ssim == pytest.approx(similarity.mean(), abs=1e-5)
    assert abs(mean_ssim - similarity[5:-5, 5:-5].mean()) > 1e-4


def test_one_perfect_image_does_not_make_the_mean_infinite() -> None:
    image = torch.full((1, 1, 16, 16), 0.5)
    assert psnr(image, image).item() == 100.0


def test_mean_over_images_does_not_depend_on_batches(pair: tuple[Tensor, Tensor]) -> None:
    images, targets = pair
    whole, parts = MeanPerImage(psnr), MeanPerImage(psnr)
    whole.update(images, targets)
    parts.update(images[:1], targets[:1])
    parts.update(images[1:], targets[1:])
    expected = psnr(images, targets).mean().item()
    assert whole.compute().item() == pytest.approx(expected, rel=1e-6)
    assert parts.compute().item() == pytest.approx(expected, rel=1e-6)


def test_images_smaller_than_the_window_and_different_shapes_are_rejected() -> None:
    small = torch.zeros(1, 1, 10, 64)
    with pytest.raises(ValueError, match="at least 11 x 11 pixels, got 64 x 10"):
        MeanPerImage(ssim).update(small, small)
    with pytest.raises(ValueError, match="must have one shape"):
        MeanPerImage(psnr).update(torch.zeros(1, 1, 16, 16), torch.zeros(1, 3, 16, 16))


@pytest.mark.parametrize("measure", [psnr, ssim])
@pytest.mark.parametrize(("low", "high"), [(-0.1, 1.0), (0.0, 255.0), (0.0, 1.02)])
def test_images_outside_their_range_are_rejected(measure: Measure, low: float, high: float) -> None:
    images, targets = torch.full((1, 1, 16, 16), 0.5), torch.full((1, 1, 16, 16), 0.5)
    images[0, 0, 0, :2] = torch.tensor([low, high])
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\], got"):
        measure(images, targets)
    with pytest.raises(ValueError, match=r"targets must lie in"):
        measure(targets, images)
    measure(targets, targets + 0.505)  # rounding
