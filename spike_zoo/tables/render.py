"""Markdown, CSV and JSON of filled tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from spike_zoo.tables.claims import CLAIM_RULE, summarize_claims
from spike_zoo.tables.columns import Column
from spike_zoo.tables.curves import METHODS, FilledCurve, rate_notes, rate_table
from spike_zoo.tables.fill import FilledTable

if TYPE_CHECKING:
    import pandas as pd

NOTES = "NOTES.md"  # in the folder of the table file
DIRTY_NOTE = (
    "Code state unknown: a commit with '-dirty' had changes that were not committed, for example "
    "records or documents; one with '-missing' is not in the history of the repository; 'no "
    "commit' is a run outside of it. The records state the complete configuration."
)
DIFFERENT_NOTE = "† other data or another profile than most rows."
_CURVE_FIELDS = ("curve", "x", "y", "x published", "y published")
_RATE_FIELDS = (
    *("anchor", "BD-rate cubic", "BD-rate cubic deviation"),
    *("BD-rate pchip", "BD-rate pchip deviation", "BD-rate missing"),
)


def text_rows(table: FilledTable) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the rows of texts of a table; the best values are ``**bold**``."""
    columns, published = table.spec.columns, table.spec.published_columns
    has_counts = len({len(runs) for runs in table.runs.values() if runs}) > 1
    head = ["", *(column.title for column in columns), *(other.title for other in published)]
    best = [_best_rows(table, column) for column in columns]
    rows = []
    for name, runs in table.runs.items():
        texts = [name + (" †" if name in table.different else "")]
        for column, best_rows in zip(columns, best, strict=True):
            cell = table.cells.loc[(name, column.name), :]
            text = measured_text(column, cell)
            text = f"**{text}**" if name in best_rows else text
            theirs = cell["published"]
            texts.append(text if math.isnan(theirs) else f"{text} [{column.text(theirs)}]")
        for other in published:
            value = other.values.get(name)
            texts.append("" if value is None else f"[{other.column.text(value)}]")
        rows.append(texts + [str(len(runs))] * has_counts)
    return head + ["n"] * has_counts, rows


def all_notes(table: FilledTable) -> list[str]:
    """Return the notes below a table."""
    return [*([DIFFERENT_NOTE] if table.different else []), *table.notes]


def measured_text(column: Column, cell: pd.Series) -> str:
    """Return the mean of a cell with its deviation, or ``n/a``."""
    if cell["diverged"]:
        return f"diverged ({cell['diverged']:.0f} of {cell['count']:.0f})"
    if math.isnan(cell["mean"]):
        return "n/a"
    is_varied = not (math.isnan(cell["deviation"]) or column.is_cost)
    return column.text(cell["mean"]) + (f" ± {column.text(cell['deviation'])}" if is_varied else "")


def _best_rows(table: FilledTable, column: Column) -> set[str]:
    """Return the rows with the best measured value of a column.

    The set is empty if no direction is better, if fewer than two different values were measured,
    if several rows share the lowest cost, or if the rows were measured on different images.
    """
    means = table.cells["mean"].xs(column.name, level=1).dropna()
    if column.better == "neither" or means.nunique() < 2:
        return set()
    results = [run.result for name in means.index for run in table.runs[name]]
    images = {result.images_sha256 for result in results}
    data = {result.data_sha256 for result in results}  # for records without a digest of the images
    is_comparable = len(images) <= 2 and len(data) <= 1 if None in images else len(images) <= 1
    best = means.index[means == (means.max() if column.better == "higher" else means.min())]
    is_unique = len(best) == 1
    return set(best) if (is_unique if column.is_cost else is_comparable) else set()


def render_markdown(tables: Sequence[FilledTable], title: str = "") -> str:
    """Return tables as GitHub Markdown; several tables get the title as a heading."""
    level = "##" if len(tables) > 1 else "#"
    lines = [f"# {title}", ""] if title and len(tables) > 1 else []
    for table in tables:
        lines += [f"{level} {table.title}", ""]
        lines += [f"**Warning: {warning}**  " for warning in table.warnings]
        lines += [""] if table.warnings else []
        lines += [*markdown_grid(*text_rows(table)), *_claims(table)]
        for curve in filter(lambda curve: curve.lines, table.curves):
            lines += ["", f"{curve.title}:", "", *_curve_lines(curve)]
        lines += ["", *(f"{note}  " for note in all_notes(table)), ""]
    results = [result for table in tables for result in table.claims]
    lines += [CLAIM_RULE, ""] if results else []
    if any("Code state unknown" in line for line in lines):
        lines += [DIRTY_NOTE, ""]
    file = tables[0].spec.file if tables else None
    if file is not None and (file.parent / NOTES).is_file():  # the link fits committed tables
        lines += [f"[Explanations of differences](../{NOTES})", ""]
    return "\n".join(lines)


def markdown_grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; all columns but the first are aligned right."""
    marks = ["---"] + ["---:"] * (len(head) - 1)
    escaped = ([text.replace("|", r"\|") for text in row] for row in (head, marks, *rows))
    return [f"| {' | '.join(row)} |" for row in escaped]


def _curve_lines(curve: FilledCurve) -> Iterator[str]:
    if curve.spec.anchor is not None:
        yield from (*markdown_grid(*rate_table(curve)), "")
        yield from (f"{note}  " for note in rate_notes(curve))
        return
    for line in curve.lines:
        yield f"- {line.name}: {', '.join(f'({x:.4g}, {y:.4g})' for x, y in line.points)}"


def _claims(table: FilledTable) -> Iterator[str]:
    for is_paper, heading in ((True, "Claims of the paper"), (False, "Our claims")):
        results = [result for result in table.claims if result.claim.paper == is_paper]
        if not results:
            continue
        yield from ("", f"{heading}: {summarize_claims(results)}.", "")
        for result in results:
            statement = f": {result.claim.statement}" if result.claim.statement else ""
            detail = f" ({result.detail})" if result.detail else ""
            yield f"- **{result.label}**: {result.text}{detail}{statement}"


def render_csv(tables: Sequence[FilledTable]) -> str:
    """Return all numbers of tables in full precision as CSV, with empty fields for missing values.

    The result of a diverged run is ``nan``. The columns are mean, deviation and published value for
    each column of the tables, then published columns. Each row is followed by the claims with their
    results, the points of curves, and the BD-rates against the anchor (rounded to 1e-6 %).
    """
    names = dict.fromkeys(column.name for table in tables for column in table.spec.columns)
    parts = ("", " deviation", " published")
    published = [other.csv_heading for table in tables for other in table.spec.published_columns]
    curves = [curve for table in tables for curve in table.curves]
    fields = [
        *("table", "row", "n"),
        *(f"{name}{part}" for name in names for part in parts),
        *dict.fromkeys(published),
        *(_CURVE_FIELDS if curves else ()),
        *(_RATE_FIELDS if any(curve.spec.anchor is not None for curve in curves) else ()),
        *("flag", "result"),
    ]
    import pandas as pd  # takes half a second

    lines = [{"table": table.title, **line} for table in tables for line in _lines(table)]
    frame = pd.DataFrame(lines, columns=fields, dtype=object)
    return str(frame.to_csv(index=False, lineterminator="\n"))


def _lines(table: FilledTable) -> Iterator[dict[str, Any]]:
    """Yield the non-empty fields of each line of :func:`render_csv`."""
    cells = table.cells.astype(object).where(table.cells.notna(), None)
    for name, runs in table.runs.items():
        line: dict[str, Any] = {"row": name, "n": len(runs), "flag": " ".join(table.warnings)}
        for column in table.spec.columns:
            cell = cells.loc[(name, column.name), :]
            line[column.name] = "nan" if cell["diverged"] else cell["mean"]
            line[f"{column.name} deviation"] = cell["deviation"]
            line[f"{column.name} published"] = cell["published"]
        for other in table.spec.published_columns:
            line[other.csv_heading] = other.values.get(name)
        yield line
    yield from ({"row": result.text, "result": result.label} for result in table.claims)
    for curve in table.curves:
        for one in curve.lines:
            part = " published" if one.is_published else ""
            for x, y in one.points:
                yield {"row": one.row, "curve": curve.spec.name, f"x{part}": x, f"y{part}": y}
    for curve in (curve for curve in table.curves if curve.spec.anchor is not None):
        for one in curve.lines:
            line = {"row": one.name, "curve": curve.spec.name, "anchor": curve.spec.anchor}
            for method in METHODS:
                rate = curve.bd_rate(one, method)
                line["BD-rate missing"] = rate.reason or None
                # fits differ between processors from the tenth digit
                line[f"BD-rate {method}"] = rate.mean and round(rate.mean, 6)
                line[f"BD-rate {method} deviation"] = rate.deviation and round(rate.deviation, 6)
            yield line
