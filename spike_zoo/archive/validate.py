"""Validation of archives against all rules of the schema."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spike_zoo.archive import schema
from spike_zoo.archive.contents import (
    checked_datasets,
    read_integers,
    read_label,
    read_label_names,
    read_part,
    split_names,
)
from spike_zoo.archive.schema import Finding, counted, finding_of
from spike_zoo.errors import MissingFileError, MissingItemError, SpikeZooError
from spike_zoo.formats.hdf5 import Hdf5File, hdf5_errors, holds_objects
from spike_zoo.formats.hdf5_recording import (
    SOURCE_FORMATS,
    StoredPlanes,
    check_root,
    is_complete,
    read_attributes,
    read_group,
    stored_planes,
)
from spike_zoo.formats.hdf5_writing import dataset_sha256, stored_sha256, value_range
from spike_zoo.spikes.packing import packed_width
from spike_zoo.utils.executor import run_tasks

_BLOCK_BYTES = 1 << 24
_TASK_RECORDINGS = 64
_NAME_RULE = "a name must have 1..120 characters of A-Z a-z 0-9 . _ -, not . first"


def verify_archive(path: str | Path, *, jobs: int = 1) -> list[Finding]:
    """Return all errors and warnings of an archive, after reading all data.

    Args:
        path: The archive. If it cannot be opened, the result is one finding.
        jobs: Number of processes; 0 and -1 use one per core.

    Raises:
        MissingFileError: If the file does not exist.

    Example:
        >>> from pathlib import Path
        >>> from spike_zoo.testing import tiny_archive
        >>> findings = verify_archive(tiny_archive(Path("takes.h5")))
        >>> [finding for finding in findings if finding.severity == "error"]
        []
    """
    with Hdf5File(path) as file:
        try:
            check_root(file)
        except MissingFileError:
            raise
        except SpikeZooError as error:
            if isinstance(error.__cause__, PermissionError):
                raise
            return [finding_of(error, "E01", "/", file, path="/")]
        findings = [*foreign_objects(file), *_unknown_parts(file, "/")]
        rejected = {finding.path for finding in findings if finding.code == "E12"}
        names = _members(file, schema.RECORDINGS, findings)
        findings += [
            Finding("E11", f"{schema.RECORDINGS}/{name}", _NAME_RULE)
            for name in names
            if not schema.NAME_PATTERN.fullmatch(name)
        ]
        readable = [name for name in names if f"{schema.RECORDINGS}/{name}" not in rejected]
        starts = range(0, len(readable), _TASK_RECORDINGS)
        tasks = [
            partial(_recordings, path, start, readable[start : start + _TASK_RECORDINGS])
            for start in starts
        ]
        by_start = dict(run_tasks(tasks, jobs=jobs))
        findings += [finding for start in starts for finding in by_start[start]]
        findings += _splits(file, names)
        findings += _classes(file, names)
    return counted(findings)


def check_data(path: Path, name: str, parts: Sequence[str]) -> None:
    """Raise FormatError (E06) if spikes or images of a recording differ from their checksums."""
    inside = f"{schema.RECORDINGS}/{name}"
    with Hdf5File(path) as file:
        planes = stored_planes(file, name, attributes := read_attributes(file, inside))
        members = file.members(inside)
        findings = chain.from_iterable(
            _spikes(planes, attributes.get("sha256"))
            if part == schema.SPIKES
            else _checksum(file, f"{inside}/{part}")
            for part in parts
            if part in members
        )
        for finding in findings:
            if finding.code == "E06":
                raise file.error(
                    finding.path,
                    "damaged, differs from its stored SHA-256; copy the file again, or write only "
                    "intact recordings (archive export --name). archive verify lists all damage",
                    "E06",
                )


def _recordings(path: str | Path, start: int, names: list[str]) -> tuple[int, list[Finding]]:
    """Return the number of the first recording, and the findings of some recordings."""
    with Hdf5File(path) as file:
        return start, [finding for name in names for finding in _recording(file, name)]


def _members(file: Hdf5File, inside: str, findings: list[Finding]) -> list[str]:
    try:
        return file.members(inside)
    except SpikeZooError as error:
        findings.append(finding_of(error, "E12", inside, file))
        return []


def foreign_objects(file: Hdf5File, start: str = "") -> Iterator[Finding]:
    """Find links out of the file, data stored outside of it, and data of object types (E12)."""
    waiting, seen = [start], set()
    while waiting:
        inside = waiting.pop()
        try:
            with hdf5_errors(file.path, inside):
                item = file.find(inside)
                if isinstance(item, h5py.Dataset):
                    file.dataset(inside)
                objects = [
                    name for name in item.attrs if holds_objects(item.attrs.get_id(name).dtype)
                ]
                address = h5py.h5o.get_info(item.id).addr
                is_leaf = address in seen or isinstance(item, h5py.Dataset)
                members = [] if is_leaf else file.members(inside)  # hard links may form cycles
        except SpikeZooError as error:
            is_dangling = isinstance(error, MissingItemError)  # a soft link without target
            yield finding_of(error, "E12" if is_dangling else "E01", inside, file)
            continue
        for name in objects:
            yield Finding("E12", inside or "/", f"attribute {name!r} has an object type")
        seen.add(address)
        waiting += [f"{inside}/{name}".lstrip("/") for name in members]


def _unknown_parts(file: Hdf5File, inside: str) -> Iterator[Finding]:
    for name in sorted(set(file.members(inside)) - set(schema.KNOWN_ROOT)):
        yield Finding("W03", name, "unknown group, kept untouched")
    attributes = read_attributes(file, inside)
    yield from _unknown_attributes(inside, attributes, schema.KNOWN_ROOT_ATTRIBUTES)


def _recording(file: Hdf5File, name: str) -> Iterator[Finding]:
    """Check one recording: attributes, planes, images, unknown parts."""
    inside = f"{schema.RECORDINGS}/{name}"
    try:
        attributes = read_attributes(file, inside)
        yield from _attributes(inside, attributes)
        planes = stored_planes(file, name, attributes)
        read_group(file, name)
    except SpikeZooError as error:
        yield finding_of(error, "E04", inside, file)
        return
    yield from _parts(file, inside, planes)
    try:
        yield from _unknown_members(file, inside)
        for where in checked_datasets(file, inside):
            if where.removeprefix(f"{inside}/") not in schema.OF_IMAGES:
                yield from _checksum(file, where)
    except SpikeZooError as error:
        yield finding_of(error, "E06", inside, file)
    yield from _unknown_attributes(inside, attributes, schema.KNOWN_ATTRIBUTES)
    try:
        yield from _spikes(planes, attributes.get("sha256"))
    except SpikeZooError as error:
        yield finding_of(error, "E06", planes.inside, file)


def _attributes(inside: str, attributes: Mapping[str, Any]) -> Iterator[Finding]:
    for name in (name for name in schema.REQUIRED if name not in attributes):
        yield Finding("E06" if name == "sha256" else "E04", inside, f"attribute {name} is missing")
    allowed = {"bit_order": ("little",), "layout": ("wpack", "tpack")}
    for name, words in (allowed | {"source_format": SOURCE_FORMATS}).items():
        if (value := attributes.get(name, words[0])) not in words:
            yield Finding("E04", inside, f"attribute {name} is {value!r}, not one of {words}")
    if attributes.get("fps") == 0:
        yield Finding(
            "W02", inside, "fps is 0, which means unknown (archive build --fps states it)"
        )
    if problem := schema.rate_scale_problem(attributes.get("rate_scale")):
        yield Finding("E04", inside, problem)
    digest = attributes.get("sha256")
    if digest is not None and not re.fullmatch(r"[0-9a-f]{64}", str(digest)):
        yield Finding("E06", inside, "attribute sha256 is not 64 lower-case hex digits")


def _parts(file: Hdf5File, inside: str, planes: StoredPlanes) -> Iterator[Finding]:
    """Check images, motion and their plane indices (E06 to E09)."""
    parts: dict[str, Any] = {}
    reported = set()
    for part, code in schema.PART_CODES.items():
        where = f"{inside}/{part}"
        try:
            if file.holds(where):
                is_large, dimensions = part in schema.OF_IMAGES, 1 + (part != schema.IMAGE_INDEX)
                read = file.dataset(where) if is_large else read_integers(file, where, dimensions)
                parts[part] = read
        except SpikeZooError as error:
            reported.add(part)
            yield finding_of(error, code, where, file)
    size = planes.shape[0], planes.shape[1], planes.width
    for code, part, problem in schema.part_problems(parts, size):
        if part not in reported:
            reported.add(part)
            yield Finding(code, f"{inside}/{part}", problem)
    for part in schema.OF_IMAGES:
        if part in parts and part not in reported:
            try:
                yield from _values(file, f"{inside}/{part}", part)
            except SpikeZooError as error:
                yield finding_of(error, "E09", f"{inside}/{part}", file)


def _values(file: Hdf5File, where: str, part: str) -> Iterator[Finding]:
    """Check that a data set is complete (E09), its checksum (E06) and its values (E09)."""
    stored = file.dataset(where)
    if not is_complete(file, where, stored):
        yield Finding("E09", where, f"part of the {part} was never written")
    else:
        findings = list(_checksum(file, where))
        yield from findings
        is_float = part in (schema.IMAGES, schema.BLUR) and stored.dtype.kind == "f" and stored.size
        has_values = is_float and not findings
        if has_values and (problem := schema.values_problem(*value_range(file, where))):
            yield Finding("E09", where, problem)


def _checksum(file: Hdf5File, where: str) -> Iterator[Finding]:
    """Compare a data set with its checksum (E06), which older archives do not have."""
    actual, expected = dataset_sha256(file, where), stored_sha256(file, where)
    if expected not in (None, actual):
        yield Finding("E06", where, f"checksum {actual} differs from the stored {expected}")


def _unknown_members(file: Hdf5File, inside: str) -> Iterator[Finding]:
    for group, known in schema.KNOWN_MEMBERS.items():
        where = f"{inside}/{group}".rstrip("/")
        for name in sorted(set(file.members(where)) - set(known)):
            yield Finding("W03", f"{where}/{name}", "unknown part, kept untouched")


def _unknown_attributes(
    inside: str, attributes: Mapping[str, Any], known: Sequence[str]
) -> Iterator[Finding]:
    for name in sorted(set(attributes) - set(known)):
        yield Finding("W03", inside, f"unknown attribute {name!r}, kept untouched")


def _spikes(planes: StoredPlanes, sha256: object) -> Iterator[Finding]:
    """Check the padding bits (E05), the checksum (E06), and for constant spikes (W02)."""
    count, height, row_bytes = planes.shape
    last_bits = (1 << (planes.width - 1) % 8 + 1) - 1
    digest, dark, bright, padded = hashlib.sha256(), True, True, False
    step = max(1, _BLOCK_BYTES // (height * row_bytes))
    for first in range(0, count, step):
        block = np.ascontiguousarray(planes[first : min(first + step, count)])
        last = block[..., -1]
        padded = padded or bool((last & ~np.uint8(last_bits)).any())
        dark = dark and not block.any()
        bright = bright and bool((block[..., :-1] == 255).all() and (last == last_bits).all())
        digest.update(block.data)
    if padded or _padded_in_time(planes):
        yield Finding(
            "E05", planes.inside, f"bits beyond column {planes.width} or the last plane are not 0"
        )
    if sha256 is not None and digest.hexdigest() != sha256:
        yield Finding(
            "E06", planes.inside, f"checksum {digest.hexdigest()} differs from the stored {sha256}"
        )
    if dark or bright:
        yield Finding("W02", planes.inside, f"all spikes are {int(bright)}")


def _padded_in_time(planes: StoredPlanes) -> bool:
    spare = planes.shape[0] % 8
    if planes.layout != "tpack" or not spare:
        return False
    with hdf5_errors(planes.file.path, planes.inside):
        last = planes.file.dataset(planes.inside)[:, :, packed_width(planes.shape[0]) - 1]
    return bool((last >> spare).any())


def _splits(file: Hdf5File, names: list[str]) -> Iterator[Finding]:
    """Check that splits list existing recordings once (E10) and do not overlap (W01)."""
    findings: list[Finding] = []
    known, homes = set(names), dict[str, list[str]]()
    for split in _members(file, schema.SPLITS, findings):
        where = f"{schema.SPLITS}/{split}"
        try:
            members = split_names(file, split)
        except SpikeZooError as error:
            findings.append(finding_of(error, "E10", where, file))
            continue
        twice = sorted(name for name, times in Counter(members).items() if times > 1)
        findings += [Finding("E10", where, f"{name!r} is listed twice") for name in twice]
        lost = sorted(set(members) - known)
        findings += [Finding("E10", where, f"there is no recording {name!r}") for name in lost]
        for name in dict.fromkeys(members):
            homes.setdefault(name, []).append(split)
    shared = sorted(name for name, splits in homes.items() if len(splits) > 1)
    yield from findings
    yield from _repeated([f"{name!r} is in several splits" for name in shared])
    yield from _same_spikes(file, {name: homes[name] for name in homes if name in known})


def _same_spikes(file: Hdf5File, homes: Mapping[str, list[str]]) -> Iterator[Finding]:
    """Find recordings with the same spikes in different splits (W01)."""
    first: dict[object, str] = {}
    pairs = []
    for name, splits in homes.items():
        try:
            digest = read_attributes(file, f"{schema.RECORDINGS}/{name}").get("sha256")
        except SpikeZooError:  # reported with its recording
            continue
        other = first.setdefault(digest, name)
        if digest is not None and set(homes[other]) != set(splits):
            pairs.append(
                f"{other!r} ({', '.join(homes[other])}) and {name!r} ({', '.join(splits)}) have "
                "the same spikes"
            )
    yield from _repeated(pairs)


def _repeated(messages: list[str]) -> Iterator[Finding]:
    """Return one warning with the first message and the number of the others (W01)."""
    if messages:
        more = f" (and {len(messages) - 1} more)" if messages[1:] else ""
        yield Finding("W01", schema.SPLITS, messages[0] + more)


def _classes(file: Hdf5File, names: list[str]) -> Iterator[Finding]:
    """Check the attribute part (E01), names of classes, and that every label has one (E13)."""
    try:
        read_part(file)
        classes = read_label_names(file)
    except SpikeZooError as error:
        yield finding_of(error, "E13", "/", file)
        return
    for name in names if classes else []:
        try:
            label = read_label(file, name) or 0
        except SpikeZooError:  # reported with its recording
            continue
        if not 0 <= label < len(classes):
            where = f"{schema.RECORDINGS}/{name}/{schema.LABEL}"
            what = f"class {label} has no name: label_names has {len(classes)}"
            yield Finding("E13", where, what)
