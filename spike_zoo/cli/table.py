"""Command ``table``: tables of results and published values as Markdown, CSV and HTML."""

from __future__ import annotations

from json import dumps
from pathlib import Path

from spike_zoo.cli.console import echo
from spike_zoo.errors import MissingFileError, UsageError
from spike_zoo.files import new_file
from spike_zoo.media.pictures import save_picture
from spike_zoo.media.rendering import write_page
from spike_zoo.tables import (
    FilledTable,
    RecordedRun,
    TableFile,
    as_plain,
    collect_runs,
    fill_table,
    fill_tables,
    read_table_file,
    render_csv,
    render_markdown,
    runs_of_sweep,
    table_of_runs,
    table_page,
)
from spike_zoo.tables.charts import curves_picture

FORMS = (".md", ".csv", ".html")
PICTURE = ".png"


def table(
    source: str,
    *,
    results: list[str] | None = None,
    out: str | None = None,
    profile: str | None = None,
    sweep: str | None = None,
    json: bool = False,
) -> None:
    """Fill tables with the results of runs, and print them as Markdown.

    Args:
        source: A table file (.yaml), or a run or folder of runs, for a table with one row per
            variant.
        results: Runs or folders of runs that fill a table file. Default: the folder results next to
            the table file, the same folder of each method that it compares with, and runs.
        out: Folder for a Markdown, CSV and HTML file, or one file ending in .md, .csv, .html, or
            .png for the curves. Default for a table file: a folder in runs/tables.
        profile: Use only runs of this profile.
        sweep: Fill a table file with the runs of this W&B sweep (entity/project/sweep) instead.
        json: Print JSON instead.
    """
    file, tables = _filled(source, results, profile, sweep)
    if json:
        print(
            dumps(
                {"title": file.title, "tables": [as_plain(filled) for filled in tables]}, indent=2
            )
        )
        return
    written = _write(file, tables, _targets(file, out, is_spec=_is_spec(source)))
    if not out or Path(out).suffix not in (*FORMS, PICTURE):
        print(render_markdown(tables, file.title))
    for path in written:
        echo(f"table: {path}")


def _is_spec(source: str) -> bool:
    return Path(source).suffix in (".yaml", ".yml")


def _filled(
    source: str, results: list[str] | None, profile: str | None, sweep: str | None
) -> tuple[TableFile, list[FilledTable]]:
    if not _is_spec(source):
        if sweep:
            raise UsageError("--sweep fills a table file; give one (.yaml) as the first argument")
        runs = collect_runs([source, *(results or [])])
        spec = table_of_runs([run for run in runs if profile in (None, run.result.profile)])
        return TableFile(spec.title, (spec,), Path(source)), [fill_table(spec, runs, profile)]
    file = read_table_file(source)
    runs = runs_of_sweep(sweep) if sweep else _runs_of_table(file, results)
    return file, fill_tables(file.tables, runs, profile)


def _runs_of_table(file: TableFile, results: list[str] | None) -> list[RecordedRun]:
    """Read the given runs; by default the committed runs and then the runs in ``runs``."""
    if results:
        return collect_runs(results)
    folders = [file.path.parent, *(variant.parent.parent for variant in file.variants)]
    committed = dict.fromkeys(folder.resolve() / "results" for folder in folders)
    existing = [folder for folder in [*committed, Path("runs")] if folder.is_dir()]
    try:
        return collect_runs(existing)
    except MissingFileError:
        return []  # without runs, a table shows the published values


def _targets(file: TableFile, out: str | None, *, is_spec: bool) -> list[Path]:
    if out is None:
        if not is_spec:
            return []
        folder = Path("runs", "tables", file.path.resolve().parent.name)
        return [folder / f"{file.path.stem}{form}" for form in FORMS]
    target = Path(out)
    if target.suffix in (*FORMS, PICTURE):
        return [target]
    if target.suffix and not target.is_dir():
        raise UsageError(
            f"--out {out}: give a folder, or a file ending in .md, .csv, .html or .png"
        )
    stem = file.path.stem if is_spec else "table"
    return [target / f"{stem}{form}" for form in FORMS]


def _write(file: TableFile, tables: list[FilledTable], targets: list[Path]) -> list[Path]:
    """Write all files, each atomically; return their paths."""
    for target in targets:
        if target.suffix == ".html":
            write_page(table_page(file, tables), target)
            continue
        if target.suffix == PICTURE:
            curves = [curve for filled in tables for curve in filled.curves if curve.lines]
            if not curves:
                raise UsageError(f"--out {target}: {file.path} has no curves with results to draw")
            save_picture(curves_picture(curves), target, overwrite=True)
            continue
        text = (
            render_csv(tables) if target.suffix == ".csv" else render_markdown(tables, file.title)
        )
        with new_file(target, overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return targets
