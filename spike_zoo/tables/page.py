"""HTML page and JSON-compatible values of filled tables."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from spike_zoo.media.page import Page
from spike_zoo.records import result
from spike_zoo.tables.charts import cost_charts, curve_charts
from spike_zoo.tables.rates import rate_notes, rate_table
from spike_zoo.tables.render import CellText, all_notes, cell_rows, header
from spike_zoo.tables.verdicts import (
    NOISE_RULE,
    Judgement,
    by_origin,
    false_discoveries,
    summarize_verdicts,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.tables.aggregate import FilledRow, FilledTable
    from spike_zoo.tables.spec import TableFile
    from spike_zoo.tables.verdicts import Verdict

#: Folders of reconstructions and ground truth inside a run's folder.
RECONSTRUCTIONS, TRUTHS = Path("images", result.RECONSTRUCTIONS), Path("images", result.TRUTHS)
MOST_SAMPLES: Final = 3
TRUTH_NAME: Final = "ground truth"
_CELL_KEYS: Final = ("mean", "deviation", "published", "diverged")
_VERDICT_KEYS: Final = ("text", "judgement", "difference", "noise", "seeds", "p_value")
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
    """Return the tables of a file as a page."""
    verdicts = [verdict for table in tables for verdict in table.verdicts]
    summary = f"Claims: {summarize_verdicts(verdicts)}." if verdicts else ""
    page = Page(file.title, summary)
    for table in tables:
        _add_table(page, table, is_only=len(tables) == 1)
    if verdicts:
        page.add_section("What is noise", NOISE_RULE)
        page.add_text(false_discoveries(verdicts))
    return page


def _add_table(page: Page, table: FilledTable, *, is_only: bool) -> None:
    page.add_section("Numbers" if is_only else table.title)
    add_numbers(page, table)
    for heading, verdicts in by_origin(table.verdicts).items():
        claims = [
            [
                _claim(verdict),
                f"{_SIGNS[verdict.judgement]}{verdict.label}",
                verdict.detail or "n/a",
            ]
            for verdict in verdicts
        ]
        caption = f"{heading}: {summarize_verdicts(verdicts)}"
        page.add_table(["claim", "judgement", "difference"], claims, caption=caption)
    for curve in table.curves:
        if curve.spec.anchor is not None and curve.lines:
            page.add_table(*rate_table(curve), notes=rate_notes(curve), caption=curve.title)
    drawings = [*cost_charts(table), *curve_charts(table.curves)]
    if drawings:
        page.add_drawings(drawings)
    samples, strips = sample_strips(table)
    if strips:
        page.add_strips(samples, strips)


def add_numbers(page: Page, table: FilledTable) -> None:
    """Add the warnings, cells and notes of a table to a page."""
    for warning in table.warnings:
        page.add_warning(warning)
    rows = [[_cell(cell) for cell in row] for row in cell_rows(table)]
    page.add_table(header(table), rows, notes=all_notes(table))


def _claim(verdict: Verdict) -> Markup:
    """Return a claim in words, with the statement of the source below it."""
    statement = verdict.expectation.claim
    text = Markup("{}").format(verdict.text)
    return text + Markup("<small>{}</small>").format(statement) if statement else text


def _cell(cell: CellText) -> Markup:
    """Return a cell, bold if it is the best, with the published value in small letters."""
    ours = Markup("<strong>{}</strong>" if cell.is_best else "{}").format(cell.ours)
    return ours + Markup("<small>{}</small>").format(cell.published) if cell.published else ours


def sample_strips(table: FilledTable) -> tuple[list[str], list[tuple[str, list[Path]]]]:
    """Return up to three sample names and, for each row, the pictures of these samples.

    The samples are those that most rows have. A row that lacks one of the pictures is omitted. The
    last strip is the ground truth.
    """
    folders = {row.name: _folder(row) for row in table.rows}
    picture_names = {
        name: [path.name for path in sorted((folder / RECONSTRUCTIONS).glob("*.png"))]
        for name, folder in folders.items()
        if folder is not None
    }
    listed = [sample for samples in picture_names.values() for sample in samples]
    most = max(map(listed.count, listed), default=0)
    samples = sorted({sample for sample in listed if listed.count(sample) == most})[:MOST_SAMPLES]
    strips: list[tuple[str, list[Path]]] = []
    truth: list[Path] = []
    for name, folder in folders.items():
        if folder is None:
            continue
        pictures = [folder / RECONSTRUCTIONS / sample for sample in samples]
        if samples and all(picture.is_file() for picture in pictures):
            strips.append((name, pictures))
            truths = [folder / TRUTHS / sample for sample in samples]
            truth = truths if all(path.is_file() for path in truths) else truth
    if truth:
        strips.append((TRUTH_NAME, truth))
    return [Path(sample).stem for sample in samples], strips


def _folder(row: FilledRow) -> Path | None:
    """Return the folder of a row's first run with pictures on this machine."""
    folders = [run.folder for run in row.runs if run.folder is not None]
    return next((folder for folder in folders if (folder / RECONSTRUCTIONS).is_dir()), None)


def as_plain(table: FilledTable) -> dict[str, Any]:
    """Return a table as JSON-compatible values: cells by column, None for missing values."""
    return {
        "title": table.title,
        "rows": [_row(table, row) for row in table.rows],
        "published_columns": [
            _values(column, "name", "metric", "source") for column in table.spec.published_columns
        ],
        "expectations": [_verdict(verdict) for verdict in table.verdicts],
        "curves": [
            {"title": curve.title, "lines": {line.name: line.points for line in curve.lines}}
            for curve in table.curves
        ],
        "warnings": list(table.warnings),
        "notes": list(table.notes),
    }


def _row(table: FilledTable, row: FilledRow) -> dict[str, Any]:
    cells = zip(table.columns, row.cells, strict=True)
    return {
        "name": row.name,
        "runs": len(row.runs),
        "cells": {column.name: _values(cell, *_CELL_KEYS) for column, cell in cells},
        "published_columns": {
            published.name: published.values.get(row.name)
            for published in table.spec.published_columns
        },
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    recordings = verdict.recordings
    paired_test = {} if recordings is None else _values(recordings, "judgement", "count", "p_value")
    return _values(verdict, *_VERDICT_KEYS) | {"recordings": paired_test or None}


def _values(item: object, *names: str) -> dict[str, Any]:
    """Return attributes by name, enumeration members as their values."""
    values = {name: getattr(item, name) for name in names}
    return {
        name: value.value if isinstance(value, Enum) else value for name, value in values.items()
    }
