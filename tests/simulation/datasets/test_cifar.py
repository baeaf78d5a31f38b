"""Reader of CIFAR-10: grey pictures, splits, and rejection of pickles."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from spike_zoo.errors import FormatError, MissingFileError
from spike_zoo.simulation.datasets.cifar import find_cifar
from tests.helpers.picture_trees import CIFAR_NAMES, write_cifar

TRAIN = [*range(10)] * 3


@pytest.mark.parametrize("below", ["", "cifar-10-batches-bin"])
def test_images_are_in_the_official_split_and_grey(tmp_path: Path, below: str) -> None:
    write_cifar(tmp_path / below, TRAIN, [3, 5])
    data_set = find_cifar(tmp_path, 0)
    assert data_set.label_names == CIFAR_NAMES
    assert {split: len(pictures) for split, pictures in data_set.splits.items()} == {
        "train": 20, "val": 10, "test": 2,
    }  # fmt: skip
    dog = data_set.splits["test"][1]
    assert (dog.name, dog.label, dog.label_name) == ("test_batch-00001-dog", 5, "dog")
    image = dog.read()
    # red 255 above, green 255 below, blue 50: 0.299, 0.587, 0.114
    assert image.shape == (32, 32)
    assert np.unique(image[:16]) == round(0.299 * 255 + 0.114 * 50)
    assert np.unique(image[16:]) == round(0.587 * 255 + 0.114 * 50)


def test_pickles_are_rejected_with_the_download_to_use(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "cifar-10-batches-py"):
        folder.mkdir(exist_ok=True)
        (folder / "data_batch_1").write_bytes(pickle.dumps({"data": 1}))
        with pytest.raises(FormatError, match=r"pickles.*not read.*cifar-10-binary\.tar\.gz"):
            find_cifar(tmp_path, 0)
        (folder / "data_batch_1").unlink()


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        ("data_batch_3.bin", bytes(3073 + 5), r"3078 bytes .*3073 bytes each: 1 images and 5"),
        ("data_batch_3.bin", b"", "0 bytes is not a whole number"),
        ("test_batch.bin", bytes([10]) + bytes(3072), r"a label is 10, expected 0\.\.9"),
        ("batches.meta.txt", b"cat\ndog\n", "2 different names of classes, expected 10"),
    ],
)
def test_a_truncated_or_damaged_file_is_rejected_by_name(
    tmp_path: Path, file: str, data: bytes, message: str
) -> None:
    write_cifar(tmp_path, TRAIN, [3])
    (tmp_path / file).write_bytes(data)
    with pytest.raises(FormatError, match=rf"{file}: .*{message}"):
        find_cifar(tmp_path, 0)


@pytest.mark.parametrize("file", ["data_batch_2.bin", "test_batch.bin", "batches.meta.txt"])
def test_a_missing_file_is_named(tmp_path: Path, file: str) -> None:
    (write_cifar(tmp_path, TRAIN, [3]) / file).unlink()
    with pytest.raises(MissingFileError, match=file):
        find_cifar(tmp_path, 0)


def test_the_error_of_another_folder_states_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"data_batch_1\.bin is missing.*binary version"):
        find_cifar(tmp_path, 0)
