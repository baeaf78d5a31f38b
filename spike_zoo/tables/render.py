"""Markdown and CSV of filled tables, and the texts of their cells."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spike_zoo.tables.columns import ARROWS
from spike_zoo.tables.rates import METHODS, rate_notes, rate_table
from spike_zoo.tables.verdicts import (
    NOISE_RULE,
    by_origin,
    false_discoveries,
    summarize_verdicts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spike_zoo.tables.aggregate import Cell, FilledTable
    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.rates import FilledCurve
    from spike_zoo.tables.spec import PublishedColumn

NOTES = "NOTES.md"  # in the folder of the table file
DIFFERENT_NOTE = "† other data or another profile than most rows."
_CURVE_FIELDS = ["curve", "x", "y", "x published", "y published"]
_RATE_FIELDS = [
    *("anchor", "BD-rate cubic", "BD-rate cubic deviation"),
    *("BD-rate pchip", "BD-rate pchip deviation", "BD-rate missing"),
]


@dataclass(frozen=True)
class CellText:
    """Text of one cell.

    Attributes:
        ours: The measured value with its deviation over seeds.
        published: The published value in brackets; empty without a published value.
        is_best: Whether it is the best measured value of its column.
    """

    ours: str
    published: str = ""
    is_best: bool = False

    def __str__(self) -> str:
        return " ".join(part for part in (self.ours, self.published) if part)


def heading(column: Column) -> str:
    """Return the heading of a column, with an arrow in the better direction."""
    return column.heading + ARROWS[column.better]


def cell_rows(table: FilledTable) -> list[list[CellText]]:
    """Return the texts of a table's cells; the first cell of a row is its name."""
    best = [_best_rows(table, index) for index in range(len(table.columns))]
    rows = []
    for number, row in enumerate(table.rows):
        texts = [CellText(row.name + (" †" if row.is_different else ""))]
        for index, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
            published = "" if cell.published is None else f"[{column.text(cell.published)}]"
            texts.append(CellText(_ours(column, cell), published, number in best[index]))
        for published_column in table.spec.published_columns:
            value = published_column.values.get(row.name)
            texts.append(
                CellText("" if value is None else f"[{published_column.column.text(value)}]")
            )
        if _has_counts(table):
            texts.append(CellText(str(len(row.runs))))
        rows.append(texts)
    return rows


def header(table: FilledTable) -> list[str]:
    """Return the headings of the columns; the heading of the row names is empty."""
    published = [
        f"[{column.name}, {column.column.heading}]{ARROWS[column.column.better]}"
        for column in table.spec.published_columns
    ]
    counts = ["n"] if _has_counts(table) else []
    return ["", *map(heading, table.columns), *published, *counts]


def all_notes(table: FilledTable) -> list[str]:
    """Return the notes below a table."""
    is_marked = any(row.is_different for row in table.rows)
    return [*([DIFFERENT_NOTE] if is_marked else []), *table.notes]


def _ours(column: Column, cell: Cell) -> str:
    if cell.diverged:
        return f"diverged ({cell.diverged} of {cell.count})"
    if cell.mean is None:
        return "n/a"
    text = column.text(cell.mean)
    if cell.deviation is not None and not column.is_cost:
        text += f" ± {column.text(cell.deviation)}"
    return text


def _best_rows(table: FilledTable, index: int) -> set[int]:
    """Return the indices of the rows with the best measured value of a column.

    The set is empty if no direction is better, if fewer than two different values were measured,
    if several rows share the lowest cost, or if the rows were measured on different images.
    """
    column = table.columns[index]
    if not column.is_cost and not _has_same_images(table, index):
        return set()
    means = {number: row.cells[index].mean for number, row in enumerate(table.rows)}
    measured = {number: mean for number, mean in means.items() if mean is not None}
    if column.better == "neither" or len(set(measured.values())) < 2:
        return set()
    best = max(measured.values()) if column.better == "higher" else min(measured.values())
    rows = {number for number, mean in measured.items() if mean == best}
    return set() if column.is_cost and len(rows) > 1 else rows


def _has_same_images(table: FilledTable, index: int) -> bool:
    """Return whether the rows with a value in a column were measured on the same images."""
    rows = [row for row in table.rows if row.cells[index].mean is not None]
    results = [run.result for row in rows for run in row.runs]
    images = {result.images_sha256 for result in results}
    if None not in images:
        return len(images) <= 1
    data = {result.data_sha256 for result in results}  # records without a digest of the images
    return len(images) <= 2 and len(data) <= 1


def _has_counts(table: FilledTable) -> bool:
    """Return whether rows have different numbers of runs; a column then lists the numbers."""
    return len({len(row.runs) for row in table.rows if row.runs}) > 1


def render_markdown(tables: Sequence[FilledTable], title: str = "") -> str:
    """Return tables as GitHub Markdown; several tables get the title as a heading."""
    several = len(tables) > 1
    lines = [f"# {title}", ""] if title and several else []
    for table in tables:
        lines += [f"{'##' if several else '#'} {table.title}", ""]
        lines += [f"**Warning: {warning}**  " for warning in table.warnings]
        lines += [""] if table.warnings else []
        rows = [[_bold(cell) for cell in row] for row in cell_rows(table)]
        lines += _grid(header(table), rows)
        lines += _expectations(table)
        for curve in table.curves:
            lines += _points_list(curve) if curve.spec.anchor is None else _rates(curve)
        lines += ["", *(f"{note}  " for note in all_notes(table)), ""]
    verdicts = [verdict for table in tables for verdict in table.verdicts]
    if verdicts:
        lines += [NOISE_RULE, ""]
    if remaining := false_discoveries(verdicts):
        lines += [remaining, ""]
    file = tables[0].spec.file if tables else None
    if file is not None and (file.parent / NOTES).is_file():  # the link fits committed tables
        lines += [f"[Explanations of differences](../{NOTES})", ""]
    return "\n".join(lines)


def _bold(cell: CellText) -> str:
    return f"**{cell.ours}**{str(cell)[len(cell.ours) :]}" if cell.is_best else str(cell)


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    marks = ["---"] + ["---:"] * (len(head) - 1)
    escaped = ([text.replace("|", r"\|") for text in row] for row in (head, marks, *rows))
    return [f"| {' | '.join(row)} |" for row in escaped]


def _points_list(curve: FilledCurve) -> list[str]:
    if not curve.lines:
        return []
    lines = [
        f"- {line.name}: {', '.join(f'({x:.4g}, {y:.4g})' for x, y in line.points)}"
        for line in curve.lines
    ]
    return ["", f"{curve.title}:", "", *lines]


def _rates(curve: FilledCurve) -> list[str]:
    if not curve.lines:
        return []
    notes = [f"{note}  " for note in rate_notes(curve)]
    return ["", f"{curve.title}:", "", *_grid(*rate_table(curve)), "", *notes]


def _expectations(table: FilledTable) -> list[str]:
    lines: list[str] = []
    for heading, verdicts in by_origin(table.verdicts).items():
        lines += ["", f"{heading}: {summarize_verdicts(verdicts)}.", ""]
        for verdict in verdicts:
            claim = f": {verdict.expectation.claim}" if verdict.expectation.claim else ""
            detail = f" ({verdict.detail})" if verdict.detail else ""
            lines.append(f"- **{verdict.label}**: {verdict.text}{detail}{claim}")
    return lines


def render_csv(tables: Sequence[FilledTable]) -> str:
    """Return all tables as one CSV with values in full precision.

    Mean, deviation and published value are separate fields. The fields are the columns of all
    tables, then published columns. Further rows are the expectations with the verdict in the last
    field, the points of curves, and the BD-rates against the anchor (rounded to 1e-6 %).
    """
    names = list(dict.fromkeys(column.name for table in tables for column in table.columns))
    parts = ("", " deviation", " published")
    fields = ["table", "row", "n", *(f"{name}{part}" for name in names for part in parts)]
    published_fields = [
        _published_field(published_column)
        for table in tables
        for published_column in table.spec.published_columns
    ]
    fields += dict.fromkeys(published_fields)
    curves = [curve for table in tables for curve in table.curves]
    fields += _CURVE_FIELDS if curves else []
    fields += _RATE_FIELDS if any(curve.spec.anchor is not None for curve in curves) else []
    file = io.StringIO()
    writer = csv.DictWriter(file, [*fields, "flag", "expectation"], restval="", lineterminator="\n")
    writer.writeheader()
    for table in tables:
        flag = " ".join(table.warnings)
        for row in table.rows:
            line: dict[str, object] = {"table": table.title, "row": row.name, "n": len(row.runs)}
            line["flag"] = flag
            for column, cell in zip(table.columns, row.cells, strict=True):
                mean = math.nan if cell.diverged else cell.mean
                values = (mean, cell.deviation, cell.published)
                for part, value in zip(parts, values, strict=True):
                    line[f"{column.name}{part}"] = "" if value is None else repr(float(value))
            for published_column in table.spec.published_columns:
                if row.name in published_column.values:
                    line[_published_field(published_column)] = repr(
                        published_column.values[row.name]
                    )
            writer.writerow(line)
        for verdict in table.verdicts:
            line = {"table": table.title, "row": verdict.text}
            line["expectation"] = verdict.label
            writer.writerow(line)
        writer.writerows(_points(table))
        writer.writerows(_bd_rates(table))
    return file.getvalue()


def _published_field(column: PublishedColumn) -> str:
    return f"{column.name} {column.metric} published"


def _points(table: FilledTable) -> Iterator[dict[str, object]]:
    """Yield a line of CSV for each point of a table's curves."""
    for curve in table.curves:
        for line in curve.lines:
            part = " published" if line.is_published else ""
            for x, y in line.points:
                place: dict[str, object] = {"table": table.title, "row": line.row}
                values = {f"x{part}": repr(x), f"y{part}": repr(y)}
                yield {**place, "curve": curve.spec.name, **values}


def _bd_rates(table: FilledTable) -> Iterator[dict[str, object]]:
    """Yield a line of CSV for each line of a curve with an anchor."""
    for curve in table.curves:
        for line in curve.lines if curve.spec.anchor is not None else ():
            values: dict[str, object] = {"table": table.title, "row": line.name}
            values |= {"curve": curve.spec.name, "anchor": curve.spec.anchor}
            for method in METHODS:
                rate = curve.bd_rate_of(line, method)
                if rate.mean is None:
                    values["BD-rate missing"] = rate.reason
                    continue
                values[f"BD-rate {method}"] = _rounded(rate.mean)
                if rate.deviation is not None:
                    values[f"BD-rate {method} deviation"] = _rounded(rate.deviation)
            yield values


def _rounded(percent: float) -> str:
    """Return a BD-rate rounded to 1e-6 %: fits differ between processors from the tenth digit."""
    return repr(round(percent, 6))
