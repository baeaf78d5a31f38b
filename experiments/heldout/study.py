"""Study: ranking of reconstructions by held-out spikes compared with PSNR, on simulated scenes.

Run, for the tables of NOTES.md:
    python -m spike_zoo simulate --flow_offset 20
    python experiments/heldout/study.py data/scenes.h5 --out experiments/heldout/scenes.json

Two protocols. *Later planes*: a method reconstructs plane c from planes up to c + 32; the image,
moved along the flow, predicts the spikes of 11 planes after a gap of 20. *Pixels*: at every fourth
row and column the spikes are replaced by those of the left neighbour; the image there, interpolated
from its neighbours, predicts the original spikes in 5 planes around c.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from likelihood import HeldOut, heldout_likelihood
from torch import Tensor
from torch.nn import functional as F

import spike_zoo
from spike_zoo.archive import SpikeArchive
from spike_zoo.methods.classical import TFI, TFP, AlignedTFI
from spike_zoo.methods.classical.flow import warp_planes
from spike_zoo.metrics import psnr
from spike_zoo.spikes import SpikeRecording

HALF, GAP, PLANES = 32, 20, 11  # protocol "later planes"
AROUND: Final = 5  # planes of the protocol "pixels"
STEP: Final = 4  # rows and columns from one held-out pixel to the next
TRUTH: Final = "truth"
MIN_COUNT: Final = 0.05  # scenes with a smaller share of usable pixels are left out
GAPS: Final = (0.0, 0.5, 1.0, 2.0, 4.0, math.inf)  # dB


def methods() -> dict[str, Any]:
    """Return the methods that are ranked, by name."""
    found: dict[str, Any] = {f"tfp {window}": TFP(window) for window in (5, 9, 17, 33, 61)}
    found |= {f"tfi {average}": TFI(average) for average in (1, 5, 9, 21, 41)}
    found |= {f"tfi-aligned {window}": AlignedTFI(window) for window in (17, 33, 65)}
    found["tfi-aligned, blurred"] = AlignedTFI(unblurs=False)
    return found | {name: spike_zoo.load(name) for name in ("stir", "stir-aligned", "sci")}


def disturbed(truth: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Return the ground truth, blurred versions of it and noisy ones, by name."""
    found = {TRUTH: truth}
    for sigma in (0.6, 1.0):
        line = torch.exp(-torch.arange(-4, 5.0).square() / (2 * sigma**2))
        line /= line.sum()
        padded = F.pad(truth[None], (4, 4, 4, 4), mode="reflect")
        rows = F.conv2d(padded, line.view(1, 1, 1, 9))
        found[f"truth, blurred by {sigma}"] = F.conv2d(rows, line.view(1, 1, 9, 1))[0]
    for decibel in (36, 30):
        noise = torch.randn(truth.shape, generator=generator) * 10 ** (-decibel / 20)
        found[f"truth, noise of {decibel} dB"] = (truth + noise).clamp(0, 1)
    return found


def by_later_planes(
    recording: SpikeRecording,
    center: int,
    methods: Mapping[str, Any],
    others: Mapping[str, Tensor] = MappingProxyType({}),
    true_flow: Tensor | None = None,
) -> tuple[dict[str, Tensor], dict[str, dict[str, HeldOut]]]:
    """Return images, and their scores by later planes for each flow; empty near the end.

    Args:
        recording: Recording of one scene.
        center: Plane of the images.
        methods: Methods by name.
        others: Further images ``(1, H, W)`` by name.
        true_flow: Ground-truth flow to the plane 20 later, ``(2, H, W)``, NaN if unknown, or None.
    """
    scale, end = recording.rate_scale or 1.0, center + HALF + 1
    if end + GAP + PLANES > len(recording):
        return {}, {}
    cut, flow = recording.between(0, end), AlignedTFI()
    forward = flow.motion(cut, [center])[0, 1]
    back = flow.motion(cut, [center + 20])[0, 0]
    is_known = (forward + warp_planes(back, forward.expand(2, -1, -1, -1))).norm(dim=0) < 0.5
    flows = {"later planes": (forward, is_known)}
    if true_flow is not None:
        is_known = true_flow.isfinite().all(dim=0)
        true_flow = true_flow.nan_to_num()
        flows["later planes, true flow"] = (true_flow, is_known)
        flows["later planes, 1.07 x the true flow"] = (1.07 * true_flow, is_known)
    block = torch.from_numpy(recording.read(end + GAP, end + GAP + PLANES))
    preceding = torch.from_numpy(recording.read(end - PLANES, end))
    images = {
        name: one.reconstruct(cut, [center], rate_scale=scale)[0] for name, one in methods.items()
    } | dict(others)
    options = {"rate_scale": scale, "preceding": preceding}
    found = {}
    for kind, (one, mask) in flows.items():
        moving = {"velocity": one / 20, "mask": mask, **options}
        found[kind] = {
            name: heldout_likelihood(image, block, end + GAP - center, **moving)
            for name, image in images.items()
        }
    return images, found


def by_pixels(
    recording: SpikeRecording,
    center: int,
    methods: Mapping[str, Any],
    others: Mapping[str, Tensor] = MappingProxyType({}),
) -> tuple[dict[str, Tensor], dict[str, HeldOut]]:
    """Return images, and their scores by pixels whose spikes were not their input.

    Args:
        recording: Recording of one scene.
        center: Plane of the images.
        methods: Methods by name.
        others: Further images ``(1, H, W)`` by name, not made from the neighbours' spikes.
    """
    scale = recording.rate_scale or 1.0
    spikes = recording[:].copy()
    rows, columns = (np.arange(6, side - 6, STEP) for side in spikes.shape[1:])
    own = torch.from_numpy(spikes[:, rows[:, None], columns])
    spikes[:, rows[:, None], columns] = spikes[:, rows[:, None], columns - 1]
    shown = SpikeRecording.from_planes(spikes, rate_scale=scale)
    first = center - AROUND // 2
    images = {
        name: one.reconstruct(shown, [center], rate_scale=scale)[0] for name, one in methods.items()
    } | dict(others)
    scores = {}
    for name, image in images.items():
        value = image[:, rows[:, None], columns]
        if name not in others:
            value = _interpolated(image[0], rows, columns)[None]
        block, preceding = own[first : first + AROUND], own[first - AROUND : first]
        scores[name] = heldout_likelihood(value, block, 0, rate_scale=scale, preceding=preceding)
    return images, scores


def _interpolated(image: Tensor, rows: np.ndarray, columns: np.ndarray) -> Tensor:
    """Interpolate pixels from their neighbours: mean of (-1, 9, 9, -1) / 16 in x and y."""
    weights = {-2: -1 / 32, -1: 9 / 32, 1: 9 / 32, 2: -1 / 32}
    return sum(
        (weight * image[rows[:, None] + far, columns] for far, weight in weights.items()),
        start=torch.zeros(len(rows), len(columns)),
    ) + sum(
        (weight * image[rows[:, None], columns + far] for far, weight in weights.items()),
        start=torch.zeros(len(rows), len(columns)),
    )


def _rows(
    recording: SpikeRecording,
    center: int,
    truth: Tensor,
    generator: torch.Generator,
    true_flow: Tensor | None,
) -> dict[str, dict[str, Any]]:
    """Return PSNR and score of each image by protocol."""
    others = disturbed(truth, generator)
    later, by_flow = by_later_planes(recording, center, methods(), others, true_flow)
    found = {kind: _row(later, truth, scores) for kind, scores in by_flow.items()}
    images, scores = by_pixels(recording, center, methods(), disturbed(truth, generator))
    return found | {"pixels": _row(images, truth, scores)}


def _row(images: Mapping[str, Tensor], truth: Tensor, scores: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "psnr": {name: float(psnr(one[None], truth[None])) for name, one in images.items()},
        "bits": {name: score.bits for name, score in scores.items()},
        "share": scores[TRUTH].share,
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return rank correlations, ranks of the truth and correctly ordered pairs by speed."""
    from scipy.stats import kendalltau, spearmanr

    found: dict[str, Any] = {}
    for speed in ("slow", "medium", "fast"):
        ours = [row for row in rows if f"-{speed}-" in row["scene"] and row["share"] >= MIN_COUNT]
        scenes = sorted({row["scene"] for row in ours})
        spearman, kendall, first = [], [], 0
        for scene in scenes:
            mean = {
                part: _means([row[part] for row in ours if row["scene"] == scene])
                for part in ("psnr", "bits")
            }
            names = [name for name in mean["psnr"] if not name.startswith(TRUTH)]
            pair = [[mean[part][name] for name in names] for part in ("psnr", "bits")]
            spearman.append(float(spearmanr(*pair)[0]))
            kendall.append(float(kendalltau(*pair)[0]))
            first += mean["bits"][TRUTH] >= max(mean["bits"][name] for name in names)
        every = {row["scene"] for row in rows if f"-{speed}-" in row["scene"]}
        found[speed] = {
            "scenes": len(every),
            "with enough pixels": len(scenes),
            "share of pixels": _mean([r["share"] for r in rows if f"-{speed}-" in r["scene"]]),
            "spearman, mean": _mean(spearman),
            "spearman, worst": min(spearman, default=math.nan),
            "kendall, mean": _mean(kendall),
            "truth first": first,
            "pairs in the right order": _pairs(ours),
        }
    return found


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: _mean([row[name] for row in rows]) for name in rows[0]}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _pairs(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the share of pairs in which the higher PSNR has the higher score, by difference."""
    found = {}
    for low, high in itertools.pairwise(GAPS):
        right = total = 0
        for row in rows:
            names = [name for name in row["psnr"] if not name.startswith(TRUTH)]
            for one, two in itertools.combinations(names, 2):
                gap = row["psnr"][one] - row["psnr"][two]
                if low <= abs(gap) < high:
                    total += 1
                    right += gap * (row["bits"][one] - row["bits"][two]) > 0
        found[f"{low:g} to {high:g} dB"] = right / total if total else math.nan
    return found


def main() -> None:
    """Score all images of the test split, and write all values and a summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stride", type=int, default=2, help="use every N-th image of a scene")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    rows: dict[str, list[dict[str, Any]]] = {}
    with SpikeArchive(arguments.archive) as archive, torch.inference_mode():
        for name in archive.names("test"):
            recording = archive[name]
            for number in range(0, len(archive.image_index(name)), arguments.stride):
                center = int(archive.image_index(name)[number])
                truth = torch.from_numpy(archive.image(name, number))[None].float() / 255
                flow = None
                if len(archive.around_index(name)):
                    flow = torch.from_numpy(
                        archive.image_motion(name, number, around=True)
                    ).float()[1]
                for protocol, row in _rows(recording, center, truth, generator, flow).items():
                    of_scene = {"scene": name, "plane": center, **row}
                    rows.setdefault(protocol, []).append(of_scene)
            print(name, flush=True)
    result = {protocol: summary(found) for protocol, found in rows.items()}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
