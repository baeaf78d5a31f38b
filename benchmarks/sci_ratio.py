"""Bits of the weights ``sci`` divided by those of x265 on its images, by speed.

``python -m benchmarks.sci_ratio`` prints the table of experiments/sci/NOTES.md from the committed
records.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from scipy.interpolate import PchipInterpolator

from spike_zoo.metrics.rate import bd_rate
from spike_zoo.training.stored import read_records

RECORDS: Final = Path("experiments/sci/results/cpu/records.jsonl")
ARCHIVE: Final = "sequence-24.h5"
OWN: Final = "sci_gop_32"
ROWS: Final = {"x265": "atc_sci_x265", "x265 without B-frames": "atc_sci_x265_zero_latency"}
PSNR: Final = {"slow": 29.2, "medium": 28.0, "fast": 26.4}  # of the ratio, in dB


def table(path: Path = RECORDS) -> str:
    """Return the table."""
    records = {
        record.result.variant: record
        for record in read_records(path).values()
        if record.result.archive == ARCHIVE
    }

    def curve(variant: str, speed: str) -> list[tuple[float, float]]:
        images = [image for image in records[variant].images if speed in image["name"]]
        points = [[(one[f"bpp_q{q}"], one[f"psnr_q{q}"]) for q in range(4)] for one in images]
        return [tuple(point) for point in np.mean(points, axis=0).tolist()]

    def bits(points: list[tuple[float, float]], psnr: float) -> float:
        rates, values = zip(*sorted(points), strict=True)
        return float(np.exp(PchipInterpolator(values, np.log(rates))(psnr)))

    headings = [f"{speed}, {psnr:g} dB" for speed, psnr in PSNR.items()]
    lines = [f"| | {' | '.join(headings)} | BD-rate: {' | '.join(PSNR)} |"]
    lines.append("|---|" + "---:|" * 6)
    for label, variant in ROWS.items():
        own, other = ({speed: curve(name, speed) for speed in PSNR} for name in (OWN, variant))
        ratios = [f"{bits(own[s], psnr) / bits(other[s], psnr):.2f}" for s, psnr in PSNR.items()]
        rates = [f"{bd_rate(other[s], own[s], 'pchip').percent:+.0f} %" for s in PSNR]
        lines.append(f"| {label} | {' | '.join([*ratios, *rates])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
