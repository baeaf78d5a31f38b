"""``page``: what some runs found, as one HTML page that opens anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spike_zoo.errors import UsageError
from spike_zoo.media import Page, write_page
from spike_zoo.tables import (
    cells_as_text,
    collect_results,
    fill_table,
    heading,
    table_of_runs,
)
from spike_zoo.tracking.images import RECONSTRUCTIONS, TRUTHS
from spike_zoo.tracking.result import FILENAME

if TYPE_CHECKING:
    from spike_zoo.tables import FilledTable


def page(
    runs: list[str],
    *,
    out: str = "runs/page.html",
    title: str = "Spike Zoo",
    videos: list[str] | None = None,
) -> None:
    """Write one self-contained HTML page: table, pictures side by side, videos, where all is.

    Args:
        runs: Folders of runs, or folders that hold several; the last is compared with the first.
        out: The page to write.
        title: Its heading.
        videos: MP4 files to show.
    """
    target = Path(out)
    if target.suffix != ".html":
        raise UsageError(f"--out {out}: a page is written as .html")
    folders = [folder for run in runs for folder in _run_folders(Path(run))]
    results = collect_results(folders)
    content = Page(title, "Held-out scenes: nothing below was seen in training.")
    _add_table(content, fill_table(table_of_runs(results), results))
    _add_pictures(
        content, [(result.variant, folder) for result, folder in zip(results, folders, strict=True)]
    )
    for video in videos or []:
        content.add_section("Video")
        content.add_video(video, caption=Path(video).name)
    content.add_section("Where everything is")
    rows = [
        [result.variant, str(folder), result.checkpoint or ""]
        for result, folder in zip(results, folders, strict=True)
    ]
    content.add_table(["row", "folder", "checkpoint"], rows)
    write_page(content, target)
    print(target)


def _run_folders(run: Path) -> list[Path]:
    """Return the folders below a run that hold a result, or the run itself."""
    return [file.parent for file in sorted(run.rglob(FILENAME))] or [run]


def _add_table(content: Page, table: FilledTable) -> None:
    content.add_section("Numbers")
    content.add_table(
        ["", *(heading(column) for column in table.columns)],
        cells_as_text(table, emphasis="**"),
        notes=list(table.notes),
    )


def _add_pictures(content: Page, runs: list[tuple[str, Path]]) -> None:
    """Add the test samples that all runs reconstructed, the ground truth last."""
    folders = {name: folder / "images" for name, folder in runs}
    shared = [
        {path.name for path in (folder / RECONSTRUCTIONS).glob("*.png")}
        for folder in folders.values()
    ]
    samples = sorted(set.intersection(*shared)) if shared else []
    if not samples:
        return
    names = list(folders)
    content.add_section("Pictures")
    for sample in samples:
        pictures = [folders[name] / RECONSTRUCTIONS / sample for name in names]
        truth = folders[names[-1]] / TRUTHS / sample
        content.add_text(Path(sample).stem)
        content.add_gallery([*pictures, truth], [*names, "ground truth"])
    if len(names) > 1:
        before, after = (
            folders[name] / RECONSTRUCTIONS / samples[-1] for name in (names[0], names[-1])
        )
        content.add_comparison(before, after, (names[0], names[-1]), caption=Path(samples[-1]).stem)
