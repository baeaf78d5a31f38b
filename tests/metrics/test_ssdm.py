"""S-SDM's own evaluation against its reference and against the library it uses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from spike_zoo.metrics import psnr, psnr_official, reconstruction_metrics, ssim_official

GREY_BGR = torch.tensor([0.11, 0.59, 0.30]).view(1, 3, 1, 1)


@pytest.fixture(scope="module")
def pair(golden: Path) -> dict[str, Tensor]:
    with np.load(golden / "ssdm_golden.npz") as stored:
        return {
            name: torch.from_numpy(stored[f"metric.{name}"])
            for name in ("result", "reference", "colour", "grey")
        }


@pytest.mark.parametrize("kind", ["colour", "grey"])
def test_values_are_those_of_the_reference(kind: str, pair: dict[str, Tensor]) -> None:
    images, targets = pair["result"][None], pair["reference"][None]
    if kind == "grey":
        images, targets = ((x * GREY_BGR).sum(1, keepdim=True) for x in (images, targets))
    found = [psnr_official(images, targets).item(), ssim_official(images, targets).item()]
    assert found == pytest.approx(pair[kind].tolist(), abs=1e-4)


@pytest.mark.parametrize("darkest", [0.0, 0.6])
def test_values_are_those_of_scikit_image_for_each_image(darkest: float) -> None:
    generator = torch.Generator().manual_seed(4)
    images = darkest + (1 - darkest) * torch.rand(3, 3, 20, 24, generator=generator)
    targets = (images + 0.05 * torch.randn(3, 3, 20, 24, generator=generator)).clamp(0, 1)
    moved = [(2 * x.double() - 1).numpy() for x in (images, targets)]
    psnrs = [peak_signal_noise_ratio(*one) for one in zip(*moved, strict=True)]
    ssims = [
        structural_similarity(*one, channel_axis=0, data_range=2.0)
        for one in zip(*moved, strict=True)
    ]
    np.testing.assert_allclose(psnr_official(images, targets).numpy(), psnrs, rtol=1e-6)
    np.testing.assert_allclose(ssim_official(images, targets).numpy(), ssims, rtol=1e-6)
    usual = psnr(images, targets).numpy()
    np.testing.assert_allclose(psnrs, usual - (6.0206 if darkest else 0.0), atol=1e-3)


def test_the_protocol_adds_both_to_the_usual_metrics() -> None:
    metrics = reconstruction_metrics(lpips="off", protocols=["ssdm"])
    assert set(metrics.keys()) == {"psnr", "ssim", "psnr_official", "ssim_official"}
