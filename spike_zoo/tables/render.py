"""A filled table as Markdown, CSV, or the cells of an HTML page."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spike_zoo.tables.collect import Cell, FilledTable

NOT_MEASURED = "n/a"
HEADINGS = {
    "parameters": "parameters",
    "macs": "GMAC",
    "seconds_per_image": "ms per image",
    "wall_seconds": "run, s",
}
SCALES = {"macs": 1e-9, "seconds_per_image": 1e3}
HIGHER_IS_BETTER = ("psnr", "ssim", "accuracy")
LOWER_IS_BETTER = ("lpips", "bpp")


def heading(column: str) -> str:
    """Return what stands above a column."""
    return HEADINGS.get(column, column)


def cell_text(column: str, cell: Cell) -> str:
    """Return one cell: ours ± deviation, the published value in brackets."""
    ours = NOT_MEASURED if cell.mean is None else _number(column, cell.mean)
    if cell.deviation is not None and "/" in column:
        ours += f" ± {_number(column, cell.deviation)}"
    if cell.published is not None:
        ours += f" [{_number(column, cell.published)}]"
    return ours


def best_rows(table: FilledTable, index: int) -> set[int]:
    """Return the rows that hold the best value of a quality column; none for costs."""
    name = table.columns[index].rsplit("/", 1)[-1]
    means = {n: c[index].mean for n, (_, c) in enumerate(table.rows)}
    measured = {number: mean for number, mean in means.items() if mean is not None}
    if len(measured) < 2:
        return set()
    if name.startswith(HIGHER_IS_BETTER):
        best = max(measured.values())
    elif name.startswith(LOWER_IS_BETTER):
        best = min(measured.values())
    else:
        return set()
    return {number for number, mean in measured.items() if mean == best}


def cells_as_text(table: FilledTable, emphasis: str = "") -> list[list[str]]:
    """Return the table's rows as text, best values between two emphasis marks."""
    best = [best_rows(table, index) for index in range(len(table.columns))]
    rows = []
    for number, (name, cells) in enumerate(table.rows):
        texts = [name]
        for index, (column, cell) in enumerate(zip(table.columns, cells, strict=True)):
            mark = emphasis if number in best[index] else ""
            texts.append(f"{mark}{cell_text(column, cell)}{mark}")
        rows.append(texts)
    return rows


def render_markdown(table: FilledTable) -> str:
    """Return the table as GitHub Markdown."""
    head = ["", *(heading(column) for column in table.columns)]
    lines = [f"## {table.title}", "", _line(head), _line(["---"] + ["---:"] * len(table.columns))]
    lines += [
        _line([text.replace("|", "\\|") for text in row]) for row in cells_as_text(table, "**")
    ]
    lines += ["", *(f"{note}  " for note in table.notes), ""]
    return "\n".join(lines)


def render_csv(table: FilledTable) -> str:
    """Return the table as CSV: full precision, mean, deviation and published value apart."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    parts = ("", " deviation", " published")
    writer.writerow(["row", *(f"{column}{part}" for column in table.columns for part in parts)])
    for name, cells in table.rows:
        values = [v for cell in cells for v in (cell.mean, cell.deviation, cell.published)]
        writer.writerow([name, *("" if value is None else repr(value) for value in values)])
    return file.getvalue()


def _line(texts: list[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _number(column: str, value: float) -> str:
    scaled = value * SCALES.get(column, 1.0)
    if column == "parameters":
        return f"{scaled:,.0f}"
    if "psnr" in column:
        return f"{scaled:.2f}"
    if "/" in column:
        return f"{scaled:.4f}"
    return f"{scaled:.3g}" if scaled < 1000 else f"{scaled:.0f}"
