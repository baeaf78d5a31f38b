"""Measure `tfi-aligned` with other settings of optical flow, on the scenes of an archive.

    python -m experiments.flow_settings data/base.h5 --split val

prints the PSNR of the images in the middle of each scene, by speed.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import torch

import spike_zoo
from spike_zoo.archive import SpikeArchive
from spike_zoo.methods.classical import flow
from spike_zoo.metrics.image import psnr

if TYPE_CHECKING:
    from collections.abc import Mapping

SPEEDS: Final = ("slow", "medium", "fast")
DIS: Final = flow._SETTINGS
CHANGES: Final[Mapping[str, Mapping[str, Any]]] = {
    "default": {},
    "full size": {
        "_SETTINGS": {
            "FinestScale": 0,
            "PatchStride": 2,
            "GradientDescentIterations": 25,
            "VariationalRefinementIterations": 10,
        }
    },
    "10 refinement iterations": {"_SETTINGS": DIS | {"VariationalRefinementIterations": 10}},
    "no refinement": {"_SETTINGS": DIS | {"VariationalRefinementIterations": 0}},
    "images of 7 planes": {"_IMAGE_REACH": 3},
    "images of 15 planes": {"_IMAGE_REACH": 7},
    "two steps above 0.5 of the difference": {"_EXPLAINED": 0.5},
    "two steps never": {"_EXPLAINED": float("inf")},
}


def mean_psnr(archive: SpikeArchive, split: str, images: int) -> dict[str, float]:
    """Return the mean PSNR of images in the middle of each recording, in dB, by speed."""
    method: Any = spike_zoo.load("tfi-aligned")
    values: dict[str, list[float]] = {speed: [] for speed in SPEEDS}
    for name in archive.names(split):
        planes = archive.image_index(name)
        first = max((len(planes) - images) // 2, 0)
        truth = torch.from_numpy(archive.images(name))[first : first + images, None] / 255
        recording = archive[name]
        made = method.reconstruct(recording, planes[first : first + images])
        value = float(psnr(made.view_as(truth), truth).mean())
        next(group for speed, group in values.items() if f"-{speed}-" in name).append(value)
    return {speed: float(torch.tensor(group).mean()) for speed, group in values.items()}


def main() -> None:
    """Print a row for each change."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, default=4, help="images of a scene")
    arguments = parser.parse_args()
    print(f"| setting | {' | '.join(SPEEDS)} | mean |\n|---|---:|---:|---:|---:|")
    with SpikeArchive(arguments.archive) as archive:
        for label, settings in CHANGES.items():
            with ExitStack() as stack:
                for name, value in settings.items():
                    stack.enter_context(patch.object(flow, name, value))
                values = mean_psnr(archive, arguments.split, arguments.images)
            cells = " | ".join(f"{value:.2f}" for value in values.values())
            print(f"| {label} | {cells} | {sum(values.values()) / 3:.2f} |", flush=True)


if __name__ == "__main__":
    main()
