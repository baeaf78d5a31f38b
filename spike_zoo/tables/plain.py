"""Filled tables as plain values, for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spike_zoo.tables.expect import Verdict
    from spike_zoo.tables.filled import FilledRow, FilledTable


def as_plain(table: FilledTable) -> dict[str, Any]:
    """Return a table as plain values, for programs: cells by column, None where nothing is."""
    return {
        "title": table.title,
        "rows": [_row(table, row) for row in table.rows],
        "published_columns": [
            {"name": one.name, "metric": one.column.key, "source": one.source}
            for one in table.spec.published_columns
        ],
        "expectations": [_verdict(one) for one in table.verdicts],
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
        "cells": {
            column.name: {
                "mean": cell.mean,
                "deviation": cell.deviation,
                "published": cell.published,
                "diverged": cell.diverged,
            }
            for column, cell in cells
        },
        "published_columns": {
            one.name: one.values.get(row.name) for one in table.spec.published_columns
        },
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    recordings = verdict.recordings
    return {
        "text": verdict.text,
        "judgement": verdict.judgement.value,
        "difference": verdict.difference,
        "noise": verdict.noise,
        "seeds": verdict.seeds,
        "p_value": verdict.p_value,
        "recordings": None
        if recordings is None
        else {
            "judgement": recordings.judgement.value,
            "count": recordings.count,
            "p_value": recordings.p_value,
        },
    }
