"""Removal of a known lens blur from images."""

import numpy as np
import pytest
import torch
from skimage import data
from skimage.util import img_as_float

from spike_zoo.media import sharpened

IMAGE = img_as_float(data.camera())[100:260, 180:380]
GENERATOR = np.random.default_rng(0)


def blurred(softness: float, noise: float = 0.0) -> torch.Tensor:
    """The photograph behind a Gaussian blur, computed on its periodic, mirrored continuation."""
    whole = np.pad(IMAGE, [(0, side) for side in IMAGE.shape], mode="symmetric")
    row, column = (np.fft.fftfreq(side) for side in whole.shape)
    transfer = np.exp(-2 * (np.pi * softness * np.hypot(row[:, None], column)) ** 2)
    soft = np.fft.ifft2(np.fft.fft2(whole) * transfer).real[: len(IMAGE), : IMAGE.shape[1]]
    return torch.from_numpy(soft + noise * GENERATOR.standard_normal(IMAGE.shape)).float()


def psnr(image: torch.Tensor) -> float:
    return -10 * np.log10(np.mean((image.numpy() - IMAGE) ** 2))


@pytest.mark.parametrize(
    ("softness", "noise", "gain"),
    [(0.5, 0.0, 8.0), (0.8, 0.0, 6.0), (0.5, 0.02, 0.5), (1.0, 0.02, 1.0), (0.5, 0.2, 0.0)],
)
def test_a_stated_blur_is_removed_as_far_as_noise_allows(
    softness: float, noise: float, gain: float
) -> None:
    soft = blurred(softness, noise)
    result = sharpened(soft, softness)
    assert psnr(result) > psnr(soft) + gain


def test_each_image_and_channel_is_filtered_by_itself() -> None:
    images = torch.stack([blurred(0.5), 0.5 * blurred(0.8, 0.05)]).reshape(2, 1, *IMAGE.shape)
    together = sharpened(images, 0.5)
    assert together.dtype == torch.float32
    assert together.shape == images.shape
    for image, result in zip(images, together, strict=True):
        torch.testing.assert_close(sharpened(image, 0.5), result)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3)])
def test_the_mean_is_kept_in_images_of_any_size(size: tuple[int, int]) -> None:
    image = 0.5 + 0.1 * torch.rand(1, *size, generator=torch.manual_seed(0))
    assert sharpened(image, 0.5).mean() == pytest.approx(float(image.mean()), abs=1e-6)


@pytest.mark.parametrize("softness", [0.0, -1.0, 2.1, float("nan")])
def test_a_blur_out_of_range_is_rejected(softness: float) -> None:
    with pytest.raises(ValueError, match="softness must be above 0 and at most 2 pixels"):
        sharpened(torch.zeros(1, 8, 8), softness)
