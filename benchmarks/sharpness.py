"""Measure how much softer the spikes of the sample clips are than their ground truth.

``python -m benchmarks.sharpness FOLDER`` reads Spike-Zoo's clips (FOLDER/{test,train}/{spike,gt})
and prints the PSNR and SSIM of images of `stir-aligned` at plane 150: as they are, after an
unsharp mask, and after a 5 x 5 kernel that was fitted on another scene.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import convolve, gaussian_filter
from skimage.metrics import structural_similarity

import spike_zoo

CLIPS: Final = ("200_part1", "203_part1", "203_part2")
PLANE, RATE_SCALE = 150, 0.6
SIGMA, AMOUNT = 0.7, 0.6
"""Standard deviation in pixels and weight of the unsharp mask."""
SIDE: Final = 5  # of the kernel
Pixels = NDArray[np.float64]


def clip_of(folder: Path, name: str) -> tuple[Pixels, Pixels]:
    """Return the image of `stir-aligned` and the ground truth of a clip, in [0, 1]."""
    (spikes,) = folder.glob(f"*/spike/{name}*.dat")
    (truth,) = folder.glob(f"*/gt/{name}*.png")
    recording = spike_zoo.read_recording(spikes, height=250, width=400, flip=True)
    method = spike_zoo.load("stir-aligned")
    image = method.reconstruct(recording, [PLANE], rate_scale=RATE_SCALE)[0, 0]  # type: ignore[operator]
    return image.double().numpy(), np.asarray(Image.open(truth).convert("L"), float) / 255


def sharpened(image: Pixels) -> Pixels:
    """Return an image after the unsharp mask."""
    detail: Pixels = image - gaussian_filter(image, SIGMA)
    return np.clip(image + AMOUNT * detail, 0, 1)


def fitted_kernel(image: Pixels, truth: Pixels) -> Pixels:
    """Return the kernel whose filtered image is closest to the ground truth (least squares)."""
    views = np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE)).reshape(-1, SIDE**2)
    margin = SIDE // 2
    inner = truth[margin:-margin, margin:-margin].ravel()
    kernel = np.linalg.lstsq(views, inner, rcond=None)[0]
    return np.asarray(kernel, np.float64).reshape(SIDE, SIDE)


def filtered(image: Pixels, kernel: Pixels) -> Pixels:
    """Return an image after a kernel (correlation)."""
    return np.clip(convolve(image, kernel[::-1, ::-1], mode="nearest"), 0, 1)


def scores(image: Pixels, truth: Pixels) -> str:
    """Return PSNR and SSIM as text."""
    psnr = -10 * np.log10(np.mean((image - truth) ** 2))
    return f"{psnr:.2f} / {structural_similarity(truth, image, data_range=1.0):.3f}"


def main() -> None:
    """Print a line for each clip."""
    torch.set_num_threads(1)
    clips = {name: clip_of(Path(sys.argv[1]), name) for name in CLIPS}
    kernels = {name: fitted_kernel(*clip) for name, clip in clips.items()}
    print(
        "| clip | `stir-aligned` | unsharp mask | kernel of another scene |\n|---|---:|---:|---:|"
    )
    for name, (image, truth) in clips.items():
        other = next(one for one in CLIPS if one[:3] != name[:3])  # scenes 200 and 203
        images = (image, sharpened(image), filtered(image, kernels[other]))
        print(f"| `{name}` | {' | '.join(scores(one, truth) for one in images)} |")


if __name__ == "__main__":
    main()
