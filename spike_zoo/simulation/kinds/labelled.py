"""Pictures with a class, and the recordings of them in motion that recognition learns from."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spike_zoo.formats.hdf5_writing import recording_name
from spike_zoo.simulation.scenes.drifting import DriftSpec, simulate_drift

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from spike_zoo.simulation.scenes.photographs import Split
    from spike_zoo.spikes import Take


@dataclass(frozen=True)
class LabelledPicture:
    """A picture and its class.

    Attributes:
        name: What its recordings are called, before the number of their motion.
        label: Class index.
        label_name: Name of the class.
        read: Returns the picture, grey uint8 ``(h, w)``; travels to another process.
    """

    name: str
    label: int
    label_name: str
    read: Callable[[], NDArray[np.uint8]]

    @property
    def group(self) -> str:
        """What pictures are drawn from: the class."""
        return self.label_name


class FoundPictures(NamedTuple):
    """The pictures of a set.

    Attributes:
        splits: Pictures of each split.
        label_names: Names of the classes, by class index.
    """

    splits: dict[Split, list[LabelledPicture]]
    label_names: tuple[str, ...]


@dataclass(frozen=True)
class LabelledDrift:
    """One motion of a picture.

    Attributes:
        picture: What moves.
        spec: How it moves and who looks at it.
    """

    picture: LabelledPicture
    spec: DriftSpec

    @property
    def name(self) -> str:
        """What the recording is called."""
        return self.spec.name

    def take(self) -> Take:
        """Return the recording with its label."""
        picture = self.picture
        return simulate_drift(
            picture.read(), self.spec, label=picture.label, label_name=picture.label_name
        )


def labelled_drifts(
    pictures: Iterable[LabelledPicture], motions: int, seed: int, **values: Any
) -> list[LabelledDrift]:
    """Return motions of pictures, each drawn from the seed, the picture's name and its number.

    So a take is the same whichever others are made with it.
    """
    drifts = []
    for picture in pictures:
        for motion in range(motions):
            place = np.random.SeedSequence([seed, zlib.crc32(picture.name.encode()), motion])
            name = recording_name(f"{picture.name}-motion-{motion}")
            spec = DriftSpec(name=name, seed=int(place.generate_state(1)[0]), **values)
            drifts.append(LabelledDrift(picture, spec))
    return drifts
