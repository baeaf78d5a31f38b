"""Commands ``archive build``, ``info``, ``verify`` and ``export``."""

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from json import dumps
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np

from spike_zoo.archive.build import build_archive
from spike_zoo.archive.joined import archive_files, open_archive
from spike_zoo.archive.layouts.detection import find_takes
from spike_zoo.archive.layouts.exposures import ExposureRule
from spike_zoo.archive.layouts.ground_truth import write_image
from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.archive.schema import OF_IMAGES, SPIKES
from spike_zoo.archive.validate import check_data, verify_archive
from spike_zoo.archive.writer import ArchiveWriter
from spike_zoo.cli.console import echo, is_quiet, note
from spike_zoo.cli.options import DatOptions, NonNegativeInt, PositiveInt
from spike_zoo.errors import FormatError, UsageError, visible
from spike_zoo.formats.recording import ARCHIVE_SUFFIXES, RECORDING_SUFFIXES
from spike_zoo.formats.remote import local_path
from spike_zoo.formats.writing import write_recording
from spike_zoo.media.output import progress_bar
from spike_zoo.utils.files import check_suffix, plain_name
from spike_zoo.utils.locks import locked

_Clips = Literal["base", "sreds", "recvidar", "momvidar", "bss"]
_Exposures = Literal["gopro", "rsb", "usp"]
Layout = Literal["auto", _Clips, _Exposures, "folder", "archive"]
_MAX_ROWS = 24
_MAX_RENAMED = 5
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
    layout: Layout = "auto",
    split: str | None = None,
    exposure_start: NonNegativeInt | None = None,
    exposure_length: PositiveInt | None = None,
    rate_scale: float | None = None,
    fps: float | None = None,
    jobs: NonNegativeInt = 0,
    cluster: str | None = None,
    shards: str | None = None,
    compression: Literal["gzip", "zstd"] | None = None,
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
            shows each layout. Images must be upright.
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
            all of them with data.archive: 'data/part-*.h5', and raises an error if one is missing
            or was built with other options.
        compression: gzip, or zstd (pip install 'spike-zoo[cold]'), for long-term storage.
    """
    part = _parse_shards(shards)
    rule = None
    if (exposure_start, exposure_length) != (None, None):
        rule = ExposureRule(exposure_start, exposure_length)
    camera: dict[str, Any] = {"rate_scale": rate_scale, "fps": fps, **dat}
    place = local_path(source)
    is_rewritten = place.resolve() == Path(out).resolve()
    # no program appends to an archive while it is rewritten
    with (
        locked(place) if is_rewritten else contextlib.nullcontext(),
        progress_bar("takes") as progress,
    ):
        takes = find_takes(place, layout=layout, split=split, exposure=rule, **camera)
        _report_renamed(takes.renamed)
        _warn_without_split(takes.without_split, source)
        if part is not None:
            takes.keep_part(*part, place)
        build_archive(
            out,
            takes.jobs,
            splits=takes.splits,
            n_jobs=jobs,
            cluster=cluster,
            compression=compression,
            overwrite=overwrite,
            generator=f"spike_zoo archive build --layout {layout}",
            origin=takes.origin,
            part=takes.part,
            progress=progress,
        )
    if not is_quiet():
        archive_info(out)


def _parse_shards(text: str | None) -> tuple[int, int] | None:
    """Parse "3/16" into the number of a part and the number of parts."""
    if text is None:
        return None
    number, parts = (int(n) if n.isdecimal() else 0 for n in text.partition("/")[::2])
    if not 1 <= number <= parts:
        raise UsageError(f"--shards {text}: expected K/N with K from 1 to N, such as 3/16")
    return number, parts


def _report_renamed(renamed: Mapping[str, str]) -> None:
    examples = [f"{old!r} is named {new!r}" for old, new in list(renamed.items())[:_MAX_RENAMED]]
    more = len(renamed) - len(examples)
    if examples:
        echo("in the archive " + ", ".join(examples) + (f", and {more} more" if more else ""))


def _warn_without_split(names: list[str], source: str) -> None:
    if names:
        print(
            f"warning: {source}: recordings in no split: {len(names)}, {names[0]} is the first; "
            "training and test do not use them. Put them into folders train, val and test, or "
            "set one split for all with --split",
            file=sys.stderr,
        )


def archive_info(path: str, *, json: bool = False) -> None:
    """Show the content of an archive, without decoding its spikes.

    Args:
        path: The archive.
        json: Print all recordings as JSON instead.
    """
    with SpikeArchive(path) as archive:
        facts = archive_facts(archive, None if json else _MAX_ROWS)
        count, part = len(archive), archive.parts[0]
    if json:
        print(dumps(facts, indent=2))
        return
    of_build = f", part {part.number} of {part.total}" if part else ""
    size = readable_bytes(facts["bytes"])
    print(visible(f"{path}: archive of {count} recordings, {size}{of_build}"))
    for split, names in facts["splits"].items():
        print(visible(f"split {split}: {len(names)}"))
    _print_classes(facts)
    rows = []
    for row in facts["recordings"]:
        planes, height, width = row["shape"]
        texts = row | {"planes": planes, "size": f"{width} x {height}"}
        rows.append([_cell(texts[key]) for key in _COLUMNS.values()])
    if rows:
        _print_table(list(_COLUMNS), rows)
    if count > _MAX_ROWS:
        print(f"and {count - _MAX_ROWS} more (--json lists all)")


def _print_classes(facts: dict[str, Any]) -> None:
    """Print the number of takes of each class, if classes have names."""
    classes, splits = facts["classes"], list(facts["splits"])
    if not classes:
        return
    rows = [
        [str(row["label"]), row["name"], str(row["takes"]), *map(str, row["splits"].values())]
        for row in classes[:_MAX_ROWS]
    ]
    _print_table(["label", "class", "takes", *splits], rows)
    if len(classes) > _MAX_ROWS:
        print(f"and {len(classes) - _MAX_ROWS} more classes (--json lists all)")
    print()


def archive_facts(archive: SpikeArchive, most: int | None = None) -> dict[str, Any]:
    """Return the content of an archive, and its first ``most`` recordings, as plain values."""
    recordings = []
    splits = {split: archive.names(split) for split in archive.splits()}
    members = {split: set(names) for split, names in splits.items()}
    digest = None
    with contextlib.suppress(FormatError):  # a damaged archive is listed; verify reports the damage
        digest = archive.data_sha256()
    for name in archive.names()[:most]:
        recording = archive[name]
        recordings.append(
            {
                "name": name,
                "splits": [split for split, names in members.items() if name in names],
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
        "data_sha256": digest,
        "recordings": recordings,
    }


def _classes(archive: SpikeArchive, splits: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Return the number of takes of each class in total and per split, if classes have names."""
    try:
        names = archive.label_names
    except FormatError:  # damaged: as for the digest
        return []
    labels = {name: archive.facts(name).label for name in archive} if names else {}
    takes = Counter(labels.values())
    parts = {split: Counter(map(labels.get, texts)) for split, texts in splits.items()}
    return [
        {
            "label": label,
            "name": name,
            "takes": takes[label],
            "splits": {split: counts[label] for split, counts in parts.items()},
        }
        for label, name in enumerate(names)
    ]


def archive_verify(path: str, *, jobs: NonNegativeInt = 0) -> int:
    """Check an archive against all rules of the schema, and all checksums.

    Each finding is printed on a line (CODE path message). The exit code is 0 if the archive is
    valid, else 1.

    Args:
        path: The archive, or a pattern such as 'data/part-*.h5' for all parts of one.
    """
    files, findings = archive_files(path), []
    for file in files:
        findings += (own := verify_archive(local_path(file), jobs=jobs))
        for finding in own:
            print(visible(f"{file}: {finding}" if files[1:] else str(finding)))
    errors = sum(finding.severity == "error" for finding in findings)
    if not errors and str(files[0]) != path:
        open_archive(path).close()  # raises an error if parts are missing
    counts = {"error": errors, "warning": len(findings) - errors}
    texts = [f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in counts.items() if n]
    detail = f" ({', '.join(texts)})" if texts else ""
    echo(f"{path}: {'not valid' if errors else 'valid'}{detail}")
    return 1 if errors else 0


def _print_table(headings: list[str], rows: list[list[str]]) -> None:
    """Print a table whose columns are as wide as their cells, so that names can be copied."""
    cells = [[visible(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        texts = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join(texts).rstrip())


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "-"
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def readable_bytes(size: int) -> str:
    """Return a number of bytes with a decimal unit and three digits."""
    value, units = float(size), ["TB", "GB", "MB", "kB", "bytes"]
    while value >= 1000 and len(units) > 1:
        value, _ = value / 1000, units.pop()
    return f"{value:.3g} {units[-1]}"


def archive_export(
    path: str,
    out: str,
    *,
    name: str | None = None,
    format: Literal["dat", "npz", "npy", "h5", "spl"] | None = None,
    overwrite: bool = False,
) -> None:
    """Write recordings of an archive, with their images, as separate files.

    A .dat file is written with a sidecar that states its size. An .h5 file contains the images and
    labels of its recording. In a folder, the images of other formats are written as files: the
    sharp image at plane 20 is NAME/000020.png and the blurry image blur/NAME.png, so that
    'spike-zoo deblur OUT/blur OUT' reads them. Images of more than 8 bits are written as .tif.

    Args:
        path: The archive.
        out: A folder; or, for one recording, a file ending in .dat, .npz, .npy, .h5, .hdf5 or .spl.
            Only .h5 and .hdf5 files contain the images and the maps of a camera.
        name: Name of one recording to write. Default: all.
        format: Format of the files in a folder. Default: dat.
    """
    suffix = Path(out).suffix.lower()
    if suffix not in RECORDING_SUFFIXES:
        check_suffix(out, RECORDING_SUFFIXES)
    is_named = suffix in RECORDING_SUFFIXES and not out.endswith(("/", os.sep))
    is_file = is_named and not Path(out).is_dir()
    file_kind = "h5" if suffix in ARCHIVE_SUFFIXES else suffix[1:]
    if is_file and format not in (None, file_kind):
        raise UsageError(f"{out} ends in {suffix}, and --format is {format}; leave one of them out")
    kind = file_kind if is_file else format or "dat"
    with SpikeArchive(path) as archive:
        names = archive.names() if name is None else [name]
        if is_file and len(names) != 1:
            raise UsageError(
                f"{out} is one file, and {path} has {len(names)} recordings; choose one with "
                f"--name, or give a folder (one whose name ends in {suffix} with a slash: {out}/)"
            )
        _check_files(archive.path, names)
        for recording in names:
            target = Path(out) if is_file else Path(out) / f"{plain_name(recording)}.{kind}"
            _export(archive, recording, target, overwrite)
            echo(str(target))
            if not is_file and kind != "h5":
                _export_images(archive, recording, Path(out), overwrite)


def _check_files(path: Path, names: Sequence[str]) -> None:
    """Raise FormatError if two recordings would be written to files of one name."""
    recordings: dict[str, str] = {}
    for name in names:
        if (other := recordings.setdefault(plain_name(name), name)) != name:
            raise FormatError.at(
                path,
                f"recordings {other!r} and {name!r} would both be written to files named "
                f"{plain_name(name)}; export them to different folders with --name",
            )


def _export(archive: SpikeArchive, name: str, target: Path, overwrite: bool) -> None:
    """Write one recording; an .h5 file contains its images and labels too."""
    if target.suffix.lower() in ARCHIVE_SUFFIXES:
        names = archive.label_names
        with ArchiveWriter(target, overwrite=overwrite, label_names=names) as writer:
            writer.add(plain_name(name), archive.take(name))
        return
    is_raw, recording = target.suffix.lower() == ".dat", archive[name]
    check_data(archive.path, name, (SPIKES,))
    write_recording(recording, target, overwrite=overwrite, with_sidecar=is_raw)
    if recording.maps is not None:
        note(f"warning: {target}: without the maps of its camera; read it with --camera X.yaml")


def _export_images(archive: SpikeArchive, name: str, folder: Path, overwrite: bool) -> None:
    take, own = archive.take(name), plain_name(name)
    check_data(archive.path, name, OF_IMAGES)
    if take.images is not None and take.image_index is not None:
        is_unique = len(np.unique(take.image_index)) == len(take.image_index)
        for number, plane in enumerate(take.image_index.tolist()):
            stem = f"{plane:06d}" if is_unique else f"{number:03d}-{plane:06d}"
            write_image(take.images[number], folder / own / stem, overwrite=overwrite)
        echo(f"{folder / own}{os.sep} ({len(take.images)} sharp images, named by their planes)")
    if take.blur is not None and take.blur_span is not None:
        for image, (first, past) in zip(take.blur, take.blur_span.tolist(), strict=True):
            stem = own if len(take.blur) == 1 else f"{own}-{first:06d}"
            file = write_image(image, folder / "blur" / stem, overwrite=overwrite)
            echo(f"{file} (blurry, --exposure-start {first} --exposure-length {past - first})")
