"""``table``: results of runs as Markdown, CSV or HTML."""

from __future__ import annotations

from pathlib import Path

from spike_zoo.errors import UsageError
from spike_zoo.media import Page, write_page
from spike_zoo.tables import (
    FilledTable,
    cells_as_text,
    collect_results,
    fill_table,
    heading,
    read_table_spec,
    render_csv,
    render_markdown,
    table_of_runs,
)


def table(source: str, *, results: list[str] | None = None, out: str | None = None) -> None:
    """Put results of runs into a table.

    Args:
        source: A table file (.yaml), or a run or folder of runs: then every variant is a row.
        results: Runs or folders of runs to fill a table file with; the folder ``results`` beside
            it and ``runs`` where not given.
        out: The file to write: .md, .csv or .html. Printed as Markdown where not given.
    """
    filled = _fill(source, results)
    if out is None:
        print(render_markdown(filled))
        return
    target = Path(out)
    writers = {".md": render_markdown, ".csv": render_csv}
    if target.suffix == ".html":
        write_page(table_page(filled), target)
    elif target.suffix in writers:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        part.write_text(writers[target.suffix](filled), encoding="utf-8")
        part.replace(target)
    else:
        raise UsageError(f"--out {out}: tables are written as .md, .csv or .html")
    print(f"table: {target}")


def table_page(filled: FilledTable) -> Page:
    """Return a table as a page of its own."""
    page = Page(filled.title)
    page.add_table(
        ["", *(heading(column) for column in filled.columns)],
        cells_as_text(filled),
        notes=list(filled.notes),
    )
    return page


def _fill(source: str, results: list[str] | None) -> FilledTable:
    path = Path(source)
    if path.suffix not in (".yaml", ".yml"):
        found = collect_results([source, *(results or [])])
        return fill_table(table_of_runs(found), found)
    spec = read_table_spec(path)
    usual = [folder for folder in (path.parent / "results", Path("runs")) if folder.is_dir()]
    return fill_table(spec, collect_results(results or usual))
