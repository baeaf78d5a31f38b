"""Kinds of archives that ``simulate`` makes from a folder of images, in :data:`IMAGE_SETS`."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from spike_zoo.errors import MissingFileError, UsageError
from spike_zoo.simulation.datasets.labelled_sets import (
    even_part,
    find_caltech,
    find_cifar,
    find_class_folders,
    find_mnist,
)
from spike_zoo.simulation.datasets.septuplets import SEPTUPLET_SIMULATOR, Septuplet, find_septuplets
from spike_zoo.simulation.kinds.labelled import LabelledImage, LabelledSet, labelled_drifts
from spike_zoo.simulation.kinds.recipes import ArchiveRequest, Options, TakesBySplit
from spike_zoo.simulation.scenes.drifting import DRIFT_PLANES, DRIFT_SIMULATOR, DriftSpec
from spike_zoo.simulation.scenes.photographs import SPLITS, Split
from spike_zoo.utils.files import content_sha256, plain_name

_MIN_PLANES: Final = 2  # of a motion
ALL_IMAGES: Final[dict[str, Any]] = dict.fromkeys(SPLITS)
"""Options that limit the images of a split, unset."""


@dataclass(frozen=True)
class ImageSet:
    """A kind of archive that is made from a folder of images."""

    name: str  #: name of the data set; empty uses the name of the folder
    options: Options  #: options with their defaults; None leaves an option unset
    #: function that returns the archive request for a folder, a seed and options
    request: Callable[[Path, int, Options], ArchiveRequest]

    def out(self, folder: Path) -> str:
        """Return the default path of the archive, named after the data set or the folder."""
        return f"data/{self.name or plain_name(folder.resolve().name)}.h5"


def _drifting(
    name: str, find: Callable[..., LabelledSet], side: int, *, mirrored: bool
) -> ImageSet:
    """Return a data set of labelled images in linear motion over planes of ``side`` x ``side``.

    ``find`` returns the images of a folder, from a seed. Images that are ``mirrored`` fill the
    plane and continue beyond their edges; others move over a dark plane.
    """

    def request(folder: Path, seed: int, values: Options) -> ArchiveRequest:
        motion = {name: values[name] for name in ("height", "width", "planes", "noise")}
        DriftSpec("", mirrored=mirrored, **motion)  # rejects invalid options before files are read
        images = find(folder, seed)
        splits = _limited(images.splits, values)

        def takes() -> TakesBySplit:
            times = {split: values["motions"] if split == "train" else 1 for split in splits}
            drifts = {
                split: labelled_drifts(items, times[split], seed, mirrored=mirrored, **motion)
                for split, items in splits.items()
            }
            return {
                split: {drift.name: drift.take for drift in items}
                for split, items in drifts.items()
            }

        metadata = _metadata(DRIFT_SIMULATOR, folder, seed, values, splits)
        return ArchiveRequest(metadata, takes, images.label_names)

    size = {"height": side, "width": side, "planes": DRIFT_PLANES}
    options = size | {"noise": "none", "motions": 1} | ALL_IMAGES
    return ImageSet(name, options, request)


def _septuplets(folder: Path, seed: int, values: Options) -> ArchiveRequest:
    """Return the archive request for spikes of septuplets, with five frames as ground truth."""
    splits = _limited(find_septuplets(folder, seed, values["noise"]), values)
    return ArchiveRequest(
        _metadata(SEPTUPLET_SIMULATOR, folder, seed, values, splits),
        lambda: {split: {clip.name: clip.take for clip in some} for split, some in splits.items()},
    )


IMAGE_SETS: Final[Mapping[str, ImageSet]] = MappingProxyType(
    {
        "labelled": _drifting("", find_class_folders, 64, mirrored=True),
        "s-mnist": _drifting("s-mnist", find_mnist, 64, mirrored=False),
        "s-cifar": _drifting("s-cifar", find_cifar, 64, mirrored=True),
        "s-caltech": _drifting("s-caltech", find_caltech, 128, mirrored=True),
        "s-vimeo": ImageSet("s-vimeo", {"noise": "none"} | ALL_IMAGES, _septuplets),
    }
)


def image_request(kind: str, images: str | None, seed: int, given: Options) -> ArchiveRequest:
    """Return the archive request for a folder of images of a kind in :data:`IMAGE_SETS`.

    ``given`` are the options of the user. No folder is an error.
    """
    image_set = IMAGE_SETS[kind]
    for name in given:
        if name not in image_set.options:
            kinds = [other for other, some in IMAGE_SETS.items() if name in some.options]
            advice = f"it goes with --kind {' or '.join(kinds)}" if kinds else "leave it out"
            option = name.replace("_", "-")
            raise UsageError(f"--{option} is not an option for images of --kind {kind}; {advice}")
    if images is None:
        raise UsageError(f"--kind {kind} needs --images, the folder of the set; see docs/data.md")
    folder = Path(images)
    if not folder.is_dir():
        raise MissingFileError.at(folder, "there is no such folder")
    values = {**image_set.options, **given}
    if values.get("planes", _MIN_PLANES) < _MIN_PLANES:
        raise UsageError(f"--planes must be at least {_MIN_PLANES}, got {values['planes']}")
    request = image_set.request(folder, seed, values)
    return request._replace(options={"kind": kind} | request.options)


def _limited(splits: Mapping[Split, list[Any]], values: Options) -> dict[Split, list[Any]]:
    """Return the splits that are not empty, each with at most the items that its option allows."""
    limited = {}
    for split in SPLITS:
        items, limit = splits.get(split, []), values[split]
        if items := items if limit is None else even_part(items, limit):
            limited[split] = items
    return limited


def _metadata(
    simulator: str,
    folder: Path,
    seed: int,
    values: Options,
    splits: Mapping[Split, list[LabelledImage]] | Mapping[Split, list[Septuplet]],
) -> dict[str, Any]:
    """Return the metadata of an archive: options and a digest of the images and their names."""
    items = [item for some in splits.values() for item in some]
    names = [plain_name(item.name) for item in items]
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise UsageError.at(folder, f"two images would make {repeated[0]!r}; rename one of them")
    files = dict.fromkeys(file for item in items for file in item.files if file.is_file())
    digest = hashlib.sha256("\n".join([*names, content_sha256(files)]).encode()).hexdigest()
    counts = {split: len(some) for split, some in splits.items()}
    set_options = {name: value for name, value in values.items() if value is not None}
    origin = {"simulator": simulator, "images": folder.resolve().name, "seed": seed}
    return origin | set_options | {"pictures": counts, "listed": digest}
