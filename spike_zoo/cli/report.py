"""``report``: a recording, an archive, runs or a bitstream as one page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spike_zoo.checkpoints.published import check_method
from spike_zoo.cli.console import echo
from spike_zoo.errors import UsageError
from spike_zoo.files import check_absent
from spike_zoo.formats.remote import local_path
from spike_zoo.reports.choices import split_settings
from spike_zoo.spikes.rate_scale import stated_rate_scale

if TYPE_CHECKING:
    from typing import Unpack

    from spike_zoo.cli.lazy_signature import DatOptions


def report(
    source: str,
    *,
    out: str | None = None,
    title: str | None = None,
    methods: list[str] | None = None,
    center: int | None = None,
    pictures: int = 5,
    planes: int = 61,
    start: int = 0,
    stop: int | None = None,
    scenes: int = 1,
    name: list[str] | None = None,
    truth: str | None = None,
    codec: str = "sci",
    deblurring: str = "ssdm-student",
    rates: bool = False,
    rate_scale: float | str = "auto",
    device: str = "auto",
    trust: bool = False,
    overwrite: bool = False,
    **dat: Unpack[DatOptions],
) -> None:
    """Write an HTML report of a recording, archive, bitstream or runs that opens offline.

    Args:
        source: A recording (.dat, .npz, .npy, .h5 or .spl), an archive (.h5), a bitstream (.sci),
            or a folder of runs.
        out: The page, X.html; by default the source's name with .html, in the working folder.
        title: Its heading; by default the source's name.
        methods: Methods that stand beside each other: names, checkpoints or export folders, with
            settings as in tfi:average=9; by default all classical and shipped ones, of which
            stir, which takes about a second per picture, shows one plane.
        center: The plane that is shown first, counted from 0; by default the middle one.
        pictures: Planes that are reconstructed, spread over the recording.
        planes: Raw planes that the page plays, around the centre.
        start: First plane of a recording that the page shows.
        stop: Plane before which it ends; by default the end of the recording.
        scenes: Recordings of an archive, or of a run's test, that are shown; of runs, 0 shows the
            pictures they kept and computes nothing.
        name: Which recordings of an archive; by default some of the test split.
        truth: A picture of what a recording shows at the centre, as large as its planes.
        codec: The method that decodes a bitstream, and compresses with --rates.
        deblurring: The method that makes sharp images where there are blurry ones.
        rates: Compress the recording at every quality for the rate-distortion curve: minutes.
        rate_scale: Spikes per plane at white; auto is what the recording states, else an estimate
            from the brightest pixels, which is printed.
        device: auto, cpu, cuda or mps.
        trust: Import the class that a checkpoint names even if another package defines it.
        overwrite: Replace a page that is there.
    """
    target = Path(f"{Path(source).resolve().stem}.html" if out is None else out)
    if target.suffix != ".html":
        raise UsageError(f"--out {out}: a page is written as .html")
    check_absent(target, overwrite=overwrite)
    stated = stated_rate_scale(rate_scale)
    for wanted in methods or ():
        check_method(split_settings(wanted)[0])
    from spike_zoo.media import write_page
    from spike_zoo.reports.choices import Choices
    from spike_zoo.reports.sources import report_of

    choices = Choices(
        methods=tuple(methods or ()),
        center=center,
        pictures=pictures,
        planes=planes,
        start=start,
        stop=stop,
        scenes=scenes,
        names=tuple(name or ()),
        codec=codec,
        deblurring=deblurring,
        rates=rates,
        rate_scale=stated,
        truth=truth,
        dat=dat,
        device=device,
        trust=trust,
    )
    write_page(report_of(local_path(source), title, choices), target)
    echo(f"page: {target} ({target.stat().st_size / 1e6:.1f} MB)")
