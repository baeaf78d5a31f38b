"""``page``: what some runs found, as one HTML page that opens anywhere."""

from __future__ import annotations

from pathlib import Path

from spike_zoo.errors import UsageError
from spike_zoo.files import refuse_existing
from spike_zoo.media import write_page
from spike_zoo.reports.choices import Choices
from spike_zoo.reports.sources import report_of_runs


def page(
    source: str,
    *,
    out: str = "runs/page.html",
    title: str = "Spike Zoo",
    overwrite: bool = False,
) -> None:
    """Write one self-contained HTML page: table, pictures side by side, videos, where all is.

    It computes nothing; report shows more.

    Args:
        source: A folder of runs; the best by test PSNR comes last. MP4 files in it are shown.
        out: The page to write.
        title: Its heading.
        overwrite: Replace a page that is there.
    """
    target = Path(out)
    if target.suffix != ".html":
        raise UsageError(f"--out {out}: a page is written as .html")
    refuse_existing(target, overwrite=overwrite)
    write_page(report_of_runs(Path(source), title, Choices(scenes=0)), target)
    print(target)
