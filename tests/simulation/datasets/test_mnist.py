"""MNIST's files become pictures in splits; what is not whole is refused by name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from spike_zoo.errors import FormatError, MissingFileError, UsageError
from spike_zoo.simulation.datasets.mnist import find_mnist
from tests.helpers.picture_trees import idx_bytes, write_mnist

TRAIN = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] * 5
TEST = [7, 2, 1, 0]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("below", ["", "raw", "MNIST/raw"])
def test_the_official_split_is_kept(tmp_path: Path, packed: bool, below: str) -> None:
    write_mnist(tmp_path / below, TRAIN, TEST, packed=packed)
    found = find_mnist(tmp_path, 0)
    assert found.label_names == tuple("0123456789")
    assert [picture.label for picture in found.splits["test"]] == TEST
    assert {split: len(pictures) for split, pictures in found.splits.items()} == {
        "train": 40, "val": 10, "test": 4,
    }  # fmt: skip
    assert Counter(picture.label for picture in found.splits["val"]) == Counter(range(10))
    trained = {picture.name for picture in found.splits["train"] + found.splits["val"]}
    assert trained == {f"train-{n:05d}-digit-{label}" for n, label in enumerate(TRAIN)}
    second = found.splits["test"][1]
    assert second.name == "test-00001-digit-2"
    np.testing.assert_array_equal(second.read(), np.full((28, 28), 21, np.uint8))


def test_files_with_a_dot_in_their_names_are_found(tmp_path: Path) -> None:
    for path in list(write_mnist(tmp_path, TRAIN, TEST).iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert len(find_mnist(tmp_path, 0).splits["test"]) == 4


def test_a_balanced_draw_takes_as_many_of_each_digit_from_all_images(tmp_path: Path) -> None:
    write_mnist(tmp_path, TRAIN, TRAIN)
    found = find_mnist(tmp_path, 3, balanced=4)
    names = {split: {picture.name for picture in some} for split, some in found.splits.items()}
    assert Counter(picture.label for picture in found.splits["test"]) == dict.fromkeys(range(10), 4)
    assert {name.partition("-")[0] for name in names["test"]} == {"train", "test"}
    assert len(names["train"] | names["val"] | names["test"]) == 100
    again = find_mnist(tmp_path, 4, balanced=4).splits["test"]
    assert {picture.name for picture in again} != names["test"]
    with pytest.raises(UsageError, match="--balanced must be below 10, the images of '0'; got 10"):
        find_mnist(tmp_path, 0, balanced=10)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (write_mnist(tmp_path, TRAIN, TEST) / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(MissingFileError, match=r"t10k-labels-idx1-ubyte \(or .*\.gz\) is missing"):
        find_mnist(tmp_path, 0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [([1, 2, 3], "3 labels for the 4 images of t10k-images"), ([0, 1, 2, 10], "a label is 10")],
)
def test_labels_that_do_not_fit_the_images_are_refused(
    tmp_path: Path, labels: list[int], message: str
) -> None:
    write_mnist(tmp_path, TRAIN, TEST)
    path = tmp_path / "t10k-labels-idx1-ubyte"
    path.write_bytes(idx_bytes(np.array(labels, np.uint8)))
    with pytest.raises(FormatError, match=f"t10k-labels-idx1-ubyte: {message}"):
        find_mnist(tmp_path, 0)
