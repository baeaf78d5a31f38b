"""Command ``report``: HTML report of a recording, archive, bitstream or runs."""

from pathlib import Path
from typing import Unpack

from spike_zoo.checkpoints.published import check_method
from spike_zoo.cli.console import echo
from spike_zoo.cli.inputs import named_errors, recording_source
from spike_zoo.cli.options import DatOptions, NonNegativeInt, PositiveInt
from spike_zoo.errors import UsageError
from spike_zoo.formats.remote import is_address, local_path, stem_of
from spike_zoo.utils.files import check_absent


def report(
    source: str,
    *,
    out: str | None = None,
    methods: list[str] | None = None,
    center: int | None = None,
    images: PositiveInt = 5,
    start: int = 0,
    stop: int | None = None,
    scenes: NonNegativeInt = 1,
    name: list[str] | None = None,
    truth: str | None = None,
    coding_method: str = "sci",
    rates: bool = False,
    rate_scale: float | str = "auto",
    device: str = "auto",
    trust: bool = False,
    overwrite: bool = False,
    **dat: Unpack[DatOptions],
) -> None:
    """Write an HTML report of a recording, archive, bitstream or runs, in one file.

    Args:
        source: A recording (.dat, .npz, .npy, .h5 or .spl), an archive (.h5), a bitstream (.sci),
            or a folder of runs.
        out: The report, X.html. Default: the name of the source with .html, in the working folder.
        methods: Methods to compare: names, checkpoints or export folders, with settings such as
            tfi:average=9. Default: tfp, tfi:average=9, plain, tfi-aligned, fused and stir-aligned;
            the last reconstructs one plane only, because it takes about a second per image.
        center: Plane of the first image, counted from 0. Default: the middle of the planes from
            start to stop.
        images: Number of planes to reconstruct, spread over the recording.
        scenes: Number of recordings to show, of an archive or of the test of a run. For runs, 0
            shows only the images in their folders and computes nothing.
        name: Names of the recordings of an archive. Default: recordings of the test split.
        truth: Ground-truth image at the centre plane, of the size of the planes.
        coding_method: The method that decodes a bitstream, and compresses with --rates.
        rates: Compress the recording at every quality for a rate-distortion curve. Takes minutes.
    """
    stem = stem_of(source if is_address(source) else Path(source).resolve())
    target = Path(f"{stem}.html" if out is None else out)
    if target.suffix != ".html":
        raise UsageError(f"--out {out}: a report is written as .html; give X.html")
    check_absent(target, overwrite=overwrite)
    user_settings = recording_source(source, None, dat, rate_scale).user_settings
    for method in methods or ():
        check_method(method)
    from spike_zoo.media.page import write_page
    from spike_zoo.pages.choices import Choices
    from spike_zoo.pages.report_sources import report_of

    choices = Choices(
        methods=methods,
        center=center,
        images=images,
        start=start,
        stop=stop,
        scenes=scenes,
        name=name,
        coding_method=coding_method,
        rates=rates,
        dat=user_settings,
        truth=truth,
        device=device,
        trust=trust,
    )
    with named_errors(source):
        write_page(report_of(local_path(source), choices), target)
    echo(f"page: {target} ({target.stat().st_size / 1e6:.1f} MB)")
