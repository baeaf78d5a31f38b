"""``simulate --video``: which exposures a video, or a folder of them, makes, in which split."""

from __future__ import annotations

import functools
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from spike_zoo.errors import UsageError
from spike_zoo.formats.hdf5_writing import recording_name
from spike_zoo.media.frames import find_footage
from spike_zoo.simulation.exposure import SHARP_IMAGES
from spike_zoo.simulation.footage import EXPOSED_FRAMES, Footage

if TYPE_CHECKING:
    from collections.abc import Callable

    from spike_zoo.spikes import Take

SPLITS: Final = ("train", "val", "test")


def footage_takes(
    video: str, footage: Footage, split: str | None
) -> dict[str, dict[str, Callable[[], Take]]]:
    """Return what makes the takes of a video, by split and name.

    Args:
        video: A video, a folder of images, or a folder of such.
        footage: How exposures are made.
        split: Split of all of them; else a first folder named train, val or test is it, and
            whatever lies elsewhere trains.

    Raises:
        UsageError: If nothing is long enough for an exposure, or two takes have one name.
    """
    found: dict[str, dict[str, Callable[[], Take]]] = {}
    names: set[str] = set()
    sources = find_footage(video)
    for place, source in sources.items():
        first, *rest = PurePosixPath(place).parts
        told = first if rest and first in SPLITS else None
        home = split or told or "train"
        stem = "-".join(rest if told else [first, *rest])
        for group in footage.groups(len(source)):
            middle = group * EXPOSED_FRAMES + EXPOSED_FRAMES // 2
            name = recording_name(f"{stem}-{middle:06d}")
            if name in names:
                raise UsageError(f"{video}: two videos would make {name!r}; rename one of them")
            names.add(name)
            job = functools.partial(
                footage.take, source, group, sharp=0 if home == "train" else SHARP_IMAGES
            )
            found.setdefault(home, {})[name] = job
    if not names:
        longest = max(len(source) for source in sources.values())
        raise UsageError(
            f"{video}: no exposure fits; the longest has {longest} frames, and one takes "
            f"{EXPOSED_FRAMES} frames with some before and after, from frame {EXPOSED_FRAMES} on"
        )
    return {split: found[split] for split in SPLITS if split in found}
