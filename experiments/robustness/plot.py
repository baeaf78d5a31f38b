"""Draw PSNR against every condition from the committed records.

Run::

    python experiments/robustness/plot.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot

from spike_zoo.tables import read_table_file
from spike_zoo.tables.aggregate import fill_tables
from spike_zoo.tables.runs import collect_runs

FOLDER = Path(__file__).parent
PICTURE = FOLDER.parent.parent / "docs/pictures/robustness.png"


def main() -> None:
    """Write the picture."""
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    runs = collect_runs([FOLDER / "results" / "cpu"])
    tables = fill_tables(read_table_file(FOLDER / "table.yaml").tables, runs, "cpu")
    curves = [curve for table in tables for curve in table.curves]
    figure, grid = pyplot.subplots(2, 3, figsize=(10, 6), sharey=True, layout="constrained")
    for axes, curve in zip(grid.flat, curves, strict=False):
        for line in curve.lines:
            axes.plot(*zip(*line.points, strict=True), marker="o", markersize=3, label=line.row)
        is_share = curve.spec.condition in ("dead", "hot", "lost")
        axes.set(xlabel=curve.spec.x, xscale="log" if curve.spec.scale == "log" else "linear")
        if is_share:
            axes.set_xscale("symlog", linthresh=1e-3)
        axes.grid(alpha=0.3)
    for axes in grid[:, 0]:
        axes.set_ylabel("PSNR (dB)")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(PICTURE, dpi=110)
    print(PICTURE)


if __name__ == "__main__":
    main()
