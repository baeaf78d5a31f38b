"""Folders of recordings as people keep them: which files are takes, and in which split.

============ =====================================================================
layout       what it is
============ =====================================================================
``base``     ``<split>/spike/<clip>.dat`` with ``<split>/gt/<clip>.png`` at the middle
             plane, as Spike-Zoo keeps its clips: 250x400, 0.6 spikes per plane at white
``sreds``    SREDS: scenes of files of 20 planes with an image each (see
             :func:`~spike_zoo.archive.published.find_sreds`), 0.4 spikes at white
``recvidar`` recVidarReal2019: real recordings of 250x400 without ground truth
``gopro``    S-SDM's GOPRO: blurry images with the spikes of their exposure, 180x320 (see
             :func:`~spike_zoo.archive.exposures.find_gopro`), 0.993 spikes at white
``rsb``      S-SDM's RSB, real: the same without stages and sharp images, 250x400
``folder``   recordings anywhere below the folder, or one file; a first folder named
             train, val or test is the split
``archive``  an archive, to be written again in another way
``auto``     whichever of these it looks like
============ =====================================================================
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from spike_zoo.archive.exposures import ExposureRule, find_gopro, find_rsb, is_gopro, is_rsb
from spike_zoo.archive.published import Found, find_base, find_recvidar, find_sreds, is_sreds
from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.errors import FormatError, MissingFileError, UsageError
from spike_zoo.formats.hdf5_writing import recording_name
from spike_zoo.formats.recording import read_recording
from spike_zoo.spikes.take import Take

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    Finder = Callable[[Path, int | None, int | None], Iterator[Found]]

_RECORDINGS = (".dat", ".npz", ".npy", ".spl")
_SPLITS = ("train", "val", "valid", "validation", "test")


@dataclass
class FoundTakes:
    """What a folder holds, ready for :func:`~spike_zoo.archive.build_archive`.

    Attributes:
        jobs: A function that reads each take, by the name it will have.
        splits: Names of each split.
        origin: The archive they come from, if they come from one.
    """

    jobs: dict[str, Callable[[], Take]] = field(default_factory=dict)
    splits: dict[str, list[str]] = field(default_factory=dict)
    origin: Path | None = None

    def add(self, name: str, split: str | None, job: Callable[[], Take]) -> None:
        """Note a take; one of the same name in another place gets its split in front."""
        name = recording_name(name)
        if name in self.jobs and split is not None:
            name = recording_name(f"{split}-{name}")
        if name in self.jobs:
            raise FormatError(
                f"two recordings would have the name {name!r}; rename one of them", path=name
            )
        self.jobs[name] = job
        if split is not None:
            self.splits.setdefault(split, []).append(name)


def find_takes(
    source: str | Path,
    *,
    layout: str = "auto",
    height: int | None = None,
    width: int | None = None,
    split: str | None = None,
    exposure: ExposureRule | None = None,
) -> FoundTakes:
    """Find the takes of a data set without reading them.

    Args:
        source: The folder or file.
        layout: One of those above.
        height: Rows of ``.dat`` recordings, if no sidecar or layout tells.
        width: Columns of ``.dat`` recordings, if no sidecar or layout tells.
        split: Put every take in this split, whatever its folder.
        exposure: Which planes the blurry images were exposed over; for ``gopro`` and ``rsb`` only.

    Raises:
        MissingFileError: If it is missing, or a file that belongs to it; names the first.
        UsageError: If the layout has another name, or has no exposures and some are given.
        FormatError: If nothing in it is a recording, or a file has the wrong size.
    """
    source = Path(source)
    if not source.exists():
        raise MissingFileError(f"{source}: there is no such file or folder", path=str(source))
    chosen = _recognise(source) if layout == "auto" else layout
    found = FoundTakes()
    for name, home, job in _finder(chosen, exposure)(source, height, width):
        found.add(name, split or home, job)
    if not found.jobs:
        raise FormatError(
            f"{source}: no recordings of layout {chosen} in it ({', '.join(_RECORDINGS)})",
            path=str(source),
        )
    if chosen == "archive":
        found.origin = source
        found.splits = found.splits or _membership(source, found.jobs)
    return found


def _finder(layout: str, exposure: ExposureRule | None) -> Finder:
    """Return what finds the takes of a layout."""
    finders: dict[str, Finder] = {
        "base": find_base,
        "sreds": find_sreds,
        "recvidar": find_recvidar,
        "gopro": partial(find_gopro, rule=exposure or ExposureRule()),
        "rsb": partial(find_rsb, rule=exposure or ExposureRule()),
        "folder": _folder,
        "archive": _archive,
    }
    if layout not in finders:
        raise UsageError(f"layout must be auto, {', '.join(finders)}, got {layout!r}")
    if exposure is not None and layout not in ("gopro", "rsb"):
        raise UsageError(f"exposures and their rate scale go with gopro or rsb, not with {layout}")
    return finders[layout]


def _recognise(source: Path) -> str:
    if source.is_file():
        return "archive" if source.suffix.lower() in (".h5", ".hdf5") else "folder"
    if is_sreds(source):
        return "sreds"
    if is_gopro(source) or is_rsb(source):
        return "gopro" if is_gopro(source) else "rsb"
    if "recvidar" in source.resolve().name.lower():
        return "recvidar"
    return "base" if any(source.glob("*/spike/*.dat")) else "folder"


def _folder(root: Path, height: int | None, width: int | None) -> Iterator[Found]:
    """Yield every recording below a folder, or the one file."""
    if root.is_file():
        yield root.stem, None, partial(_read_plain, root, height, width)
        return
    files = [path for path in sorted(root.rglob("*")) if path.suffix.lower() in _RECORDINGS]
    stems = Counter(path.stem for path in files)
    for path in files:
        parts = path.relative_to(root).with_suffix("").parts
        split = parts[0] if len(parts) > 1 and parts[0] in _SPLITS else None
        name = path.stem if stems[path.stem] == 1 else "-".join(parts)
        yield name, split, partial(_read_plain, path, height, width)


def _read_plain(path: Path, height: int | None, width: int | None) -> Take:
    raw = path.suffix.lower() == ".dat"
    size = (height, width) if raw else (None, None)
    recording = read_recording(path, height=size[0], width=size[1])
    label = recording.meta.get("label")  # samples of recognition, in .npz or by their sidecar
    return Take(recording, label=label if type(label) is int else None)


def _archive(path: Path, height: int | None, width: int | None) -> Iterator[Found]:
    """Yield the takes of an archive; their splits are read by themselves."""
    if height is not None or width is not None:
        raise UsageError(
            f"{path}: an archive knows its recordings' sizes; leave height and width out"
        )
    archive = SpikeArchive(path)
    for name in archive:
        yield name, None, partial(archive.take, name)


def _membership(path: Path, jobs: Container[str]) -> dict[str, list[str]]:
    """Return the splits of an archive in their order; a recording may be in several."""
    archive = SpikeArchive(path)
    listed = {split: map(recording_name, archive.names(split)) for split in archive.splits()}
    return {split: [name for name in names if name in jobs] for split, names in listed.items()}
