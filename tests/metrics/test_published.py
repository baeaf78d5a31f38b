"""Published evaluation protocols against reference values and libraries."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from spike_zoo.metrics import psnr, psnr_official, psnr_stir, ssim_official
from spike_zoo.metrics.image import MeanPerImage
from spike_zoo.metrics.published import PROTOCOLS, psnr_border10
from tests.helpers.images import noisy_pair

GREY_BGR = torch.tensor([0.11, 0.59, 0.30]).view(1, 3, 1, 1)


@pytest.fixture(scope="module")
def pair(golden: Path) -> dict[str, Tensor]:
    with np.load(golden / "ssdm_golden.npz") as stored:
        return {
            name: torch.from_numpy(stored[f"metric.{name}"])
            for name in ("result", "reference", "colour", "grey")
        }


@pytest.mark.parametrize("kind", ["colour", "grey"])
def test_values_equal_the_reference(kind: str, pair: dict[str, Tensor]) -> None:
    images, targets = pair["result"][None], pair["reference"][None]
    if kind == "grey":
        images, targets = ((x * GREY_BGR).sum(1, keepdim=True) for x in (images, targets))
    actual = [psnr_official(images, targets).item(), ssim_official(images, targets).item()]
    assert actual == pytest.approx(pair[kind].tolist(), abs=1e-4)


@pytest.mark.parametrize("darkest", [0.0, 0.6])
def test_values_equal_scikit_image_for_each_image(darkest: float) -> None:
    generator = torch.Generator().manual_seed(4)
    images = darkest + (1 - darkest) * torch.rand(3, 3, 20, 24, generator=generator)
    targets = (images + 0.05 * torch.randn(3, 3, 20, 24, generator=generator)).clamp(0, 1)
    rescaled = [(2 * x.double() - 1).numpy() for x in (images, targets)]
    psnrs = [peak_signal_noise_ratio(*pair) for pair in zip(*rescaled, strict=True)]
    ssims = [
        structural_similarity(*pair, channel_axis=0, data_range=2.0)
        for pair in zip(*rescaled, strict=True)
    ]
    np.testing.assert_allclose(psnr_official(images, targets).numpy(), psnrs, rtol=1e-6)
    np.testing.assert_allclose(ssim_official(images, targets).numpy(), ssims, rtol=1e-6)
    usual = psnr(images, targets).numpy()
    np.testing.assert_allclose(psnrs, usual - (6.0206 if darkest else 0.0), atol=1e-3)


def test_stir_psnr_of_a_perfect_image_is_infinite() -> None:
    image = torch.full((1, 1, 16, 16), 0.5)
    assert math.isinf(psnr_stir(image, image).item())


def test_values_do_not_depend_on_autocast() -> None:
    for measure in (
        measure for protocol in PROTOCOLS.values() for measure in protocol.measures.values()
    ):
        exact, mixed = MeanPerImage(measure), MeanPerImage(measure)
        exact.update(*noisy_pair())
        with torch.autocast("cpu", torch.bfloat16):
            mixed.update(*noisy_pair())
        assert mixed.compute() == exact.compute()


def test_errors_within_ten_pixels_of_the_border_do_not_count() -> None:
    target = torch.full((1, 3, 30, 41), 0.5)
    image = target.clone()
    image[..., 10:-10, 10:-10] += 0.1
    inside = psnr_border10(image, target)
    image[..., :10, :] = image[..., -10:, :] = 0.0
    image[..., :10] = image[..., -10:] = 1.0
    assert inside.item() == pytest.approx(20.0, abs=1e-4)
    assert torch.equal(psnr_border10(image, target), inside)
    with pytest.raises(ValueError, match=r"larger than 20 x 20 .*, got 20 x 41"):
        psnr_border10(target[..., :20, :], target[..., :20, :])
