"""Measure ``reconstruct --sharpen`` on the sample clips and on simulated recordings behind a lens.

``python -m benchmarks.sharpness FOLDER`` reads Spike-Zoo's clips (FOLDER/{test,train}/{spike,gt})
and prints the PSNR and SSIM of images of `stir-aligned` and `fused` at plane 150: as they are,
after ``--sharpen``, and after a 5 x 5 kernel that was fitted on another scene. ``python -m
benchmarks.sharpness X.h5`` prints the PSNR of four methods on an archive of ``simulate --kind
softness``, as they are and after ``--sharpen`` with the blur of the lens.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import convolve
from skimage.metrics import structural_similarity

import spike_zoo
from spike_zoo.media import sharpened

CLIPS: Final = ("200_part1", "203_part1", "203_part2")
METHODS: Final = ("tfi-aligned", "plain", "stir-aligned", "fused")
ON_CLIPS: Final = ("stir-aligned", "fused")
PLANE, RATE_SCALE = 150, 0.6
SOFTNESS: Final = 0.45  # pixels; chosen on these clips
SIDE: Final = 5  # of the kernel
Pixels = NDArray[np.float64]


def clip_of(folder: Path, name: str, method: str) -> tuple[Pixels, Pixels]:
    """Return the image of a method and the ground truth of a clip, in [0, 1]."""
    (spikes,) = folder.glob(f"*/spike/{name}*.dat")
    (truth,) = folder.glob(f"*/gt/{name}*.png")
    recording = spike_zoo.read_recording(spikes, height=250, width=400, flip=True)
    network: Any = spike_zoo.load(method)
    image = network.reconstruct(recording, [PLANE], rate_scale=RATE_SCALE)[0, 0]
    return image.double().numpy(), np.asarray(Image.open(truth).convert("L"), float) / 255


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


def psnr(image: Pixels, truth: Pixels) -> float:
    """Return the PSNR in dB."""
    return float(-10 * np.log10(np.mean((image - truth) ** 2)))


def scores(image: Pixels, truth: Pixels) -> str:
    """Return PSNR and SSIM as text."""
    similarity = structural_similarity(truth, image, data_range=1.0)
    return f"{psnr(image, truth):.2f} / {similarity:.3f}"


def print_clips(folder: Path) -> None:
    """Print a line for each method and clip."""
    print(f"| clip | method | its image | `--sharpen {SOFTNESS}` | kernel of another scene |")
    print("|---|---|---:|---:|---:|")
    for method in ON_CLIPS:
        clips = {name: clip_of(folder, name, method) for name in CLIPS}
        kernels = {name: fitted_kernel(*clip) for name, clip in clips.items()}
        for name, (image, truth) in clips.items():
            other = next(one for one in CLIPS if one[:3] != name[:3])  # scenes 200 and 203
            images = (
                image,
                sharpened(torch.from_numpy(image), SOFTNESS).numpy(),
                filtered(image, kernels[other]),
            )
            cells = " | ".join(scores(one, truth) for one in images)
            print(f"| `{name}` | `{method}` | {cells} |", flush=True)


def print_archive(path: Path) -> None:
    """Print a line for each method and blur."""
    print("| method | softness | as it is | `--sharpen` |\n|---|---:|---:|---:|")
    with spike_zoo.SpikeArchive(path) as archive:
        for name in METHODS:
            method: Any = spike_zoo.load(name)
            values = defaultdict[float, list[tuple[float, float]]](list)
            for recording_name in archive.names():
                recording = archive[recording_name]
                (plane,) = archive.image_index(recording_name).tolist()
                truth = archive.images(recording_name)[0] / 255
                image = method.reconstruct(recording, [plane], rate_scale=RATE_SCALE)[0, 0].double()
                softness = recording.meta.get("softness", 0.0)
                result = sharpened(image, softness) if softness else image
                pair = psnr(image.numpy(), truth), psnr(result.numpy(), truth)
                values[softness].append(pair)
            for softness, pairs in sorted(values.items()):
                before, after = np.mean(pairs, axis=0)
                print(f"| `{name}` | {softness:g} | {before:.2f} | {after:.2f} |", flush=True)


def main() -> None:
    """Print the table of a folder of clips, or of an archive."""
    torch.set_num_threads(1)
    source = Path(sys.argv[1])
    (print_archive if source.is_file() else print_clips)(source)


if __name__ == "__main__":
    main()
