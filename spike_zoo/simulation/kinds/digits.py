"""Moving handwritten digits of scikit-learn, the default archive of recognition."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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

_ROTATION: Final = 45  # largest rotation of a digit before clutter, in degrees
_SIDE: Final = 64  # side of a digit before it is rotated or cut into pieces, in pixels
_PIECE: Final = 32  # side of a piece of clutter in the same pixels
_GREY: Final = 128  # level of clutter; digits have up to 255
_CLUTTER_SEED: Final = 3  # 1 and 2 are those of the motion and the camera


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
    clutter: int = 0,
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
        clutter: Pieces of other digits of the split behind each digit, static and half as bright.
            With clutter, digits are rotated by up to 45 degrees.

    Raises:
        UsageError: If the split has fewer images, or planes are too small for the motion.
    """
    numbers = DIGIT_SPLITS[split]
    if count > len(numbers):
        raise UsageError(f"--{split} must be at most {len(numbers)} images of digits, got {count}")
    images = (_image(number) for number in numbers[:count])
    drifts = labelled_drifts(
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
    return [_cluttered(drift, numbers, clutter) for drift in drifts] if clutter else drifts


def _cluttered(drift: LabelledDrift, numbers: range, pieces: int) -> LabelledDrift:
    """Rotate a digit, and place pieces of digits of the given images behind it."""
    rng = np.random.default_rng(np.random.SeedSequence([drift.spec.seed, _CLUTTER_SEED]))
    angle, seed = float(rng.uniform(-_ROTATION, _ROTATION)), int(rng.integers(2**32))
    size = drift.spec.height, drift.spec.width
    side = drift.spec.image_size(1, 1)[0]
    read = functools.partial(_rotated, drift.image.read, angle)
    background = functools.partial(_pieces, numbers, pieces, size, side, seed)
    return replace(drift, image=replace(drift.image, read=read), background=background)


def _rotated(read: Callable[[], NDArray[np.uint8]], angle: float) -> NDArray[np.uint8]:
    """Return an image enlarged and rotated, on a canvas that contains it."""
    image = Image.fromarray(read()).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    return np.asarray(image.rotate(angle, Image.Resampling.BICUBIC, expand=True))


def _pieces(
    numbers: range, pieces: int, size: tuple[int, int], side: int, seed: int
) -> NDArray[np.float32]:
    """Return a plane in [0, 1] with quarters of random digits, each digit ``side`` pixels high."""
    rng = np.random.default_rng(seed)
    plane = Image.new("L", (size[1], size[0]))
    quarter = max(1, side // 2)
    for _ in range(pieces):
        image = Image.fromarray(digit(int(rng.choice(numbers))))
        left, top = (int(x) for x in rng.integers(_SIDE - _PIECE + 1, size=2))
        image = image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
        image = image.crop((left, top, left + _PIECE, top + _PIECE)).resize((quarter, quarter))
        x, y = (int(rng.integers(-quarter // 2, end - quarter // 2)) for end in plane.size)
        plane.paste(_GREY, (x, y), image)
    return np.asarray(plane, np.float32) / np.float32(255)


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
