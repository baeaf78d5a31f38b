"""Batch processing: one command for all recordings of a folder, a pattern or an archive."""

import contextlib
import fnmatch
import glob
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial, wraps
from inspect import unwrap
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import spike_zoo
from spike_zoo.cli.console import collected_notes, echo
from spike_zoo.cli.inputs import named_errors, recording_source
from spike_zoo.cli.options import DatOptions, DatSize
from spike_zoo.errors import ExistingFileError, MissingFileError, SpikeZooError, UsageError
from spike_zoo.formats.recording import ARCHIVE_SUFFIXES, RECORDING_SUFFIXES, RecordingSource
from spike_zoo.formats.remote import is_address
from spike_zoo.media.output import with_progress
from spike_zoo.utils.executor import run_tasks
from spike_zoo.utils.files import (
    content_sha256,
    entries_below,
    folder_entries,
    is_companion,
    natural_order,
    new_file,
    plain_name,
    weights_file,
)
from spike_zoo.utils.locks import locked

Command = TypeVar("Command", bound=Callable[..., None])

_PLACE: Final = "{name}"
_FINISHED: Final = ".finished"  # folder of files that describe the inputs of each result
_RESULT: Final = "result"
_MAX_LISTED: Final = 20
_BLOCK_PLANES: Final = 256


def for_each_recording(command: Command) -> Command:
    """Decorate a command: it then also processes all recordings of a batch.

    A folder or a pattern as ``recording``, a pattern as ``name`` or ``{name}`` in ``out`` is a
    batch. Results of the same input and options are kept.
    """

    @wraps(command)
    def processed(recording: str, *, out: str, name: str | None = None, **options: Any) -> None:
        dat = cast(
            "DatSize",
            {key: options.pop(key) for key in DatOptions.__annotations__ if key in options},
        )
        units = find_units(recording, name, out, dat)
        if units:
            _run_batch(processed, units, out, options, dat)
        else:
            with named_errors(recording):
                command(recording, out=out, name=name, **options, **dat)

    return cast("Command", processed)


def _run_batch(
    command: Callable[..., None],
    units: Mapping[str, RecordingSource],
    out: str,
    options: dict[str, Any],
    dat: DatSize,
) -> None:
    """Run a command for each recording of a batch; print counts and notes, raise its errors."""
    jobs, cluster = options.pop("jobs", 0), options.pop("cluster", None)
    run = partial(_run_unit, command, options=options, dat=dat)
    tasks = [partial(run, source, to) for to, source in units.items()]
    outcomes: Counter[str] = Counter()
    failed: dict[str, str] = {}
    noted: dict[str, str] = {}
    with contextlib.closing(run_tasks(tasks, jobs=jobs, cluster=cluster)) as results:
        for label, outcome, text in with_progress(results, len(units), "recordings"):
            outcomes[outcome] += 1
            if text:
                (failed if outcome == "failed" else noted)[label] = text
    for line in _lines_of(noted):
        echo(line, sys.stderr)
    counts = ", ".join(f"{outcomes[kind]} {kind}" for kind in ("made", "unchanged", "failed"))
    echo(f"recordings: {counts} ({out})")
    if failed:
        lines = "\n".join(_lines_of(failed))
        raise SpikeZooError(f"{len(failed)} of {len(units)} recordings failed:\n{lines}")


def _lines_of(texts: Mapping[str, str]) -> list[str]:
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
        out += "/"  # a folder of images, also if a name contains a dot
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
        source = recording_source(str(file), item, dat)
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
    command: Callable[..., None],
    source: RecordingSource,
    out: str,
    options: dict[str, Any],
    dat: DatSize,
) -> tuple[str, str, str]:
    """Return the recording, its outcome (made, unchanged or failed), and the notes or the error.

    ``command`` is decorated, because processes find it by its name.
    """
    label, target = source.label, Path(out)
    finished = target.parent / _FINISHED / f"{target.name}.json"
    try:
        with locked(finished):
            made_from = _description(command, source, options)
            if _is_unchanged(out, finished, made_from, overwrite=options.get("overwrite", False)):
                return label, "unchanged", ""
            with collected_notes() as notes:
                single = unwrap(command)
                single(source.path, out=out, name=source.name, **options, **dat)
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
    files = folder_entries(target) if target.is_dir() else [target]
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
        packed = recording.read_packed(start, min(start + _BLOCK_PLANES, len(recording)))
        digest.update(packed.tobytes())  # contiguous
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
    files = folder_entries(path.parent) if Path(method).is_dir() else [path]
    return content_sha256(file for file in files if file.is_file()) if path.is_file() else None
