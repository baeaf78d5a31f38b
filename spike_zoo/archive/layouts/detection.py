"""Detection of the folder layout of a data set, and search for its takes and splits."""

import hashlib
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from spike_zoo.archive.layouts.exposures import GOPRO, RSB, USP, ExposureRule
from spike_zoo.archive.layouts.folders import (
    SPLIT_FOLDERS,
    find_base,
    find_folder,
    find_real,
    read_archived,
)
from spike_zoo.archive.layouts.ground_truth import FoundTake
from spike_zoo.archive.layouts.sreds import SREDS_PARTS, find_sreds, is_sreds
from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.archive.schema import USUAL_SPLITS, Part
from spike_zoo.errors import FormatError, MissingFileError, UsageError
from spike_zoo.formats.hdf5_recording import is_archive
from spike_zoo.formats.recording import ARCHIVE_SUFFIXES, RECORDING_SUFFIXES
from spike_zoo.formats.sidecar import RecordingSettings
from spike_zoo.spikes.take import Take
from spike_zoo.utils.files import folder_entries, plain_name


@dataclass
class DetectedTakes:
    """Takes of a data set, as arguments for :func:`~spike_zoo.archive.build_archive`."""

    #: name of each take in the archive -> function that reads the take
    jobs: dict[str, Callable[[], Take]] = field(default_factory=dict)
    splits: dict[str, list[str]] = field(default_factory=dict)  #: names of each split
    origin: Path | None = None  #: the source archive, if the source is an archive
    #: original names of recordings -> their names in the archive, if these differ
    renamed: dict[str, str] = field(default_factory=dict)
    part: Part | None = None  #: position of these takes among those of one build

    @property
    def without_split(self) -> list[str]:
        """Names of the takes without a split, which training and test do not use."""
        in_splits = {name for names in self.splits.values() for name in names}
        return [name for name in self.jobs if name not in in_splits]

    def keep_part(self, number: int, parts: int, source: Path) -> None:
        """Keep only one of several parts of equal size; parts are counted from 1."""
        names = list(self.jobs)
        if len(names) < parts:
            raise UsageError(f"--shards: {len(names)} recordings cannot fill {parts} parts")
        # arguments of the readers are files and options; the source may have other parent folders
        readers = {name: getattr(job, "args", ()) for name, job in self.jobs.items()}
        files = [arg for args in readers.values() for arg in args if isinstance(arg, Path)]
        sizes = [file.stat().st_size for file in files]
        text = repr((readers, self.splits, sizes)).replace(f"'{source}", "'")
        self.part = Part(number, parts, hashlib.sha256(text.encode()).hexdigest())
        edges = [len(names) * k // parts for k in (number - 1, number)]
        selection = dict.fromkeys(names[slice(*edges)])
        self.jobs = {name: self.jobs[name] for name in selection}
        splits = {
            split: [name for name in members if name in selection]
            for split, members in self.splits.items()
        }
        self.splits = {split: members for split, members in splits.items() if members}

    def add(self, name: str, split: str | None, job: Callable[[], Take]) -> None:
        """Add a take; prefix its name with the split if another take has the same name."""
        original, name = name, plain_name(name)
        if name in self.jobs and split is not None:
            name = plain_name(f"{split}-{name}")
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


class Layout(NamedTuple):
    """A layout of files."""

    files: str  #: the files that it consists of
    #: yield the takes below a folder; of layouts with exposures also from an exposure rule
    find: Callable[..., Iterator[FoundTake]]
    usual: RecordingSettings = RecordingSettings()  #: for what nothing else states
    matches: Callable[[Path], bool] = lambda _: False  #: return whether a folder has the layout
    exposure: ExposureRule | None = None  #: default exposures of blurry images


def _real(usual: RecordingSettings, *names: str) -> Layout:
    """Return a layout of real recordings, recognised by the exact name of the folder."""
    return Layout(
        "<name>.dat in the folder or below",
        find_real,
        usual,
        lambda root: root.resolve().name.lower() in names,
    )


def find_archived(path: Path, user_settings: RecordingSettings) -> Iterator[FoundTake]:
    """Yield the takes of an archive, without splits, which :func:`_membership` returns."""
    sizes = (
        user_settings.height,
        user_settings.width,
        user_settings.flip,
        user_settings.mirror,
        user_settings.rotate,
    )
    if any(value is not None for value in sizes):
        raise UsageError(
            f"{path}: an archive states its recordings' sizes; remove height, width, flip, mirror "
            "and rotate"
        )
    archive = SpikeArchive(path)
    for name in archive:
        yield name, None, partial(read_archived, archive, name, user_settings)


#: Published data sets, other folders, and archives to be rewritten with other options.
LAYOUTS: Final[dict[str, Layout]] = {
    "base": Layout(
        "<split>/spike/<clip>.dat with <split>/gt/<clip>.png",
        find_base,
        RecordingSettings(250, 400, rate_scale=0.6),
        lambda root: bool(folder_entries(root, "*/spike/*.dat")),
    ),
    "sreds": Layout(
        " and ".join(f"{part.spikes}/<scene>/<name>.dat" for part in SREDS_PARTS),
        find_sreds,
        matches=is_sreds,
    ),
    "recvidar": _real(RecordingSettings(250, 400), "recvidar", "recvidarreal2019"),
    "momvidar": _real(RecordingSettings(250, 400), "momvidar", "momvidarreal2021"),
    # filters of upright images, as the authors' loaders read them
    "bss": _real(RecordingSettings(1000, 1000, cfa="BGGR"), "bss"),
    "gopro": Layout(
        "<split>/spike_data/<sequence>/<name>.dat with <name>.png in <split>/blur_data/<sequence> "
        "and <split>/sharp_data/<sequence>",
        GOPRO.find,
        # rate scale of S-SDM's simulator at its threshold; video of 240 fps, 8 planes per frame
        RecordingSettings(180, 320, rate_scale=0.9927, fps=240.0 * 8),
        GOPRO.matches,
        ExposureRule(),
    ),
    "rsb": Layout(
        "spike_data/<sequence>/<name>.dat with blur_data/<sequence>/<name>.png",
        RSB.find,
        RecordingSettings(250, 400),
        RSB.matches,
        ExposureRule(),
    ),
    "usp": Layout(
        "spike_data/<name>.dat with blur_data/<name>.png and sharp_data/<name>.png, in the "
        "folder or in folders of scenes",
        USP.find,
        matches=USP.matches,
        exposure=ExposureRule(central=97),  # as long as those of GOPRO
    ),
    "folder": Layout(
        f"recordings ({', '.join(RECORDING_SUFFIXES)}) in the folder or below", find_folder
    ),
    "archive": Layout("recordings", find_archived),
}
_DETECTED: Final = ("sreds", "gopro", "rsb", "usp", "recvidar", "momvidar", "bss", "base")


def find_takes(
    source: str | Path,
    *,
    layout: str = "auto",
    split: str | None = None,
    exposure: ExposureRule | None = None,
    **settings: Any,
) -> DetectedTakes:
    """Find the takes of a data set without reading them.

    Args:
        source: The folder or file.
        layout: A key of :data:`LAYOUTS`, or ``auto``: detected from the names of the files.
        split: Split of all takes, regardless of their folders.
        exposure: Planes of the exposures of blurry images; only for ``gopro``, ``rsb`` and
            ``usp``.
        **settings: Attributes of :class:`~spike_zoo.formats.sidecar.RecordingSettings`; they
            override those of files, sidecars and the layout.

    Raises:
        MissingFileError: If the source or a file that belongs to it is missing.
        UsageError: If the layout is unknown, or has no exposures but ``exposure`` is given; if
            the split is similar to train, val or test, or a setting is invalid.
        FormatError: If the source has no recordings, or a file has the wrong size.
    """
    source = Path(source)
    user_settings = RecordingSettings(**settings)
    _check_split(split)
    if not source.exists():
        raise MissingFileError.at(source, "there is no such file or folder")
    chosen = _recognise(source) if layout == "auto" else layout
    rule = _layout(chosen, exposure)
    found = DetectedTakes()
    if source.is_dir() or chosen in ("folder", "archive"):
        options = [] if rule.exposure is None else [exposure or rule.exposure]
        for name, home, job in rule.find(
            source, replace(user_settings, usual=rule.usual), *options
        ):
            found.add(name, split or home, job)
    if not found.jobs:
        raise FormatError.at(
            source,
            f"no recordings of layout {chosen}, which consists of {rule.files}. "
            "Rename the folders or choose another --layout",
        )
    if chosen == "archive":
        found.origin = source
        found.splits = found.splits or _membership(source, found.jobs)
        found.part = SpikeArchive(source).parts[0]
        is_changed = (user_settings, split) != (RecordingSettings(), None)
        if found.part and is_changed:  # no longer of the same options
            text = f"{found.part}{user_settings}{split}".partition(" ")[2]
            digest = hashlib.sha256(text.encode()).hexdigest()
            found.part = found.part._replace(digest=digest)
    return found


def _layout(name: str, exposure: ExposureRule | None) -> Layout:
    """Return a layout by its name; raise UsageError if it is unknown or has no exposures."""
    if name not in LAYOUTS:
        raise UsageError(f"layout must be auto, {', '.join(LAYOUTS)}, got {name!r}")
    if exposure is not None and LAYOUTS[name].exposure is None:
        *names, last = (name for name, other in LAYOUTS.items() if other.exposure is not None)
        raise UsageError(
            f"--exposure-start and --exposure-length are for the layouts "
            f"{', '.join(names)} and {last}, not for {name}"
        )
    return LAYOUTS[name]


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


def _recognise(source: Path) -> str:
    if source.is_file():
        has_suffix = source.suffix.lower() in ARCHIVE_SUFFIXES
        return "archive" if has_suffix and is_archive(source) else "folder"
    return next((name for name in _DETECTED if LAYOUTS[name].matches(source)), "folder")


def _membership(path: Path, jobs: Container[str]) -> dict[str, list[str]]:
    """Return the splits of an archive in their order; a recording may be in several."""
    archive = SpikeArchive(path)
    members = {split: map(plain_name, archive.names(split)) for split in archive.splits()}
    return {split: [name for name in names if name in jobs] for split, names in members.items()}
