"""Command ``table``: tables of results and published values as Markdown and CSV."""

from pathlib import Path

from spike_zoo.cli.console import echo
from spike_zoo.errors import MissingFileError, UsageError
from spike_zoo.media.images import save_image
from spike_zoo.tables.curves import curves_chart
from spike_zoo.tables.fill import FilledTable, fill_table, fill_tables
from spike_zoo.tables.read import read_table_file
from spike_zoo.tables.render import render_csv, render_markdown
from spike_zoo.tables.runs import collect_runs, runs_of_sweep, table_of_runs
from spike_zoo.tables.spec import TableFile
from spike_zoo.utils.files import new_file

FORMS = (".md", ".csv")
IMAGE = ".png"


def table(
    source: str,
    *,
    results: list[str] | None = None,
    out: str | None = None,
    profile: str | None = None,
    sweep: str | None = None,
) -> None:
    """Fill tables with the results of runs, and print them as Markdown.

    Args:
        source: A table file (.yaml), or a run or folder of runs, for a table with one row per
            variant.
        results: Runs or folders of runs that fill a table file. Default: the folder results next to
            the table file, the same folder of each method that it compares with, and runs.
        out: Folder for a Markdown and a CSV file, or one file ending in .md, .csv, or .png for the
            curves. Default for a table file: a folder in runs/tables.
        profile: Use only runs of this profile.
        sweep: Fill a table file with the runs of this W&B sweep (entity/project/sweep) instead.
    """
    is_file = Path(source).suffix in (".yaml", ".yml")
    if sweep and not is_file:
        raise UsageError("--sweep fills a table file; give one (.yaml) as the first argument")
    if is_file:
        file = read_table_file(source)
        tables = _filled(file, results, profile, sweep)
    else:
        runs = collect_runs([source, *(results or [])])
        spec = table_of_runs([run for run in runs if profile in (None, run.result.profile)])
        file = TableFile(spec.title, (spec,), Path(source))
        tables = [fill_table(spec, runs, profile)]
    targets = _targets(file, out, is_file=is_file)
    for target in targets:
        _write(file, tables, target)
    if not out or targets != [Path(out)]:
        print(render_markdown(tables, file.title))
    for target in targets:
        echo(f"table: {target}")


def _filled(
    file: TableFile, results: list[str] | None, profile: str | None, sweep: str | None
) -> list[FilledTable]:
    """Fill the tables of a file; by default with the committed runs and those in ``runs``."""
    if sweep:
        return fill_tables(file.tables, runs_of_sweep(sweep), profile)
    if results:
        return fill_tables(file.tables, collect_runs(results), profile)
    folders = [file.path.parent, *(variant.parent.parent for variant in file.variants)]
    committed = dict.fromkeys(folder.resolve() / "results" for folder in folders)
    try:
        runs = collect_runs(path for path in (*committed, Path("runs")) if path.is_dir())
    except MissingFileError:
        runs = []  # without runs, a table shows the published values
    return fill_tables(file.tables, runs, profile)


def _targets(file: TableFile, out: str | None, *, is_file: bool) -> list[Path]:
    if out is None:
        folder = Path("runs", "tables", file.path.resolve().parent.name)
        return [folder / f"{file.path.stem}{form}" for form in FORMS] if is_file else []
    target = Path(out)
    if target.suffix in (*FORMS, IMAGE):
        return [target]
    if target.suffix and not target.is_dir():
        raise UsageError(f"--out {out}: give a folder, or a file ending in .md, .csv or .png")
    stem = file.path.stem if is_file else "table"
    return [target / f"{stem}{form}" for form in FORMS]


def _write(file: TableFile, tables: list[FilledTable], target: Path) -> None:
    if target.suffix == IMAGE:
        curves = [curve for filled in tables for curve in filled.curves if curve.lines]
        if not curves:
            raise UsageError(f"--out {target}: {file.path} has no curves with results to draw")
        save_image(curves_chart(curves), target, overwrite=True)
        return
    text = render_csv(tables) if target.suffix == ".csv" else render_markdown(tables, file.title)
    with new_file(target, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
