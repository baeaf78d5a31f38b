"""Scores of shipped methods on recordings without ground truth, and their images side by side.

Run, for docs/real.md:
    python experiments/heldout/real.py CLIP.dat ... --out experiments/heldout/real.json

The protocols are those of study.py. Standard errors are over the planes of a recording, which are
at least 20 apart, so that they share no held-out spike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from likelihood import MAX_SHIFT
from study import GAP, HALF, PLANES, by_later_planes, by_pixels

import spike_zoo
from spike_zoo.methods.classical import TFI, TFP, AlignedTFI
from spike_zoo.spikes import SpikeRecording
from spike_zoo.spikes.rate_scale import rate_scale_of

REFERENCE: Final = "tfi 9"
MARGIN, COUNT = 40, 6  # planes before the first image, and images of a recording
MIN_COUNT: Final = 0.05  # share of usable pixels


def methods() -> dict[str, Any]:
    """Return the methods by name."""
    shipped = {name: spike_zoo.load(name) for name in ("plain", "stir", "stir-aligned")}
    return {"tfp 41": TFP(41), REFERENCE: TFI(9), "tfi-aligned": AlignedTFI(), **shipped}


def summary(rows: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return the mean score of each method, and its difference from the reference.

    Args:
        rows: Scores of each method in bits per pixel and plane, one row per plane.
    """
    return {
        name: {
            **_mean("score", [row[name] for row in rows]),
            **_mean("difference", [row[name] - row[REFERENCE] for row in rows]),
        }
        for name in rows[0]
    }


def _slow_share(recording: SpikeRecording, center: int) -> float:
    """Return the share of pixels that move little enough for the protocol "later planes"."""
    velocity = AlignedTFI().motion(recording, [center])[0, 1] / 20
    farthest = HALF + GAP + PLANES
    return float((farthest * velocity.norm(dim=0) <= MAX_SHIFT).float().mean())


def _mean(name: str, values: Sequence[float]) -> dict[str, float]:
    """Return mean and standard error in millibits."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return {
        name: round(1000 * statistics.fmean(values), 2),
        f"{name} error": round(1000 * error, 2),
    }


def main() -> None:
    """Score all methods on all recordings, and write the values of all planes and a summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--height", type=int, default=250)
    parser.add_argument("--width", type=int, default=400)
    parser.add_argument("--rate-scale", type=float, help="default: estimated")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    compared, result = methods(), {}
    for path in arguments.recordings:
        size = {"height": arguments.height, "width": arguments.width}
        recording = spike_zoo.read_recording(path, **size)
        recording.rate_scale = rate_scale_of(recording, arguments.rate_scale).value
        rows: dict[str, list[dict[str, float]]] = {}
        shares: dict[str, list[float]] = {}
        with torch.inference_mode():
            last = len(recording) - MARGIN
            for center in np.linspace(MARGIN, last, COUNT).astype(int).tolist():
                found = {"pixels": by_pixels(recording, center, compared)[1]}
                if _slow_share(recording, center) >= MIN_COUNT:
                    found |= by_later_planes(recording, center, compared)[1]
                for protocol, scores in found.items():
                    share = scores[REFERENCE].share
                    if share >= MIN_COUNT:
                        bits = {name: score.bits for name, score in scores.items()}
                        rows.setdefault(protocol, []).append(bits)
                        shares.setdefault(protocol, []).append(share)
                print(path.name, center, flush=True)
        result[path.name] = {"rate_scale": recording.rate_scale} | {
            protocol: {
                "images": len(of_images),
                "share": round(statistics.fmean(shares[protocol]), 3),
                "methods": summary(of_images),
            }
            for protocol, of_images in rows.items()
        }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
