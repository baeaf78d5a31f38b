"""The default archive of recognition: scikit-learn's handwritten digits in motion."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import numpy as np

from spike_zoo.errors import UsageError
from spike_zoo.simulation.kinds.labelled import LabelledDrift, LabelledPicture, labelled_drifts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spike_zoo.simulation.scenes.photographs import Split

DIGIT_NAMES: Final = tuple(str(digit) for digit in range(10))
DIGIT_SPLITS: Final[dict[Split, range]] = {
    "train": range(1198),
    "val": range(1198, 1398),
    "test": range(1398, 1797),
}
"""Images of each split, by their place in the set, where neighbours are often of one writer."""

SLOWEST_DIGIT: Final = 0.2
FASTEST_DIGIT: Final = 0.4


def digit_drifts(
    split: Split,
    count: int,
    seed: int = 0,
    *,
    motions: int = 4,
    height: int = 48,
    width: int = 48,
    planes: int = 41,
    noise: str = "none",
) -> list[LabelledDrift]:
    """Return the motions of the first images of a split.

    Args:
        split: ``"train"``, ``"val"`` or ``"test"``; no image is in two of them.
        count: How many images.
        seed: Seed of everything.
        motions: Motions of each image to train on; those to judge by have one.
        height: Rows of a plane.
        width: Columns of a plane.
        planes: Planes of a recording.
        noise: Noise preset of the camera.

    Raises:
        UsageError: If there are not so many images, or planes are too small for the motion.
    """
    numbers = DIGIT_SPLITS[split]
    if count > len(numbers):
        raise UsageError(f"--{split} must be at most {len(numbers)} images of digits, got {count}")
    pictures = (_picture(number) for number in numbers[:count])
    return labelled_drifts(
        pictures,
        motions if split == "train" else 1,
        seed,
        height=height,
        width=width,
        planes=planes,
        slowest=SLOWEST_DIGIT,
        fastest=FASTEST_DIGIT,
        noise=noise,
    )


def _picture(number: int) -> LabelledPicture:
    label = int(_digits()[1][number])
    read = functools.partial(digit, number)
    return LabelledPicture(f"digit-{label}-{number:04d}", label, DIGIT_NAMES[label], read)


def digit(number: int) -> NDArray[np.uint8]:
    """Return a handwritten digit by its place in the set, 8 x 8 with white at 255."""
    # 17 levels, 0..16
    return np.rint(_digits()[0][number] * (255 / 16)).astype(np.uint8)


@functools.lru_cache(maxsize=1)
def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return all images and their classes."""
    from sklearn.datasets import load_digits  # here, for only these archives need it

    found = load_digits()
    return found.images, found.target
