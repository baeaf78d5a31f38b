"""Commands ``archive build``, ``archive info`` and ``archive verify``."""

from __future__ import annotations

import sys
from collections import Counter
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from spike_zoo.archive import SpikeArchive, build_archive, verify_archive
from spike_zoo.archive.layouts.detection import find_takes
from spike_zoo.archive.layouts.exposures import ExposureRule
from spike_zoo.cli.console import echo, is_quiet
from spike_zoo.cli.options import DatOptions, NonNegativeInt, PositiveInt
from spike_zoo.errors import FormatError, UsageError, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from spike_zoo.spikes import Take

_MOST_ROWS = 24
_MOST_RENAMED = 5
_COLUMNS = {
    "name": "name",
    "split": "splits",
    "planes": "planes",
    "W x H": "size",
    "fps": "fps",
    "rate scale": "rate_scale",
    "images": "images",
    "blurry": "blurry_images",
    "label": "label",
    "source": "source",
}


def archive_build(
    source: str,
    out: str,
    *,
    layout: Literal[
        "auto",
        "base",
        "sreds",
        "recvidar",
        "momvidar",
        "bss",
        "gopro",
        "rsb",
        "usp",
        "folder",
        "archive",
    ] = "auto",
    split: str | None = None,
    exposure_start: NonNegativeInt | None = None,
    exposure_length: PositiveInt | None = None,
    rate_scale: float | None = None,
    fps: float | None = None,
    jobs: NonNegativeInt = 0,
    cluster: str | None = None,
    shards: str | None = None,
    compression: Literal["gzip", "zstd"] | None = None,
    along_time: bool = False,
    overwrite: bool = False,
    **dat: Unpack[DatOptions],
) -> None:
    """Write the recordings of a folder, with their images, into an archive.

    Args:
        source: A folder of recordings, one recording, or an archive to rewrite.
        out: The archive to write, ending in .h5 or .hdf5.
        layout: Layout of the source. base: <split>/spike/*.dat with <split>/gt/*.png; sreds: SREDS;
            recvidar: recVidarReal2019; momvidar: momVidarReal2021; bss: BSS, in colour; gopro, rsb:
            S-SDM's blurry images with spikes; usp: the same of USP-Gaussian; folder: recordings
            anywhere in the folder; archive: an archive; auto: detect the layout. docs/data.md
            shows each layout. Pictures must be upright.
        split: Put all recordings into this split (train, val, test). Default: as the folders state.
        exposure_start: First plane of a blurry image's exposure; only for gopro, rsb and usp.
            Default: 20; for usp, so that the exposure has 97 planes.
        exposure_length: Planes of the exposure; only for gopro, rsb and usp. Default: as many
            planes are left at the end as at the start.
        rate_scale: Spikes per plane at white of all recordings. Default: as each recording states,
            else the value of the layout.
        fps: Planes per second of all recordings. Default: as for rate_scale.
        shards: Write only this part of the recordings, such as 3/16 for the third of sixteen parts
            of equal size, so that jobs on several machines write one archive each. Training reads
            all of them with data.archive: 'data/part-*.h5'.
        compression: gzip, or zstd (pip install 'spike-zoo[cold]'), for long-term storage.
        along_time: Pack bits along time. Compressed archives have half the size, but a recording
            can only be read as a whole.
    """
    part = _parse_shards(shards)
    rule = None
    if (exposure_start, exposure_length) != (None, None):
        rule = ExposureRule(exposure_start, exposure_length)
    camera: dict[str, Any] = {"rate_scale": rate_scale, "fps": fps, **dat}
    takes = find_takes(source, layout=layout, split=split, exposure=rule, **camera)
    _report_renamed(takes.renamed)
    _warn_without_split(takes.without_split, source)
    if part is not None:
        takes.keep_part(*part)
    build_with_bar(
        out,
        takes.jobs,
        splits=takes.splits,
        n_jobs=min(jobs or -1, len(takes.jobs)),
        cluster=cluster,
        compression=compression,
        bit_layout="tpack" if along_time else "wpack",
        overwrite=overwrite,
        generator=f"spike_zoo archive build --layout {layout}",
        origin=takes.origin,
    )
    if not is_quiet():
        archive_info(out)


def _parse_shards(text: str | None) -> tuple[int, int] | None:
    """Parse "3/16" into the number of a part and the number of parts."""
    if text is None:
        return None
    first, _, second = text.partition("/")
    try:
        number, parts = int(first), int(second)
    except ValueError:
        number, parts = 0, 0
    if not 1 <= number <= parts:
        raise UsageError(f"--shards {text}: expected K/N with K from 1 to N, such as 3/16")
    return number, parts


def build_with_bar(
    path: str | Path,
    jobs: Mapping[str, Callable[[], Take]],
    **options: Any,
) -> None:
    """Build an archive and show a progress bar.

    Args:
        path: The archive.
        jobs: Name of each take -> function that makes the take.
        **options: Options of :func:`spike_zoo.archive.build_archive`.
    """
    columns = TextColumn("takes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    is_visible = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not is_visible) as bar:
        task = bar.add_task("takes", total=len(jobs))

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        build_archive(path, jobs, progress=progress, **options)


def _report_renamed(renamed: Mapping[str, str]) -> None:
    """Print the recordings that have another name in the archive."""
    listed = [f"{old!r} is named {new!r}" for old, new in list(renamed.items())[:_MOST_RENAMED]]
    more = len(renamed) - len(listed)
    if listed:
        echo("in the archive " + ", ".join(listed) + (f", and {more} more" if more else ""))


def _warn_without_split(names: list[str], source: str) -> None:
    """Warn of recordings that are in no split."""
    if names:
        print(
            f"warning: {source}: recordings in no split: {len(names)}, {names[0]} is the first; "
            "training and test do not use them. Put them into folders train, val and test, or "
            "set one split for all with --split",
            file=sys.stderr,
        )


def archive_info(path: str, *, json: bool = False) -> None:
    """Show the content of an archive, without reading its spikes.

    Args:
        path: The archive.
        json: Print all recordings as JSON instead.
    """
    with SpikeArchive(path) as archive:
        facts = archive_facts(archive, None if json else _MOST_ROWS)
        count = len(archive)
    if json:
        print(dumps(facts, indent=2))
        return
    recordings, size = facts["recordings"], readable_bytes(facts["bytes"])
    print(visible(f"{path}: archive of {count} recordings, {size}"))
    for split, names in facts["splits"].items():
        print(visible(f"split {split}: {len(names)}"))
    _print_classes(facts)
    rows = []
    for row in recordings:
        planes, height, width = row["shape"]
        texts = row | {"planes": planes, "size": f"{width} x {height}"}
        rows.append([_cell(texts[key]) for key in _COLUMNS.values()])
    if rows:
        _print_table(list(_COLUMNS), rows)
    if count > _MOST_ROWS:
        print(f"and {count - _MOST_ROWS} more (--json lists all)")


def _print_classes(facts: dict[str, Any]) -> None:
    """Print the number of takes of each class, if classes have names."""
    classes, splits = facts["classes"], list(facts["splits"])
    if not classes:
        return
    rows = [
        [str(row["label"]), row["name"], str(row["takes"]), *map(str, row["splits"].values())]
        for row in classes[:_MOST_ROWS]
    ]
    _print_table(["label", "class", "takes", *splits], rows)
    if len(classes) > _MOST_ROWS:
        print(f"and {len(classes) - _MOST_ROWS} more classes (--json lists all)")
    print()


def archive_facts(archive: SpikeArchive, most: int | None = None) -> dict[str, Any]:
    """Return the content of an archive as plain values; no digest if pictures are damaged.

    Args:
        archive: The archive.
        most: Number of recordings to list, from the first; None lists all.
    """
    recordings = []
    splits = {split: archive.names(split) for split in archive.splits()}
    splits_of: dict[str, list[str]] = {}
    for split, names in splits.items():
        for name in names:
            splits_of.setdefault(name, []).append(split)
    for name in archive.names()[:most]:
        recording = archive[name]
        recordings.append(
            {
                "name": name,
                "splits": splits_of.get(name, []),
                "shape": list(recording.shape),
                "fps": recording.fps or None,
                "rate_scale": recording.rate_scale,
                "threshold": recording.threshold,
                "images": len(archive.image_index(name)),
                "blurry_images": len(archive.blur_span(name)),
                "label": recording.meta.get("label"),
                "source": recording.meta.get("source"),
            }
        )
    return {
        "path": str(archive.path),
        "format": "archive",
        "bytes": archive.size,
        "splits": splits,
        "classes": _classes(archive, splits),
        "data_sha256": _digest(archive),
        "recordings": recordings,
    }


def _classes(archive: SpikeArchive, splits: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Return the number of takes of each class in total and per split, if classes have names."""
    try:
        names = archive.label_names
    except FormatError:  # damaged: as for the digest below
        return []
    labels = {name: archive.facts(name).label for name in archive} if names else {}
    takes = Counter(labels.values())
    parts = {split: Counter(map(labels.get, listed)) for split, listed in splits.items()}
    return [
        {
            "label": label,
            "name": name,
            "takes": takes[label],
            "splits": {split: counts[label] for split, counts in parts.items()},
        }
        for label, name in enumerate(names)
    ]


def _digest(archive: SpikeArchive) -> str | None:
    try:
        return archive.data_sha256()
    except FormatError:  # a damaged archive is still listed; verify reports the damage
        return None


def archive_verify(path: str, *, json: bool = False, jobs: NonNegativeInt = 0) -> int:
    """Check an archive against all rules of the schema, and all checksums.

    The exit code is 0 if the archive is valid, else 1.

    Args:
        path: The archive.
        json: Print the findings as JSON instead of lines (CODE path message).
    """
    findings = verify_archive(Path(path), jobs=jobs or -1)
    errors = sum(finding.severity == "error" for finding in findings)
    if json:
        keys = ("code", "severity", "path", "message")
        rows = [{key: getattr(finding, key) for key in keys} for finding in findings]
        print(dumps({"path": path, "valid": errors == 0, "findings": rows}, indent=2))
    else:
        for finding in findings:
            print(visible(str(finding)))
        counts = {"error": errors, "warning": len(findings) - errors}
        listed = [f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in counts.items() if n]
        detail = f" ({', '.join(listed)})" if listed else ""
        echo(f"{path}: {'not valid' if errors else 'valid'}{detail}")
    return 1 if errors else 0


def _print_table(headings: list[str], rows: list[list[str]]) -> None:
    """Print a table without truncated columns, so that names can be copied."""
    headings = [escape(visible(heading)) for heading in headings]
    rows = [[escape(visible(cell)) for cell in row] for row in rows]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    widest = sum(len(max(column, key=len)) + 2 for column in zip(headings, *rows, strict=True))
    Console(highlight=False, width=max(widest, 80)).print(table)


def _cell(value: object) -> str:
    if isinstance(value, list):
        is_size = all(isinstance(item, int) for item in value)
        return ("x" if is_size else ",").join(map(str, value)) or "-"
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def readable_bytes(size: int) -> str:
    """Return a number of bytes with a decimal unit and three digits."""
    value, units = float(size), iter(("bytes", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= 1000 and unit != "TB":
        value, unit = value / 1000, next(units)
    return f"{size} bytes" if unit == "bytes" else f"{value:.3g} {unit}"
