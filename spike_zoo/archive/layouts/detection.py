"""Detection of the folder layout of a data set, and search for its takes and splits.

============ =====================================================================
layout       files
============ =====================================================================
``base``     ``<split>/spike/<clip>.dat`` with ``<split>/gt/<clip>.png`` at the middle
             plane, as Spike-Zoo stores its clips: 250x400, 0.6 spikes per plane at white
``sreds``    SREDS: scenes of files of 20 planes with an image each (see
             :func:`~spike_zoo.archive.layouts.published.find_sreds`), 0.4 spikes at white
``recvidar`` recVidarReal2019: real recordings of 250x400 without ground truth
``momvidar`` momVidarReal2021: the same
``bss``      BSS: the same of 1000x1000 behind Bayer filters, BGGR
``gopro``    S-SDM's GOPRO: blurry images with the spikes of their exposure, 180x320 (see
             :func:`~spike_zoo.archive.layouts.exposures.find_gopro`), 0.993 spikes at white
``rsb``      S-SDM's RSB, real: the same without stages and sharp images, 250x400
``usp``      USP-Gaussian: scenes of blurry images with spikes and sharp images of one size (see
             :func:`~spike_zoo.archive.layouts.exposures.find_usp`)
``folder``   recordings anywhere below the folder, or one file, with ground-truth images
             (:class:`~spike_zoo.archive.layouts.ground_truth.PictureFiles`); a first folder
             named train, val (valid, validation) or test, in any case, is the split
``archive``  an archive, to be rewritten with other options
``auto``     one of these, detected from the names of the files
============ =====================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_zoo.archive.layouts.camera import Camera
from spike_zoo.archive.layouts.exposures import (
    USP_EXPOSURE,
    ExposureRule,
    find_gopro,
    find_rsb,
    find_usp,
    is_gopro,
    is_rsb,
    is_usp,
)
from spike_zoo.archive.layouts.folders import SPLIT_FOLDERS, find_folder, read_archived
from spike_zoo.archive.layouts.published import (
    REAL,
    SREDS_PARTS,
    Found,
    find_base,
    find_real,
    find_sreds,
    is_sreds,
)
from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.archive.schema import USUAL_SPLITS
from spike_zoo.errors import FormatError, MissingFileError, UsageError
from spike_zoo.files import listed
from spike_zoo.formats.hdf5_plain import is_archive
from spike_zoo.formats.hdf5_writing import recording_name
from spike_zoo.formats.recording import ARCHIVE_SUFFIXES, RECORDING_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from spike_zoo.spikes.take import Take

    Finder = Callable[[Path, Camera], Iterator[Found]]


_REAL_DAT = "<name>.dat in the folder or below"
#: Exact name of a folder -> layout.
_REAL_NAMES = {name: name for name in REAL} | {
    "recvidarreal2019": "recvidar",
    "momvidarreal2021": "momvidar",
}
#: Layout -> the files that it consists of.
_FILES = {
    "base": "<split>/spike/<clip>.dat with <split>/gt/<clip>.png",
    "sreds": " and ".join(f"{part.spikes}/<scene>/<name>.dat" for part in SREDS_PARTS),
    **dict.fromkeys(REAL, _REAL_DAT),
    "gopro": "<split>/spike_data/<sequence>/<name>.dat with <name>.png in <split>/blur_data/"
    "<sequence> and <split>/sharp_data/<sequence>",
    "rsb": "spike_data/<sequence>/<name>.dat with blur_data/<sequence>/<name>.png",
    "usp": "spike_data/<name>.dat with blur_data/<name>.png and sharp_data/<name>.png, in the "
    "folder or in folders of scenes",
    "folder": f"recordings ({', '.join(RECORDING_SUFFIXES)}) in the folder or below",
    "archive": "recordings",
}


@dataclass
class DetectedTakes:
    """Takes of a data set, as arguments for :func:`~spike_zoo.archive.build_archive`.

    Attributes:
        jobs: Name of each take in the archive -> function that reads the take.
        splits: Names of each split.
        origin: The source archive, if the source is an archive.
        renamed: Original names of recordings -> their names in the archive, if these differ.
    """

    jobs: dict[str, Callable[[], Take]] = field(default_factory=dict)
    splits: dict[str, list[str]] = field(default_factory=dict)
    origin: Path | None = None
    renamed: dict[str, str] = field(default_factory=dict)

    @property
    def without_split(self) -> list[str]:
        """Names of the takes without a split, which training and test do not use."""
        in_splits = {name for names in self.splits.values() for name in names}
        return [name for name in self.jobs if name not in in_splits]

    def keep_part(self, number: int, parts: int) -> None:
        """Keep only one of several parts of equal size; parts are counted from 1.

        Raises:
            UsageError: If there are fewer takes than parts.
        """
        names = list(self.jobs)
        if len(names) < parts:
            raise UsageError(f"--shards: {len(names)} recordings cannot fill {parts} parts")
        edges = [len(names) * k // parts for k in (number - 1, number)]
        kept = dict.fromkeys(names[slice(*edges)])
        self.jobs = {name: self.jobs[name] for name in kept}
        splits = {
            split: [name for name in listed if name in kept]
            for split, listed in self.splits.items()
        }
        self.splits = {split: listed for split, listed in splits.items() if listed}

    def add(self, name: str, split: str | None, job: Callable[[], Take]) -> None:
        """Add a take; prefix its name with the split if another take has the same name.

        Raises:
            FormatError: If two takes would have the same name.
        """
        original, name = name, recording_name(name)
        if name in self.jobs and split is not None:
            name = recording_name(f"{split}-{name}")
        if name in self.jobs:
            other = next((old for old, new in self.renamed.items() if new == name), name)
            raise FormatError(
                f"recordings {other!r} and {original!r} would both be called {name!r} in an "
                "archive; rename one of the files",
                path=name,
            )
        if name != original:
            self.renamed[original] = name
        self.jobs[name] = job
        if split is not None:
            self.splits.setdefault(split, []).append(name)


def find_takes(
    source: str | Path,
    *,
    layout: str = "auto",
    split: str | None = None,
    exposure: ExposureRule | None = None,
    **camera: Any,
) -> DetectedTakes:
    """Find the takes of a data set without reading them.

    Args:
        source: The folder or file.
        layout: A layout of the table above.
        split: Split of all takes, regardless of their folders.
        exposure: Planes of the exposures of blurry images; only for ``gopro``, ``rsb`` and
            ``usp``.
        **camera: Attributes of :class:`~spike_zoo.archive.layouts.camera.Camera`; they override
            those of files, sidecars and the layout.

    Raises:
        MissingFileError: If the source or a file that belongs to it is missing.
        UsageError: If the layout is unknown, or has no exposures but ``exposure`` is given; if
            the split is similar to train, val or test, or the camera is invalid.
        FormatError: If the source has no recordings, or a file has the wrong size.
    """
    source = Path(source)
    stated = Camera(**camera)
    _check_split(split)
    if not source.exists():
        raise MissingFileError.at(source, "there is no such file or folder")
    chosen = _recognise(source) if layout == "auto" else layout
    found = DetectedTakes()
    finder = _finder(chosen, exposure)
    if source.is_dir() or chosen in ("folder", "archive"):
        for name, home, job in finder(source, stated):
            found.add(name, split or home, job)
    if not found.jobs:
        raise FormatError.at(
            source,
            f"no recordings of layout {chosen}, which consists of {_FILES[chosen]}. "
            "Rename the folders or choose another --layout",
        )
    if chosen == "archive":
        found.origin = source
        found.splits = found.splits or _membership(source, found.jobs)
    return found


def _check_split(split: str | None) -> None:
    """Raise if a split is similar to a default split of data modules, such as Train or tset."""
    if split is None or split in USUAL_SPLITS:
        return
    lower, similar = split.lower(), SPLIT_FOLDERS.get(split.lower())
    if similar is None and not any(usual in lower for usual in USUAL_SPLITS):  # train-2 is valid
        similar = next(iter(get_close_matches(lower, USUAL_SPLITS, 1, 0.7)), None)
    if similar is not None:
        raise UsageError(
            f"--split {split}: did you mean {similar}? Training and test use "
            f"{', '.join(USUAL_SPLITS)} by default"
        )


def _finder(layout: str, exposure: ExposureRule | None) -> Finder:
    """Return the function that finds the takes of a layout."""
    finders: dict[str, Finder] = {
        "base": find_base,
        "sreds": find_sreds,
        **{name: partial(find_real, layout=name) for name in REAL},
        "gopro": partial(find_gopro, rule=exposure or ExposureRule()),
        "rsb": partial(find_rsb, rule=exposure or ExposureRule()),
        "usp": partial(find_usp, rule=exposure or USP_EXPOSURE),
        "folder": find_folder,
        "archive": _archive,
    }
    if layout not in finders:
        raise UsageError(f"layout must be auto, {', '.join(finders)}, got {layout!r}")
    if exposure is not None and layout not in ("gopro", "rsb", "usp"):
        raise UsageError(
            f"--exposure-start and --exposure-length are for the layouts gopro, rsb and usp, not "
            f"for {layout}"
        )
    return finders[layout]


def _recognise(source: Path) -> str:
    if source.is_file():
        has_suffix = source.suffix.lower() in ARCHIVE_SUFFIXES
        return "archive" if has_suffix and is_archive(source) else "folder"
    if is_sreds(source):
        return "sreds"
    if is_gopro(source) or is_rsb(source):
        return "gopro" if is_gopro(source) else "rsb"
    if is_usp(source):
        return "usp"
    if layout := _REAL_NAMES.get(source.resolve().name.lower()):
        return layout
    return "base" if listed(source, "*/spike/*.dat") else "folder"


def _archive(path: Path, camera: Camera) -> Iterator[Found]:
    """Yield the takes of an archive, without splits, which :func:`_membership` returns."""
    stated = (camera.height, camera.width, camera.flip, camera.mirror, camera.rotate)
    if any(value is not None for value in stated):
        raise UsageError(
            f"{path}: an archive states its recordings' sizes; remove height, width, flip, mirror "
            "and rotate"
        )
    archive = SpikeArchive(path)
    for name in archive:
        yield name, None, partial(read_archived, archive, name, camera)


def _membership(path: Path, jobs: Container[str]) -> dict[str, list[str]]:
    """Return the splits of an archive in their order; a recording may be in several."""
    archive = SpikeArchive(path)
    listed = {split: map(recording_name, archive.names(split)) for split in archive.splits()}
    return {split: [name for name in names if name in jobs] for split, names in listed.items()}
