"""Filled tables as one HTML page: numbers, verdicts, drawings, pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from spike_zoo.media.page import Page
from spike_zoo.tables.curves import curve_drawings
from spike_zoo.tables.expect import NOISE_RULE, Judgement, false_discoveries, sum_up
from spike_zoo.tables.pictures import sample_strips
from spike_zoo.tables.plot import cost_plots
from spike_zoo.tables.rates import rate_notes, rate_table
from spike_zoo.tables.render import (
    all_notes,
    best_rows,
    has_counts,
    header,
    ours_text,
    published_texts,
    row_name,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.expect import Verdict
    from spike_zoo.tables.filled import Cell, FilledTable
    from spike_zoo.tables.spec import TableFile

_SIGNS = {
    Judgement.HELD: "✓ ",
    Judgement.NOT_HELD: "✗ ",
    Judgement.NOISE: "≈ ",
    Judgement.UNDECIDABLE: "? ",
    Judgement.NO_MEANING: "∅ ",
    Judgement.NOT_MEASURED: "",
    Judgement.ONE_SEED: "1 ",
}


def table_page(file: TableFile, tables: Sequence[FilledTable]) -> Page:
    """Return the tables of a file as a page of its own."""
    verdicts = [verdict for table in tables for verdict in table.verdicts]
    summary = f"Expected of the rows: {sum_up(verdicts)}." if verdicts else ""
    page = Page(file.title, summary)
    for table in tables:
        _add_table(page, table, is_only=len(tables) == 1)
    if verdicts:
        page.add_section("What is noise", NOISE_RULE)
        page.add_text(false_discoveries(verdicts))
    return page


def _add_table(page: Page, table: FilledTable, *, is_only: bool) -> None:
    page.add_section("Numbers" if is_only else table.title)
    for warning in table.warnings:
        page.add_warning(warning)
    page.add_table(header(table), _cells(table), notes=all_notes(table))
    if table.verdicts:
        rows = [
            [_claim(one), f"{_SIGNS[one.judgement]}{one.said}", one.detail or "n/a"]
            for one in table.verdicts
        ]
        caption = f"Expected: {sum_up(table.verdicts)}"
        page.add_table(["claim", "judgement", "difference"], rows, caption=caption)
    for curve in table.curves:
        if curve.spec.anchor is not None and curve.lines:
            head, body = rate_table(curve, table.rows)
            notes = rate_notes(curve, table.rows)
            page.add_table(head, body, notes=notes, caption=curve.title)
    drawings = [*cost_plots(table), *curve_drawings(table.curves)]
    if drawings:
        page.add_drawings(drawings)
    samples, strips = sample_strips(table)
    if strips:
        page.add_strips(samples, strips)


def _claim(verdict: Verdict) -> Markup:
    """Return a claim in words, the source's below it."""
    quoted = verdict.expectation.claim
    text = Markup("{}").format(verdict.text)
    return text + Markup("<small>{}</small>").format(quoted) if quoted else text


def _cells(table: FilledTable) -> list[list[object]]:
    best = [best_rows(table, index) for index in range(len(table.columns))]
    rows = []
    for number, row in enumerate(table.rows):
        cells: list[object] = [row_name(row)]
        cells += [
            _cell(column, cell, is_best=number in best[index])
            for index, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True))
        ]
        cells += published_texts(table, row)
        rows.append([*cells, *([len(row.runs)] if has_counts(table) else [])])
    return rows


def _cell(column: Column, cell: Cell, *, is_best: bool) -> Markup:
    """Return ours, bold where best, and the published value in smaller letters below it."""
    ours = Markup("<strong>{}</strong>" if is_best else "{}").format(ours_text(column, cell))
    if cell.published is None:
        return ours
    return ours + Markup("<small>[{}]</small>").format(column.text(cell.published))
