"""The kinds of archive that ``simulate`` makes of a folder of pictures: :data:`PICTURE_SETS`."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from spike_zoo.errors import MissingFileError, UsageError
from spike_zoo.formats.hdf5_writing import recording_name
from spike_zoo.simulation.datasets.cifar import find_cifar
from spike_zoo.simulation.datasets.class_folders import find_caltech, find_class_folders
from spike_zoo.simulation.datasets.mnist import find_mnist
from spike_zoo.simulation.datasets.sampling import even_part
from spike_zoo.simulation.datasets.septuplets import SEPTUPLET_SIMULATOR, Septuplet, find_septuplets
from spike_zoo.simulation.kinds.labelled import LabelledPicture, labelled_drifts
from spike_zoo.simulation.kinds.recipes import ArchiveRequest
from spike_zoo.simulation.scenes.drifting import DRIFT_PLANES, DRIFT_SIMULATOR, DriftSpec
from spike_zoo.simulation.scenes.photographs import SPLITS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spike_zoo.simulation.kinds.labelled import FoundPictures
    from spike_zoo.simulation.kinds.recipes import Options, TakesBySplit
    from spike_zoo.simulation.scenes.photographs import Split

_LEAST: Final = MappingProxyType({"height": 1, "width": 1, "planes": 2})


class PictureSet(Protocol):
    """A kind of archive that is made of a folder of pictures.

    Attributes:
        options: What may be asked, with the defaults.
    """

    @property
    def options(self) -> Options:
        """What may be asked, with the defaults; None where nothing is asked."""

    def out(self, folder: Path) -> str:
        """Return the archive that is written by default."""

    def request(self, folder: Path, seed: int, values: Options) -> ArchiveRequest:
        """Return what makes the archive."""


@dataclass(frozen=True)
class DriftingSet:
    """Labelled pictures, each in straight motion.

    Attributes:
        name: What the set is called; by default its folder's name.
        find: Returns the pictures of a folder, drawn by a seed, with further options.
        height: Rows of a plane.
        width: Columns of a plane.
        mirrored: Whether pictures fill the plane and go on mirrored, or lie on a dark plane.
        further: Options that ``find`` takes, with the defaults.
    """

    name: str
    find: Callable[..., FoundPictures]
    height: int
    width: int
    mirrored: bool
    further: tuple[str, ...] = ()

    @property
    def options(self) -> Options:
        """What may be asked, with the defaults; None where nothing is asked."""
        size = {"height": self.height, "width": self.width, "planes": DRIFT_PLANES}
        further = dict.fromkeys((*self.further, "limit"))
        return size | {"noise": "none", "motions": 1} | further

    def out(self, folder: Path) -> str:
        """Return the archive that is written by default, named after the set or the folder."""
        return f"data/{self.name or recording_name(folder.resolve().name)}.h5"

    def request(self, folder: Path, seed: int, values: Options) -> ArchiveRequest:
        """Return what makes the archive: every picture moving, those to train on repeatedly."""
        motion = {name: values[name] for name in ("height", "width", "planes", "noise")}
        DriftSpec("", mirrored=self.mirrored, **motion)  # rejects what cannot move, before any work
        further = {name: values[name] for name in self.further}
        found = self.find(folder, seed, **further)
        splits = _limited(found.splits, values["limit"])
        takes = functools.partial(self._takes, splits, seed, values["motions"], motion)
        asked = _asked(DRIFT_SIMULATOR, folder, seed, values, splits)
        return ArchiveRequest(asked, takes, found.label_names)

    def _takes(
        self,
        splits: Mapping[Split, list[LabelledPicture]],
        seed: int,
        motions: int,
        motion: dict[str, Any],
    ) -> TakesBySplit:
        return {
            split: {
                drift.name: drift.take
                for drift in labelled_drifts(
                    pictures,
                    motions if split == "train" else 1,
                    seed,
                    mirrored=self.mirrored,
                    **motion,
                )
            }
            for split, pictures in splits.items()
        }


@dataclass(frozen=True)
class SeptupletSet:
    """Clips of seven frames, to reconstruct."""

    options: Options

    def out(self, folder: Path) -> str:
        """Return the archive that is written by default."""
        return "data/s-vimeo.h5"

    def request(self, folder: Path, seed: int, values: Options) -> ArchiveRequest:
        """Return what makes the archive: the spikes of every clip with five of its frames.

        Raises:
            SpikeZooError: If the set is not whole, as :func:`find_septuplets` says.
        """
        splits = _limited(find_septuplets(folder, seed, values["noise"]), values["limit"])
        asked = _asked(SEPTUPLET_SIMULATOR, folder, seed, values, splits)
        return ArchiveRequest(
            asked,
            lambda: {
                split: {clip.name: clip.take for clip in clips} for split, clips in splits.items()
            },
        )


PICTURE_SETS: Final[Mapping[str, PictureSet]] = MappingProxyType(
    {
        "labelled": DriftingSet("", find_class_folders, 64, 64, mirrored=True),
        "s-mnist": DriftingSet("s-mnist", find_mnist, 64, 64, False, ("balanced",)),
        "s-cifar": DriftingSet("s-cifar", find_cifar, 64, 64, mirrored=True),
        "s-caltech": DriftingSet("s-caltech", find_caltech, 128, 128, mirrored=True),
        "s-vimeo": SeptupletSet({"noise": "none", "limit": None}),
    }
)


def picture_request(kind: str, images: str | None, seed: int, given: Options) -> ArchiveRequest:
    """Return what makes an archive of a folder of pictures."""
    chosen = PICTURE_SETS[kind]
    for name in given:
        if name not in chosen.options:
            kinds = [other for other, some in PICTURE_SETS.items() if name in some.options]
            goes = f"it goes with --kind {' or '.join(kinds)}" if kinds else "leave it out"
            raise UsageError(f"--{name} means nothing for the pictures of --kind {kind}; {goes}")
    if images is None:
        raise UsageError(f"--kind {kind} needs --images, the folder of the set; see docs/data.md")
    folder = Path(images)
    if not folder.is_dir():
        raise MissingFileError(f"{folder}: there is no such folder", path=str(folder))
    values = {**chosen.options, **given}
    for name, value in values.items():
        if isinstance(value, int) and value < (least := _LEAST.get(name, 1)):
            raise UsageError(f"--{name} must be at least {least}, got {value}")
    request = chosen.request(folder, seed, values)
    return request._replace(asked={"kind": kind} | request.asked)


def _limited(splits: Mapping[Split, list[Any]], limit: int | None) -> dict[Split, list[Any]]:
    """Return the splits that hold something, each with at most so many."""
    found = {split: splits.get(split, []) for split in SPLITS}
    if limit is not None:
        found = {split: even_part(items, limit) for split, items in found.items()}
    return {split: items for split, items in found.items() if items}


def _asked(
    simulator: str,
    folder: Path,
    seed: int,
    values: Options,
    splits: Mapping[Split, list[LabelledPicture]] | Mapping[Split, list[Septuplet]],
) -> dict[str, Any]:
    """Return what is written into an archive: options, and a digest of the pictures' names."""
    names = [recording_name(item.name) for items in splits.values() for item in items]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise UsageError(
            f"{folder}: two pictures would make {twice[0]!r}; rename one of them", path=str(folder)
        )
    counts = {split: len(items) for split, items in splits.items()}
    listed = hashlib.sha256("\n".join(names).encode()).hexdigest()
    given = {name: value for name, value in values.items() if value is not None}
    place = {"simulator": simulator, "images": folder.resolve().name, "seed": seed}
    return place | given | {"pictures": counts, "listed": listed}
