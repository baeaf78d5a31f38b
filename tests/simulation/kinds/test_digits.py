"""Splits and spikes of the archive of digits."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from spike_zoo.errors import UsageError
from spike_zoo.simulation.kinds.digits import DIGIT_SPLITS, digit, digit_drifts


def test_every_image_of_the_set_is_in_exactly_one_split() -> None:
    assert [len(numbers) for numbers in DIGIT_SPLITS.values()] == [1198, 200, 399]
    numbers = [number for split in DIGIT_SPLITS.values() for number in split]
    assert numbers == list(range(1797))


def test_images_and_labels_are_those_of_scikit_learn() -> None:
    found = load_digits()
    for number in (0, 1197, 1796):
        levels = digit(number)
        assert levels.dtype == np.uint8
        np.testing.assert_allclose(levels / 255 * 16, found.images[number], atol=0.04)
    drifts = digit_drifts("test", 399)
    assert [drift.picture.label for drift in drifts] == found.target[1398:].tolist()
    assert drifts[0].name == f"digit-{found.target[1398]}-1398-motion-0"


def test_images_to_train_on_move_several_times_those_to_judge_by_once() -> None:
    assert len(digit_drifts("train", 5, motions=3)) == 15
    assert len(digit_drifts("val", 5, motions=3)) == 5


def test_the_mean_of_the_spikes_moved_back_is_the_digit() -> None:
    drift = digit_drifts("test", 3)[2]
    take = drift.take()
    path = take.recording.meta["drift"]
    gathered = np.zeros((48, 48))
    for plane, spikes in enumerate(take.recording[:]):
        way = round(path["dy"] * plane), round(path["dx"] * plane)
        gathered += np.roll(spikes, (-way[0], -way[1]), axis=(0, 1))
    top, left = round(path["y"]), round(path["x"])
    side = drift.spec.picture_size(8, 8)[0]
    assert side == 30
    seen = gathered[top : top + side, left : left + side] / 41 / 0.6
    columns = np.linspace(0, 31, side).astype(int)
    shown = np.kron(digit(1400), np.ones((4, 4)))[np.ix_(columns, columns)] / 255
    assert np.corrcoef(seen.ravel(), shown.ravel())[0, 1] > 0.85


@pytest.mark.parametrize(("split", "count"), [("train", 1199), ("val", 201), ("test", 400)])
def test_more_images_than_there_are_are_rejected(split: str, count: int) -> None:
    with pytest.raises(UsageError, match=rf"--{split} must be at most {count - 1} images"):
        digit_drifts(split, count)  # type: ignore[arg-type]
