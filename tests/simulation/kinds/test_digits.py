"""Splits and spikes of the archive of digits."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from spike_zoo.errors import UsageError
from spike_zoo.simulation.kinds.digits import DIGIT_SPLITS, digit, digit_drifts


def test_every_image_of_the_set_is_in_exactly_one_split() -> None:
    assert [len(numbers) for numbers in DIGIT_SPLITS.values()] == [1198, 200, 399]
    numbers = [number for split in DIGIT_SPLITS.values() for number in split]
    assert numbers == list(range(1797))


def test_images_and_labels_equal_those_of_scikit_learn() -> None:
    reference = load_digits()
    for number in (0, 1197, 1796):
        levels = digit(number)
        assert levels.dtype == np.uint8
        np.testing.assert_allclose(levels / 255 * 16, reference.images[number], atol=0.04)
    drifts = digit_drifts("test", 399)
    assert [drift.image.label for drift in drifts] == reference.target[1398:].tolist()
    assert drifts[0].name == f"digit-{reference.target[1398]}-1398-motion-0"


def test_training_images_have_several_motions_and_evaluation_images_one() -> None:
    assert len(digit_drifts("train", 5, motions=3)) == 15
    assert len(digit_drifts("val", 5, motions=3)) == 5


@pytest.mark.parametrize(("split", "count"), [("train", 1199), ("val", 201), ("test", 400)])
def test_more_images_than_available_are_rejected(split: str, count: int) -> None:
    with pytest.raises(UsageError, match=rf"--{split} must be at most {count - 1} images"):
        digit_drifts(split, count)  # type: ignore[arg-type]
