"""``page``: what some runs found, as one HTML page that opens anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spike_zoo.errors import MissingFileError, UsageError
from spike_zoo.media import Page, write_page
from spike_zoo.tables import (
    RecordedRun,
    all_notes,
    cells_as_text,
    fill_table,
    header,
    scenes_in_words,
    table_of_runs,
)
from spike_zoo.tables.curves import curve_drawings
from spike_zoo.tracking import RunResult
from spike_zoo.tracking.result import FILENAME, RECONSTRUCTIONS, TRUTHS

_RANKED_BY = "test/psnr"


@dataclass(frozen=True)
class Run:
    """A run's folder with its record."""

    folder: Path
    result: RunResult

    @property
    def name(self) -> str:
        """What the run is called on the page."""
        return self.result.variant

    def picture(self, kind: str, sample: str) -> Path:
        """Return where a test sample's reconstruction or truth is."""
        return self.folder / "images" / kind / sample


def page(source: str, *, out: str = "runs/page.html", title: str = "Spike Zoo") -> None:
    """Write one self-contained HTML page: table, pictures side by side, videos, where all is.

    Args:
        source: A folder of runs; the best by test PSNR comes last. MP4 files in it are shown.
        out: The page to write.
        title: Its heading.
    """
    target = Path(out)
    if target.suffix != ".html":
        raise UsageError(f"--out {out}: a page is written as .html")
    runs = find_runs(Path(source))
    listed = [RecordedRun(run.result, run.folder) for run in runs]
    content = Page(title, scenes_in_words(listed))
    _add_numbers(content, listed)
    _add_pictures(content, runs)
    videos = sorted(Path(source).glob("*.mp4"))
    if videos:
        content.add_section("Video", "Played slower than life: every image is some planes later.")
    for video in videos:
        content.add_video(video, caption=video.name)
    _add_places(content, runs)
    write_page(content, target)
    print(target)


def find_runs(source: Path) -> list[Run]:
    """Return the runs at or below a folder, the best by test PSNR last.

    Raises:
        MissingFileError: If there is none.
    """
    files = sorted(source.rglob(FILENAME))
    if not files:
        raise MissingFileError(f"{source}: no {FILENAME} below; run fit or test first")
    runs = [Run(file.parent, RunResult.read(file)) for file in files]
    return sorted(runs, key=lambda run: run.result.metrics.get(_RANKED_BY, 0.0))


def _add_numbers(content: Page, runs: list[RecordedRun]) -> None:
    table = fill_table(table_of_runs(runs), runs)
    content.add_section("Numbers")
    for warning in table.warnings:
        content.add_warning(warning)
    content.add_table(
        header(table),
        cells_as_text(table, emphasis="**"),
        notes=all_notes(table),
    )
    if drawings := curve_drawings(table.curves):
        content.add_drawings(drawings)


def _add_pictures(content: Page, runs: list[Run]) -> None:
    """Add the test samples that all runs reconstructed, the ground truth last."""
    kept = [{path.name for path in run.picture(RECONSTRUCTIONS, "").glob("*.png")} for run in runs]
    samples = sorted(set.intersection(*kept))
    if not samples:
        return
    content.add_section("Pictures")
    if len(runs) > 1:
        worst, best, sample = runs[0], runs[-1], samples[-1]
        pair = [run.picture(RECONSTRUCTIONS, sample) for run in (worst, best)]
        content.add_comparison(pair[0], pair[1], (worst.name, best.name), caption=Path(sample).stem)
    for sample in samples:
        pictures = [run.picture(RECONSTRUCTIONS, sample) for run in runs]
        captions = [run.name for run in runs]
        truth = runs[-1].picture(TRUTHS, sample)
        content.add_text(Path(sample).stem)
        content.add_gallery([*pictures, truth], [*captions, "ground truth"])


def _add_places(content: Page, runs: list[Run]) -> None:
    content.add_section("Where everything is")
    rows = [[run.name, str(run.folder), run.result.checkpoint or "none needed"] for run in runs]
    content.add_table(["", "folder", "checkpoint"], rows)
