"""Moving handwritten digits of scikit-learn, the default archive of recognition."""

import functools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import UsageError
from spike_zoo.simulation.kinds.labelled import LabelledDrift, LabelledImage, labelled_drifts
from spike_zoo.simulation.scenes.photographs import Split

DIGIT_NAMES: Final = tuple(str(digit) for digit in range(10))
DIGIT_SPLITS: Final[dict[Split, range]] = {
    "train": range(1198),
    "val": range(1198, 1398),
    "test": range(1398, 1797),
}
"""Image indices of each split; contiguous, because neighbours are often of the same writer."""

MIN_DIGIT: Final = 0.2
MAX_DIGIT: Final = 0.4


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
    """Return moving digits of the first images of a split.

    Args:
        split: ``"train"``, ``"val"`` or ``"test"``; no image is in two splits.
        count: Number of images.
        seed: Seed of all random draws.
        motions: Motions of each training image; validation and test images have one motion.
        height: Rows of a plane.
        width: Columns of a plane.
        planes: Planes of a recording.
        noise: Noise preset of the camera.

    Raises:
        UsageError: If the split has fewer images, or planes are too small for the motion.
    """
    numbers = DIGIT_SPLITS[split]
    if count > len(numbers):
        raise UsageError(f"--{split} must be at most {len(numbers)} images of digits, got {count}")
    images = (_image(number) for number in numbers[:count])
    return labelled_drifts(
        images,
        motions if split == "train" else 1,
        seed,
        height=height,
        width=width,
        planes=planes,
        slowest=MIN_DIGIT,
        fastest=MAX_DIGIT,
        noise=noise,
    )


def _image(number: int) -> LabelledImage:
    label = int(_digits()[1][number])
    read = functools.partial(digit, number)
    return LabelledImage(f"digit-{label}-{number:04d}", label, DIGIT_NAMES[label], read)


def digit(number: int) -> NDArray[np.uint8]:
    """Return a handwritten digit by its index, uint8 ``(8, 8)`` with white at 255."""
    # the data set has levels from 0 to 16
    return np.rint(_digits()[0][number] * (255 / 16)).astype(np.uint8)


@functools.lru_cache(maxsize=1)
def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    from sklearn.datasets import load_digits  # slow import that only these archives need

    dataset = load_digits()
    return dataset.images, dataset.target
