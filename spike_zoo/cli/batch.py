"""Batch processing: one command for all recordings of a folder, a pattern or an archive."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import hashlib
import json
import os
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import spike_zoo
from spike_zoo.cli.console import collected_notes, echo
from spike_zoo.cli.inputs import RecordingSource
from spike_zoo.errors import ExistingFileError, MissingFileError, SpikeZooError, UsageError
from spike_zoo.formats.recording import ARCHIVE_SUFFIXES, RECORDING_SUFFIXES
from spike_zoo.formats.remote import is_address
from spike_zoo.media.output import with_progress
from spike_zoo.utils.executor import run_tasks
from spike_zoo.utils.files import (
    content_sha256,
    entries_below,
    is_companion,
    listed,
    natural_order,
    new_file,
    plain_name,
    weights_file,
)
from spike_zoo.utils.locks import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spike_zoo.cli.options import DatSize

_PLACE: Final = "{name}"
_FINISHED: Final = ".finished"  # folder of files that describe the inputs of each result
_RESULT: Final = "result"
_MAX_LISTED: Final = 20
_BLOCK_PLANES: Final = 256


def run_batch(command: Callable[..., None], given: Mapping[str, Any]) -> bool:
    """Run a command for each recording of a batch; keep results of the same input and options.

    A folder or a pattern as ``recording``, a pattern as ``name`` or ``{name}`` in ``out`` is a
    batch. Returns False if the arguments are of a single recording, for which nothing is done.
    """
    of_batch = ("recording", "name", "out", "jobs", "cluster", "dat")
    options = {key: value for key, value in given.items() if key not in of_batch}
    units = find_units(*(given[key] for key in ("recording", "name", "out", "dat")))
    if not units:
        return False
    tasks = [partial(_run_unit, command, source, out, options) for out, source in units.items()]
    outcomes: Counter[str] = Counter()
    failed: dict[str, str] = {}
    noted: dict[str, str] = {}
    finished = run_tasks(tasks, jobs=given["jobs"], cluster=given["cluster"])
    with contextlib.closing(finished) as results:
        for label, outcome, text in with_progress(results, len(units), "recordings"):
            outcomes[outcome] += 1
            if text:
                (failed if outcome == "failed" else noted)[label] = text
    for line in _listed(noted):
        echo(line, sys.stderr)
    counts = ", ".join(f"{outcomes[kind]} {kind}" for kind in ("made", "unchanged", "failed"))
    echo(f"recordings: {counts} ({given['out']})")
    if failed:
        listed = "\n".join(_listed(failed))
        raise SpikeZooError(f"{len(failed)} of {len(units)} recordings failed:\n{listed}")
    return True


def _listed(texts: Mapping[str, str]) -> list[str]:
    """Return a line with each recording and its text; one line if all texts are equal."""
    if len(set(texts.values())) == 1 < len(texts):
        return [f"all recordings: {next(iter(texts.values()))}"]
    pairs = [(label, texts[label]) for label in sorted(texts)]
    lines = [text if text.startswith(label) else f"{label}: {text}" for label, text in pairs]
    rest = len(lines) - _MAX_LISTED
    return [*lines[:_MAX_LISTED], *([f"and {rest} more"] if rest > 0 else [])]


def find_units(
    recording: str, name: str | None, out: str, dat: DatSize
) -> dict[str, RecordingSource]:
    """Return the outputs of a batch and their recordings; empty for a single recording."""
    files = _files_of(recording, name, out)
    if files is None:
        return {}
    recordings = [(file, item) for file in files for item in _names(file, name or "*")]
    if not recordings:
        raise MissingFileError.at(recording, "no recording there")
    if _PLACE not in out:
        raise UsageError(
            f"--out {out}: one name for {len(recordings)} recordings; add {_PLACE}, such as "
            f"results/{_PLACE}{Path(out).suffix}"
        )
    if not Path(out).suffix and not out.endswith("/"):
        out += "/"  # a folder of pictures, also if a name contains a dot
    root = Path(os.path.commonpath([file.parent for file in files]))
    units: dict[str, RecordingSource] = {}
    for file, item in recordings:
        stem = file.relative_to(root).with_suffix("")
        named = None if item is None else plain_name(item)
        label = stem if named is None else Path(named) if len(files) == 1 else stem / named
        if _PLACE in str(label) or ".." in label.parts:
            raise UsageError(f"{file}: rename it; it cannot replace {_PLACE} in {out}")
        target = out.replace(_PLACE, label.as_posix())
        if Path(target).absolute() == file.absolute():  # the result of an earlier call
            continue
        source = RecordingSource(str(file), item, dat)
        if (other := units.setdefault(target, source)) != source:
            raise UsageError(
                f"{other.label} and {source.label} would both be written to {target}; process them "
                f"separately, such as by the pattern {file.parent}/*{file.suffix}, or by --name"
            )
    return units


def _files_of(recording: str, name: str | None, out: str) -> list[Path] | None:
    """Return the files of a batch; None for a single recording."""
    path = Path(recording)
    if is_address(recording):  # its query is no pattern
        if name is not None and glob.has_magic(name):
            raise UsageError(
                f"--name {name}: no pattern for an address; copy {recording}, or give one name"
            )
        return None
    if glob.has_magic(recording) and not path.exists():
        found = map(Path, glob.glob(recording, recursive=True))  # noqa: PTH207  (also absolute)
        files = sorted((f for f in found if not is_companion(f.name)), key=natural_order)
    elif path.is_dir() and path.suffix.lower() not in ARCHIVE_SUFFIXES:
        files = [file for file in entries_below(path) if file.suffix.lower() in RECORDING_SUFFIXES]
    elif (_PLACE in out and path.is_file()) or (name is not None and glob.has_magic(name)):
        files = [path]
    else:
        return None
    return [file for file in files if file.is_file()]


def _names(file: Path, pattern: str) -> list[str | None]:
    if file.suffix.lower() in ARCHIVE_SUFFIXES:
        from spike_zoo.archive.reader import SpikeArchive  # slow import
        from spike_zoo.formats.hdf5_recording import is_archive

        with contextlib.suppress(SpikeZooError):  # raised again when the file is processed
            if is_archive(file):
                with SpikeArchive(file) as archive:
                    return [name for name in archive.names() if fnmatch.fnmatchcase(name, pattern)]
    return [None]


def _run_unit(
    command: Callable[..., None], source: RecordingSource, out: str, options: dict[str, Any]
) -> tuple[str, str, str]:
    """Return the recording, its outcome (made, unchanged or failed), and the notes or the error."""
    label, target = source.label, Path(out)
    finished = target.parent / _FINISHED / f"{target.name}.json"
    try:
        with locked(finished):
            made_from = _description(command, source, options)
            if _is_unchanged(out, finished, made_from, overwrite=options["overwrite"]):
                return label, "unchanged", ""
            with collected_notes() as notes:
                command(source.recording, out=out, name=source.name, **options, **source.dat)
            with new_file(finished, overwrite=True) as part:
                facts = made_from | {_RESULT: _result_sha256(target)}
                text = json.dumps(facts, indent=1, sort_keys=True)
                part.write_text(f"{text}\n", encoding="utf-8")
    except (SpikeZooError, OSError) as error:
        return label, "failed", str(error)
    return label, "made", "; ".join(notes)


def _is_unchanged(
    out: str, finished: Path, made_from: Mapping[str, str], *, overwrite: bool
) -> bool:
    """Return whether a result exists and was made from the same inputs.

    Raises:
        ExistingFileError: If it was made from other inputs, or changed, and must not be replaced.
    """
    before: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError, ValueError):
        before = json.loads(finished.read_text(encoding="utf-8"))
    if not before or not Path(out).exists():
        return False
    other = sorted(key for key in made_from if made_from[key] != before.get(key))
    if before.get(_RESULT) == _result_sha256(Path(out)) and not other:
        return True
    if overwrite:
        return False
    reason = f"and its {' and '.join(other)} changed" if other else "and has changed"
    raise ExistingFileError(f"{out} exists already, {reason}; --overwrite replaces it", path=out)


def _result_sha256(target: Path) -> str:
    files = listed(target) if target.is_dir() else [target]
    return content_sha256(file for file in files if file.is_file())


def _description(
    command: Callable[..., None], source: RecordingSource, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the inputs of a result: recording with metadata, options, method and version."""
    recording = source.open()
    facts = (recording.shape, recording.rate_scale, recording.fps, recording.threshold)
    meta = sorted(recording.meta.items())  # with the layout of filters
    maps = "" if recording.maps is None else recording.maps.sha256
    digest = hashlib.sha256(f"{facts} {meta}{maps}".encode())
    for start in range(0, len(recording), _BLOCK_PLANES):
        digest.update(recording.read_packed(start, min(start + _BLOCK_PLANES, len(recording))).data)
    return {
        "command": command.__name__,
        "recording": digest.hexdigest(),
        "method": _method_sha256(options.get("method")),
        "options": {key: value for key, value in options.items() if key != "overwrite"},
        "version": spike_zoo.__version__,
    }


def _method_sha256(method: str | None) -> str | None:
    """Return the checksum of a method's files, with their settings; None without files."""
    if method is None:
        return None
    path = weights_file(method)
    files = listed(path.parent) if Path(method).is_dir() else [path]
    return content_sha256(file for file in files if file.is_file()) if path.is_file() else None
