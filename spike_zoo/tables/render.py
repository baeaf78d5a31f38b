"""Filled tables as Markdown and CSV, and the texts of cells that every form shares."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING

from spike_zoo.tables.columns import ARROWS
from spike_zoo.tables.curves import curve_lists
from spike_zoo.tables.expect import NOISE_RULE, false_discoveries, sum_up
from spike_zoo.tables.rates import rate_notes, rate_table, rate_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.filled import Cell, FilledRow, FilledTable
    from spike_zoo.tables.spec import PublishedColumn

NOT_MEASURED = "n/a"
STANDS_OUT = " †"
_CURVE_FIELDS = ["curve", "x", "y", "x published", "y published"]
_RATE_FIELDS = [
    *("anchor", "BD-rate cubic", "BD-rate cubic deviation"),
    *("BD-rate pchip", "BD-rate pchip deviation", "BD-rate missing"),
]
STANDS_OUT_NOTE = "† other data or another profile than most rows."


def heading(column: Column) -> str:
    """Return what stands above a column; the arrow says which way is better."""
    return column.heading + ARROWS[column.better]


def ours_text(column: Column, cell: Cell) -> str:
    """Return what was measured here, with its deviation over seeds."""
    if cell.diverged:
        return f"diverged ({cell.diverged} of {cell.count})"
    if cell.mean is None:
        return NOT_MEASURED
    text = column.text(cell.mean)
    if cell.deviation is not None and not column.is_cost:
        text += f" ± {column.text(cell.deviation)}"
    return text


def cell_text(column: Column, cell: Cell) -> str:
    """Return one cell: ours ± deviation, the published value in brackets."""
    ours = ours_text(column, cell)
    if cell.published is None:
        return ours
    return f"{ours} [{column.text(cell.published)}]"


def best_rows(table: FilledTable, index: int) -> set[int]:
    """Return the rows with the best measured value of a column.

    None where no way is better, where fewer than two rows or all alike were measured, or where
    several rows share the lowest cost.
    """
    better = table.columns[index].better
    means = {number: row.cells[index].mean for number, row in enumerate(table.rows)}
    measured = {number: mean for number, mean in means.items() if mean is not None}
    if better == "neither" or len(set(measured.values())) < 2:
        return set()
    best = max(measured.values()) if better == "higher" else min(measured.values())
    rows = {number for number, mean in measured.items() if mean == best}
    return set() if table.columns[index].is_cost and len(rows) > 1 else rows


def has_counts(table: FilledTable) -> bool:
    """Tell whether rows have different numbers of runs, so that a column must say how many."""
    return len({len(row.runs) for row in table.rows if row.runs}) > 1


def header(table: FilledTable) -> list[str]:
    """Return what stands above the columns, the rows' names first."""
    counts = ["n"] if has_counts(table) else []
    theirs = [
        f"[{one.name}, {one.column.heading}]{ARROWS[one.column.better]}"
        for one in table.spec.published_columns
    ]
    return ["", *(heading(column) for column in table.columns), *theirs, *counts]


def published_texts(table: FilledTable, row: FilledRow) -> list[str]:
    """Return a row's cells in the columns of others, in brackets; empty where they have none."""
    return [
        f"[{one.column.text(one.values[row.name])}]" if row.name in one.values else ""
        for one in table.spec.published_columns
    ]


def row_name(row: FilledRow) -> str:
    """Return a row's name, marked where it stands out."""
    return row.name + (STANDS_OUT if row.stands_out else "")


def cells_as_text(table: FilledTable, emphasis: str = "") -> list[list[str]]:
    """Return the table's rows as text, best values between two emphasis marks."""
    best = [best_rows(table, index) for index in range(len(table.columns))]
    rows = []
    for number, row in enumerate(table.rows):
        texts = [row_name(row)]
        for index, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
            mark = emphasis if number in best[index] else ""
            text = cell_text(column, cell)
            if mark:  # ours alone: the published value is not what is best here
                ours = ours_text(column, cell)
                text = f"{mark}{ours}{mark}{text[len(ours) :]}"
            texts.append(text)
        texts += published_texts(table, row)
        rows.append([*texts, *([str(len(row.runs))] if has_counts(table) else [])])
    return rows


def all_notes(table: FilledTable) -> list[str]:
    """Return what stands below a table."""
    marked = any(row.stands_out for row in table.rows)
    return [*([STANDS_OUT_NOTE] if marked else []), *table.notes]


def render_markdown(tables: Sequence[FilledTable], title: str = "") -> str:
    """Return tables as GitHub Markdown; a title stands above several."""
    several = len(tables) > 1
    lines = [f"# {title}", ""] if title and several else []
    for table in tables:
        head = header(table)
        lines += [f"{'##' if several else '#'} {table.title}", ""]
        lines += [f"**Warning: {warning}**  " for warning in table.warnings]
        lines += [""] if table.warnings else []
        lines += [_line(head), _line(["---"] + ["---:"] * (len(head) - 1))]
        lines += [_line(row) for row in cells_as_text(table, "**")]
        lines += _expectations(table)
        lines += curve_lists([curve for curve in table.curves if curve.spec.anchor is None])
        lines += _rates(table)
        lines += ["", *(f"{note}  " for note in all_notes(table)), ""]
    verdicts = [verdict for table in tables for verdict in table.verdicts]
    if verdicts:
        lines += [NOISE_RULE, ""]
    if remaining := false_discoveries(verdicts):
        lines += [remaining, ""]
    return "\n".join(lines)


def render_csv(tables: Sequence[FilledTable]) -> str:
    """Return tables as one CSV: full precision, mean, deviation and published value apart.

    The columns of all tables stand beside each other, those of others last, empty where a table has
    no such column; the expectations follow as rows of their own, judged in the last column, and
    where there are curves, each of their points, and the BD-rates (to 1e-6 %) of each against its
    anchor.
    """
    names = list(dict.fromkeys(column.name for table in tables for column in table.columns))
    parts = ("", " deviation", " published")
    fields = ["table", "row", "n", *(f"{name}{part}" for name in names for part in parts)]
    theirs = [_their_field(one) for table in tables for one in table.spec.published_columns]
    fields += dict.fromkeys(theirs)
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
            for one in table.spec.published_columns:
                if row.name in one.values:
                    line[_their_field(one)] = repr(one.values[row.name])
            writer.writerow(line)
        for verdict in table.verdicts:
            line = {"table": table.title, "row": verdict.text}
            line["expectation"] = verdict.said
            writer.writerow(line)
        writer.writerows(_points(table))
        writer.writerows(_bd_rates(table))
    return file.getvalue()


def _their_field(one: PublishedColumn) -> str:
    return f"{one.name} {one.column.key} published"


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
    """Yield a line of CSV for each line of a drawing whose curve has an anchor."""
    for curve in table.curves:
        for line in curve.lines if curve.spec.anchor is not None else ():
            values: dict[str, object] = {"table": table.title, "row": line.name}
            values |= {"curve": curve.spec.name, "anchor": curve.spec.anchor}
            for method, found in rate_values(curve, table.rows, line).items():
                if found.mean is None:
                    values["BD-rate missing"] = found.reason
                    continue
                values[f"BD-rate {method}"] = _steady(found.mean)
                if found.deviation is not None:
                    values[f"BD-rate {method} deviation"] = _steady(found.deviation)
            yield values


def _steady(percent: float) -> str:
    """Return a BD-rate as every processor has it: fits differ from the tenth digit on."""
    return repr(round(percent, 6))


def _rates(table: FilledTable) -> list[str]:
    """Return the curves that have an anchor as tables: points and BD-rates."""
    lines: list[str] = []
    for curve in table.curves:
        if curve.spec.anchor is None or not curve.lines:
            continue
        head, body = rate_table(curve, table.rows)
        lines += ["", f"{curve.title}:", "", _line(head)]
        lines += [_line(["---"] + ["---:"] * (len(head) - 1)), *map(_line, body), ""]
        lines += [f"{note}  " for note in rate_notes(curve, table.rows)]
    return lines


def _expectations(table: FilledTable) -> list[str]:
    if not table.verdicts:
        return []
    lines = ["", f"Expected: {sum_up(table.verdicts)}.", ""]
    for verdict in table.verdicts:
        claim = f": {verdict.expectation.claim}" if verdict.expectation.claim else ""
        detail = f" ({verdict.detail})" if verdict.detail else ""
        lines.append(f"- **{verdict.said}**: {verdict.text}{detail}{claim}")
    return lines


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |"
