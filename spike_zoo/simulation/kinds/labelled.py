"""Labelled images, and simulated recordings of them in motion for recognition."""

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_zoo.simulation.scenes.drifting import DriftSpec, simulate_drift
from spike_zoo.simulation.scenes.photographs import Split
from spike_zoo.spikes.take import Take
from spike_zoo.utils.files import plain_name


@dataclass(frozen=True)
class LabelledImage:
    """An image and its class."""

    name: str  #: name of its recordings, to which the number of the motion is appended
    label: int  #: class index
    label_name: str  #: name of the class
    #: function that returns the image, grey uint8 ``(h, w)``; must be picklable
    read: Callable[[], NDArray[np.uint8]]
    files: tuple[Path, ...] = ()  #: the files that contain the image

    @property
    def group(self) -> str:
        """Group of seeded draws: the class."""
        return self.label_name


class LabelledSet(NamedTuple):
    """The images of a set."""

    splits: dict[Split, list[LabelledImage]]  #: images of each split
    label_names: tuple[str, ...]  #: names of the classes, by class index


@dataclass(frozen=True)
class LabelledDrift:
    """One motion of an image."""

    image: LabelledImage  #: the moving image
    spec: DriftSpec  #: motion and camera

    @property
    def name(self) -> str:
        """Name of the recording."""
        return self.spec.name

    def take(self) -> Take:
        """Simulate the recording and return it with its label."""
        image = self.image
        return simulate_drift(
            image.read(), self.spec, label=image.label, label_name=image.label_name
        )


def labelled_drifts(
    images: Iterable[LabelledImage], motions: int, seed: int, **values: Any
) -> list[LabelledDrift]:
    """Return motions of images, drawn from the seed, the image's name and the motion's number.

    A take therefore does not depend on the other takes. ``values`` are further fields of
    :class:`DriftSpec`.
    """
    drifts = []
    for image in images:
        for motion in range(motions):
            sequence = np.random.SeedSequence([seed, zlib.crc32(image.name.encode()), motion])
            name = plain_name(f"{image.name}-motion-{motion}")
            spec = DriftSpec(name=name, seed=int(sequence.generate_state(1)[0]), **values)
            drifts.append(LabelledDrift(image, spec))
    return drifts
