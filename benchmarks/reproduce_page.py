"""Write the tables of docs/reproduce/*.md: ``python -m benchmarks.reproduce_page``."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.claims import PROFILES, ROOT, committed_tables
from spike_zoo.media.images import save_image
from spike_zoo.metrics.speeds import photograph_of
from spike_zoo.tables import read_table_file
from spike_zoo.tables.curves import curves_chart
from spike_zoo.tables.render import markdown_grid, measured_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.fill import FilledTable

PAGES: Final = ROOT / "docs" / "reproduce"
CODED: Final = "Recognition after compression (Table VII)"
PICTURE: Final = ROOT / "docs" / "pictures" / "recognition-coded.png"
#: The part of a page that this script writes.
TABLES: Final = re.compile(r"(?<=<!-- tables -->\n).*(?=<!-- end of tables -->)", re.DOTALL)
NOT_MEASURED: Final = "not measured"
#: A table with more metrics has a line for each of them.
MOST_METRICS: Final = 4


class Value(NamedTuple):
    """A published value and ours, as texts.

    Attributes:
        row: Name of the row.
        metric: Heading of the metric.
        published: Published value.
        ours: Our mean with its deviation, or ``not measured``.
        seeds: Number of seeds of our value; 0 if it does not depend on them.
        photographs: Number of photographs of our value; 0 if it needs none.
    """

    row: str
    metric: str
    published: str
    ours: str = NOT_MEASURED
    seeds: int = 0
    photographs: int = 0


def pages_of(tables: Mapping[Path, Sequence[FilledTable]]) -> dict[Path, str]:
    """Return each page with its tables replaced by the published values of the given tables."""
    lines = defaultdict[str, list[str]](list)  # name of a method -> lines of its page
    for path in tables:
        lines[path.parent.name] += _section(path, tables[path])
    pages = {}
    for path in (PAGES / f"{name}.md" for name in lines if lines[name]):
        text = "\n".join(["", *lines[path.stem], ""]).replace("\\", r"\\")
        pages[path] = TABLES.sub(text, path.read_text(encoding="utf-8"))
    return pages


def published_text(column: Column, value: float) -> str:
    """Format a published value with all its digits: 26.893 dB, not 26.89."""
    text, scaled = column.text(value), value * column.scale
    return text if float(text.replace(",", "")) == scaled else f"{scaled:,.6g}"


def _section(path: Path, tables: Sequence[FilledTable]) -> Iterator[str]:
    """Yield the lines of a table file; none if it has no published values."""
    listed = [table for number, table in enumerate(tables) if _is_listed(tables, number)]
    if not listed:
        return
    folder = f"../../{path.relative_to(ROOT).parent}"
    usual = Counter(table.spec.command for table in listed).most_common(1)[0][0]
    yield from (f"## {read_table_file(path).title}", "")
    command = _command(usual, path)
    yield from (f"{command} runs the rows ([all rows]({folder}/results/{path.stem}.md)).", "")
    stated: dict[tuple[str, str], str] = {}  # fact -> title of the first table with it
    for table in listed:
        spec = table.spec
        sources = dict.fromkeys((spec.source, *(one.source for one in spec.published_columns)))
        facts = {
            "Source": ". ".join(source for source in sources if source) + ".",
            "Protocol": spec.protocol or "",
            "Difference": spec.differs or "",
            "Command": "" if spec.command == usual else _command(spec.command, path),
        }
        yield from (f"### {table.title}", "", *_facts(facts, stated, table.title), "")
        yield from _grids(table)
        for curve in (curve for curve in spec.curves if curve.published):
            counts = {row.name: len(row.curves[curve.name]) for row in spec.rows if row.curves}
            names = ", ".join(f"{name} ({count})" for name, count in counts.items())
            link = f"[{curve.published}]({folder}/{curve.published})"
            yield from (f"Published points of curves: {names}, in {link}.", "")


def _command(command: str | None, path: Path) -> str:
    return f"`{command or ''}`".replace("{profile}", PROFILES[path.stem])


def _facts(
    facts: Mapping[str, str], stated: dict[tuple[str, str], str], title: str
) -> Iterator[str]:
    """Yield a line for each fact, and one for those that an earlier table has stated."""
    repeated = defaultdict[str, list[str]](list)  # title of an earlier table -> names of facts
    for name, text in ((name, text) for name, text in facts.items() if text):
        if (name, text) in stated:
            repeated[stated[name, text]].append(name)
        else:
            stated[name, text] = title
            yield f"- **{name}**: {text}"
    for other, names in repeated.items():
        yield f"- **{', '.join(names)}**: as in *{other}*."


def _grids(table: FilledTable) -> Iterator[str]:
    """Yield the rows with a value of ours, then the other published values."""
    values = [*_values(table), *_differences(table)]
    measured = {value.row for value in values if value.ours != NOT_MEASURED}
    own = [value for value in values if value.row in measured]
    yield from _measured(own) if own else ()
    others = [value for value in values if value.row not in measured]
    others += [
        Value(name, column.title, published_text(column.column, value))
        for column in table.spec.published_columns
        for name, value in column.values.items()
    ]
    if others:
        metrics = list(dict.fromkeys(value.metric for value in others))
        texts = {(value.row, value.metric): value.published for value in others}
        rows = dict.fromkeys(value.row for value in others)
        cells = [[row, *(texts.get((row, metric), "") for metric in metrics)] for row in rows]
        yield from (*markdown_grid([f"published, {NOT_MEASURED}", *metrics], cells), "")


def _measured(values: Sequence[Value]) -> Iterator[str]:
    """Yield a table of published values beside ours, without empty columns."""
    rows = dict.fromkeys(value.row for value in values)
    metrics = dict.fromkeys(value.metric for value in values)
    head = ["published", *(text for metric in metrics for text in (metric, "ours"))]
    lines: list[list[str]] = []
    for row in rows:
        own = {value.metric: value for value in values if value.row == row}
        pairs = ((own[one].published, own[one].ours) if one in own else ("", "") for one in metrics)
        lines.append([row, *(text for pair in pairs for text in pair), *_counts(own.values())])
    if len(metrics) > MOST_METRICS:
        head = ["published", "metric", "value", "ours"]
        lines = [[*map(str, value[:4]), *_counts([value])] for value in values]
        for before, after in reversed([*pairwise(lines)]):  # names a row once
            after[0] = "" if before[0] == after[0] else after[0]
    head += ["seeds", "photographs"]
    shared = [n for n in (-2, -1) if len({line[n] for line in lines}) == 1]
    note = ", ".join(f"{head[n]}: {lines[0][n]}" for n in shared if lines[0][n])
    shown = [n for n in range(-len(head), 0) if n not in shared and any(line[n] for line in lines)]
    cells = [[line[n] for n in shown] for line in (head, *lines)]
    yield from (*markdown_grid(cells[0], cells[1:]), "")
    yield from (f"{note.capitalize()}.", "") if note else ()


def _counts(values: Iterable[Value]) -> list[str]:
    """Return the numbers of seeds and photographs; empty for a row that needs none."""
    return [str(max(counts) or "") for counts in zip(*(value[4:] for value in values), strict=True)]


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
        *_differences(table),
    }


def _values(table: FilledTable) -> Iterator[Value]:
    """Yield each published value of a row."""
    columns = {column.name: column for column in table.spec.columns}
    for row in table.spec.rows:
        images = (image for run in table.runs[row.name] for image in run.images)
        photographs = {photograph_of(image["name"]) for image in images}
        for name, value in row.published.items():
            column, cell = columns[name], table.cells.loc[(row.name, name), :]
            ours, seeds = NOT_MEASURED, 0
            if cell["count"] and table.is_exact(row.name, column):
                ours = column.text(cell["mean"])
            elif cell["count"]:
                ours, seeds = measured_text(column, cell), int(cell["count"])
            count = 0 if column.is_cost else len(photographs)
            published = published_text(column, value)
            yield Value(row.name, column.heading, published, ours, seeds, count)


def _differences(table: FilledTable) -> Iterator[Value]:
    """Yield each published difference between rows without published values."""
    columns = {column.name: column for column in table.spec.columns}
    published = {row.name: row.published for row in table.spec.rows}
    for result in table.claims:
        claim = result.claim
        if claim.reported is not None and claim.by not in published[claim.row]:
            column, ours = columns[claim.by], result.difference
            yield Value(
                f"{claim.row}, gain over {claim.better_than}",
                column.heading,
                f"+{published_text(column, claim.reported)}",
                NOT_MEASURED if ours is None else f"{ours:+.2f}",
                result.seeds or 0,
                result.photographs.size if result.photographs else 0,
            )


def main() -> None:
    """Write the pages, and the charts of recognition after compression."""
    tables = committed_tables()
    for path, page in pages_of(tables).items():
        path.write_text(page, encoding="utf-8")
    coded = next(one for filled in tables.values() for one in filled if one.spec.title == CODED)
    save_image(curves_chart(coded.curves), PICTURE, overwrite=True)


if __name__ == "__main__":
    main()
