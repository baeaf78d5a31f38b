"""Draws what motion is worth from the committed records: ``python -m benchmarks.evidence``."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
from matplotlib import pyplot

from spike_zoo.tracking import RunResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = Path("docs/pictures/evidence.png")
PACES: Final = {"slow": "#4477aa", "medium": "#228833", "fast": "#cc3311"}
#: What is drawn, from above: its records, and what it is called.
ROWS: Final = {
    "classical/results/long/tfi_9": "TFI, mean of 9 planes, not aligned",
    "stir/results/longer/width_050": "STIR, half width: images alone",
    "stir/results/longer/width_050_motion": "the same, motion learned beside them",
    "stir/results/longer/width_050_true": "the same, aligned by the true motion",
    "classical/results/long/tfi_aligned": "TFI along the motion found (tfi-aligned)",
    "stir/results/long/along": "STIR shown intervals along the motion found",
    "stir/results/long/along_true": "STIR shown intervals along the true motion",
}


def records(row: str) -> list[dict[str, float]]:
    """Return the metrics of a row's records, one for each seed.

    Raises:
        FileNotFoundError: If there are none.
    """
    place = Path("experiments", row)
    found = sorted(place.parent.glob(f"{place.name}-[0-9]*/result.json"))
    if not found:
        raise FileNotFoundError(f"{place}: no record; 'make ablation-table' makes them")
    return [dict(RunResult.read(path).metrics) for path in found]


def main() -> None:
    """Write the picture."""
    mpl.rcParams.update({"font.size": 9, "font.family": "DejaVu Sans"})
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(11, 3.6), sharey=True, width_ratios=[2, 1], layout="constrained"
    )
    for place, (row, name) in enumerate(ROWS.items()):
        found = records(row)
        for pace, color in PACES.items():
            _dots(left, place, [one[f"test/psnr_{pace}"] for one in found], color, "{:.1f}")
            ratios = [one[key] for one in found if (key := f"test/epe_ratio_{pace}") in one]
            if ratios and pace != "slow":  # which move by less than two pixels
                _dots(right, place, ratios, color, "")
        left.axhline(place, color="0.9", zorder=0)
        right.axhline(place, color="0.9", zorder=0)
        del name
    left.set_yticks(range(len(ROWS)), list(ROWS.values()))
    left.invert_yaxis()
    left.set_xlabel("PSNR (dB), test scenes of known motion")
    right.set_xlabel("error of the motion / that of no motion")
    right.set_xlim(-0.05, 1.1)
    left.legend(
        handles=[pyplot.Line2D([], [], marker="o", ls="", color=c, label=p) for p, c in PACES.items()],
        loc="lower right",
    )
    for axes in (left, right):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(left=False)
    figure.savefig(PICTURE, dpi=110)
    print(PICTURE)


def _dots(axes: Axes, place: int, values: list[float], color: str, label: str) -> None:
    axes.plot(values, [place] * len(values), "o", color=color, markersize=5, alpha=0.6)
    if label:
        axes.annotate(
            label.format(mean(values)), (mean(values), place), (0, 6), textcoords="offset points",
            ha="center", color=color, fontsize=8,
        )  # fmt: skip


if __name__ == "__main__":
    main()
