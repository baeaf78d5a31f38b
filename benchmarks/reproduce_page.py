"""Write the tables of docs/reproduce.md: ``python -m benchmarks.reproduce_page``."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from benchmarks.claims import PROFILES, ROOT, committed_tables
from spike_zoo.metrics.speeds import photograph_of
from spike_zoo.tables import read_table_file
from spike_zoo.tables.render import markdown_grid, measured_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.fill import FilledTable

PAGE: Final = ROOT / "docs" / "reproduce.md"
#: The part of the page that this script writes.
TABLES: Final = re.compile(r"(?<=<!-- tables -->\n).*(?=<!-- end of tables -->)", re.DOTALL)
_HEAD: Final = ("row", "metric", "published", "ours", "difference", "seeds", "photographs")


def page_of(tables: Mapping[Path, Sequence[FilledTable]], page: str) -> str:
    """Return the page with its tables replaced by the published values of the given tables."""
    lines = [line for path in tables for line in _section(path, tables[path])]
    text = "\n".join(["", *lines, ""])
    return TABLES.sub(lambda _: text, page)


def published_text(column: Column, value: float) -> str:
    """Format a published value with all its digits: 26.893 dB, not 26.89."""
    text, scaled = column.text(value), value * column.scale
    return text if float(text.replace(",", "")) == scaled else f"{scaled:,.6g}"


def _section(path: Path, tables: Sequence[FilledTable]) -> Iterator[str]:
    """Yield the lines of a table file; none if it has no published values."""
    listed = [table for number, table in enumerate(tables) if _is_listed(tables, number)]
    if listed:
        yield from (f"## {read_table_file(path).title}", "")
    before: dict[str, str | None] = {}
    for table in listed:
        spec = table.spec
        folder = f"../{path.relative_to(ROOT).parent}"
        command = (spec.command or "").replace("{profile}", PROFILES[path.stem])
        columns = spec.published_columns
        sources = dict.fromkeys((spec.source, *(column.source for column in columns)))
        facts = {
            "Source": ". ".join(source for source in sources if source) + ".",
            "Protocol": spec.protocol,
            "Difference": spec.differs,
            "Command": f"`{command}`, [all rows]({folder}/results/{path.stem}.md)",
        }
        yield from (f"### {table.title}", "")
        repeated = [name for name in facts if name != "Command" and facts[name] == before.get(name)]
        yield from (f"- **{name}**: {facts[name]}" for name in facts if name not in repeated)
        yield from [f"- **{', '.join(repeated)}**: as above."] if repeated else []
        yield ""
        before = facts
        if rows := [*_values(table), *_differences(table)]:
            yield from (*markdown_grid(_HEAD, rows), "")
        if columns:
            head = ["published, not measured", *(column.title for column in columns)]
            yield from (*markdown_grid(head, _columns(table)), "")
        for curve in (curve for curve in spec.curves if curve.published):
            counts = {row.name: len(row.curves[curve.name]) for row in spec.rows if row.curves}
            names = ", ".join(f"{name} ({count})" for name, count in counts.items())
            link = f"[{curve.published}]({folder}/{curve.published})"
            yield from (f"Published points of curves: {names}, in {link}.", "")


def _is_listed(tables: Sequence[FilledTable], number: int) -> bool:
    """Return whether a table has published values that no other table of the file has."""
    own, *others = [
        _entries(table) for table in (tables[number], *tables[:number], *tables[number + 1 :])
    ]
    is_repeated = own in others[:number] or any(own < other for other in others)
    return bool(own) and not is_repeated


def _entries(table: FilledTable) -> set[tuple[object, ...]]:
    """Return all published values of a table; rows with the same variant are the same row."""
    return {
        (row.variant or row.name, row.archive, *item)
        for row in table.spec.rows
        for item in (*row.published.items(), *row.curves.items())
    } | {
        *((column.name, column.metric) for column in table.spec.published_columns),
        *map(tuple, _differences(table)),
    }


def _values(table: FilledTable) -> Iterator[list[str]]:
    """Yield a line for each published value of a row."""
    columns = {column.name: column for column in table.spec.columns}
    for row in table.spec.rows:
        images = (image for run in table.runs[row.name] for image in run.images)
        photographs = {photograph_of(image["name"]) for image in images}
        for name, value in row.published.items():
            column, cell = columns[name], table.cells.loc[(row.name, name), :]
            ours, seeds, difference = "not measured", "", cell["mean"] - value
            if cell["count"] and table.is_exact(row.name, column):
                ours = column.text(cell["mean"])
            elif cell["count"]:
                ours, seeds = measured_text(column, cell), f"{cell['count']:.0f}"
            count = "" if column.is_cost else f"{len(photographs) or ''}"
            texts = row.name, column.heading, published_text(column, value), ours
            yield [*texts, _signed(column, difference), seeds, count]


def _signed(column: Column, difference: float) -> str:
    """Format a difference with its sign; empty if it is not known."""
    text = "" if math.isnan(difference) else column.text(abs(difference))
    return f"{'-' if difference < 0 else '+'}{text}" if text else ""


def _differences(table: FilledTable) -> Iterator[list[str]]:
    """Yield a line for each published difference between rows without published values."""
    columns = {column.name: column for column in table.spec.columns}
    published = {row.name: row.published for row in table.spec.rows}
    for result in table.claims:
        claim = result.claim
        if claim.reported is not None and claim.by not in published[claim.row]:
            column, ours = columns[claim.by], result.difference
            yield [
                f"{claim.row}, gain over {claim.better_than}",
                column.heading,
                f"+{published_text(column, claim.reported)}",
                "not measured" if ours is None else f"{ours:+.2f}",
                "" if ours is None else _signed(column, ours - claim.reported),
                f"{result.seeds or ''}",
                f"{result.photographs.size}" if result.photographs else "",
            ]


def _columns(table: FilledTable) -> Iterator[list[str]]:
    """Yield a line for each row with values in published columns."""
    columns = table.spec.published_columns
    for name in dict.fromkeys(name for column in columns for name in column.values):
        values = ((column.column, column.values.get(name)) for column in columns)
        yield [name, *("" if one is None else published_text(key, one) for key, one in values)]


def main() -> None:
    """Write the page."""
    page = page_of(committed_tables(), PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
