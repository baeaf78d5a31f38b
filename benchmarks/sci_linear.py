"""PSNR of the best linear filters of few planes, a lower bound for networks with the same input.

Each filter takes the planes around an image and a square of pixels, and is fitted by least squares
to the training split of ``data/sequence.h5``; PSNR is that of its test split.  Run:

    python -m benchmarks.sci_linear
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from spike_zoo.data import ReconstructionDataModule
from spike_zoo.metrics import psnr
from spike_zoo.metrics.speeds import SPEEDS, speed_of

if TYPE_CHECKING:
    from torch import Tensor

ARCHIVE = "data/sequence.h5"
FILTERS = ((13, 1), (13, 5), (41, 1))  # planes, side of the square
RIDGE = 1e-3


def neighbourhoods(spikes: Tensor, rate_scale: Tensor, side: int) -> Tensor:
    """Return the inputs of a filter at each pixel, ``(B, H W, T side^2 + 1)``; the last is 1."""
    scaled = spikes / rate_scale.view(-1, 1, 1, 1)
    padded = F.pad(scaled, [side // 2] * 4, mode="replicate")
    columns = F.unfold(padded, side).transpose(1, 2)
    return torch.cat([columns, torch.ones_like(columns[..., :1])], dim=2)


def fitted(data: ReconstructionDataModule, side: int) -> Tensor:
    """Return the coefficients of the filter with the least square error on the training split."""
    features = data.clip_length * side**2 + 1
    gram = torch.zeros(features, features, dtype=torch.float64)
    right = torch.zeros(features, dtype=torch.float64)
    for batch in data.train_dataloader():
        inputs = neighbourhoods(batch["spikes"], batch["rate_scale"], side).flatten(0, 1).double()
        gram += inputs.T @ inputs
        right += inputs.T @ batch["image"].double().flatten()
    return torch.linalg.solve(gram + RIDGE * torch.eye(features), right)


def measured(data: ReconstructionDataModule, side: int, coefficients: Tensor) -> dict[str, float]:
    """Return the mean PSNR per speed on the test split."""
    values: dict[str, list[float]] = {speed: [] for speed in SPEEDS}
    for batch in data.test_dataloader():
        inputs = neighbourhoods(batch["spikes"], batch["rate_scale"], side)
        images = (inputs @ coefficients.float()).view_as(batch["image"]).clamp(0, 1)
        for name, value in zip(batch["name"], psnr(images, batch["image"]), strict=True):
            values[speed_of(name) or SPEEDS[0]].append(float(value))
    return {speed: float(np.mean(one)) for speed, one in values.items()}


def main() -> None:
    """Print a table."""
    print("| planes | square | slow | medium | fast |\n|---:|---:|---:|---:|---:|")
    for planes, side in FILTERS:
        torch.manual_seed(0)
        data = ReconstructionDataModule(
            ARCHIVE, clip_length=planes, batch_size=8, crop=48, samples_per_epoch=1600
        )
        means = measured(data, side, fitted(data, side))
        print(
            f"| {planes} | {side} x {side} | "
            + " | ".join(f"{v:.2f}" for v in means.values())
            + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
