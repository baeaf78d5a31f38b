"""Plot the effect of optical flow from the committed records: ``python -m benchmarks.evidence``."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.lines import Line2D

from spike_zoo.training.stored import RECORDS_FILENAME, read_records

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMAGE = Path("docs/pictures/evidence.png")
SPEEDS: Final = {"slow": "#4477aa", "medium": "#228833", "fast": "#cc3311"}
#: Rows of the chart, top to bottom: records and label.
ROWS: Final = {
    "classical/results/long/tfi_9": "TFI, mean of 9 planes, not aligned",
    "stir/results/longer/width_050": "STIR, half width: images only",
    "stir/results/longer/width_050_motion": "the same, with flow supervision",
    "stir/results/longer/width_050_true": "the same, aligned by the ground-truth flow",
    "classical/results/long/tfi_aligned": "TFI along the estimated flow (tfi-aligned)",
    "stir/results/long/along": "STIR, intervals along the estimated flow as input",
    "stir/results/long/along_true": "STIR, intervals along the ground-truth flow as input",
}


def records(row: str) -> list[dict[str, float]]:
    """Return the metrics of each record (seed) of a row.

    Raises:
        FileNotFoundError: If the row has no records.
    """
    file = Path("experiments", row).with_name(RECORDS_FILENAME)
    variant = Path(row).name
    stored = [one.result for one in read_records(file).values()]
    metrics = [dict(one.metrics) for one in stored if one.variant == variant]
    if not metrics:
        raise FileNotFoundError(f"{file}: no record of {variant}; run 'make ablation-table'")
    return metrics


def main() -> None:
    """Write the chart."""
    mpl.rcParams.update({"font.size": 9, "axes.spines.left": False})
    mpl.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(11, 3.8), sharey=True, width_ratios=[2, 1], layout="constrained"
    )
    for index, row in enumerate(ROWS):
        metrics = records(row)
        for speed, color in SPEEDS.items():
            values = [one[f"test/psnr_{speed}"] for one in metrics]
            _dots(left, index, values, color)
            above = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center"}
            left.annotate(f"{mean(values):.1f}", (mean(values), index), color=color, **above)
            if speed != "slow":  # slow scenes move by less than two pixels
                key = f"test/epe_ratio_{speed}"
                _dots(right, index, [one[key] for one in metrics if key in one], color)
    left.set_yticks(range(len(ROWS)), list(ROWS.values()))
    left.invert_yaxis()
    left.set_xlabel("PSNR (dB)")
    right.set_xlabel("EPE / EPE of zero flow")
    right.set_xlim(-0.05, 1.1)
    for axes in (left, right):
        axes.tick_params(left=False)
        axes.grid(axis="y", color="0.9")
        axes.set_axisbelow(True)
    keys = [
        Line2D([], [], marker="o", linestyle="", color=color, label=speed)
        for speed, color in SPEEDS.items()
    ]
    figure.legend(handles=keys, loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(IMAGE, dpi=110)
    print(IMAGE)


def _dots(axes: Axes, index: int, values: list[float], color: str) -> None:
    axes.plot(values, [index] * len(values), "o", color=color, markersize=5, alpha=0.6)


if __name__ == "__main__":
    main()
