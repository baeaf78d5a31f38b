"""Reader of MNIST: pictures, splits and errors of damaged files."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from spike_zoo.errors import FormatError, MissingFileError, UsageError
from spike_zoo.simulation.datasets.mnist import find_mnist, read_idx
from tests.helpers.picture_trees import idx_bytes, write_mnist

TRAIN = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] * 5
TEST = [7, 2, 1, 0]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("below", ["", "raw", "MNIST/raw"])
def test_the_official_split_is_kept(tmp_path: Path, packed: bool, below: str) -> None:
    write_mnist(tmp_path / below, TRAIN, TEST, packed=packed)
    data_set = find_mnist(tmp_path, 0)
    assert data_set.label_names == tuple("0123456789")
    assert [picture.label for picture in data_set.splits["test"]] == TEST
    assert {split: len(pictures) for split, pictures in data_set.splits.items()} == {
        "train": 40, "val": 10, "test": 4,
    }  # fmt: skip
    assert Counter(picture.label for picture in data_set.splits["val"]) == Counter(range(10))
    trained = {picture.name for picture in data_set.splits["train"] + data_set.splits["val"]}
    assert trained == {f"train-{n:05d}-digit-{label}" for n, label in enumerate(TRAIN)}
    second = data_set.splits["test"][1]
    assert second.name == "test-00001-digit-2"
    np.testing.assert_array_equal(second.read(), np.full((28, 28), 21, np.uint8))


def test_files_with_a_dot_in_their_names_are_found(tmp_path: Path) -> None:
    for path in list(write_mnist(tmp_path, TRAIN, TEST).iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert len(find_mnist(tmp_path, 0).splits["test"]) == 4


def test_a_balanced_draw_has_equally_many_images_of_each_digit(tmp_path: Path) -> None:
    write_mnist(tmp_path, TRAIN, TRAIN)
    data_set = find_mnist(tmp_path, 3, balanced=4)
    names = {
        split: {picture.name for picture in pictures} for split, pictures in data_set.splits.items()
    }
    assert Counter(picture.label for picture in data_set.splits["test"]) == dict.fromkeys(
        range(10), 4
    )
    assert {name.partition("-")[0] for name in names["test"]} == {"train", "test"}
    assert len(names["train"] | names["val"] | names["test"]) == 100
    other_seed = find_mnist(tmp_path, 4, balanced=4).splits["test"]
    assert {picture.name for picture in other_seed} != names["test"]
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
def test_labels_that_do_not_fit_the_images_are_rejected(
    tmp_path: Path, labels: list[int], message: str
) -> None:
    write_mnist(tmp_path, TRAIN, TEST)
    path = tmp_path / "t10k-labels-idx1-ubyte"
    path.write_bytes(idx_bytes(np.array(labels, np.uint8)))
    with pytest.raises(FormatError, match=f"t10k-labels-idx1-ubyte: {message}"):
        find_mnist(tmp_path, 0)


IMAGES = np.random.default_rng(0).integers(0, 256, (3, 5, 4), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_read_back(tmp_path: Path, suffix: str) -> None:
    path, data = tmp_path / f"images{suffix}", idx_bytes(IMAGES)
    path.write_bytes(gzip.compress(data) if suffix else data)
    np.testing.assert_array_equal(read_idx(path, 3), IMAGES)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins with nothing, expected 00 00 08 03"),
        (b"\x80\x04\x95\x10" + bytes(20), "begins with 80 04 95 10"),
        (idx_bytes(IMAGES[0, 0]), "begins with 00 00 08 01"),
        (idx_bytes(IMAGES)[:10], "begins with 00 00 08 03"),
        (idx_bytes(IMAGES)[:-1], r"59 bytes after the header, expected 60 \(3x5x4\)"),
        (idx_bytes(IMAGES) + b"\0", "61 bytes after the header, expected 60"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "0 bytes after the header, expected 79228162458924"),
    ],
)
def test_other_and_truncated_files_are_rejected_by_name(
    tmp_path: Path, data: bytes, message: str
) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=f"train-images-idx3-ubyte: .*{message}"):
        read_idx(path, 3)


@pytest.mark.parametrize("harm", ["cut", "flipped", "plain"])
def test_a_damaged_compressed_file_is_rejected_by_name(tmp_path: Path, harm: str) -> None:
    data = bytearray(gzip.compress(idx_bytes(IMAGES)))
    if harm == "cut":
        data = data[:-12]
    elif harm == "flipped":
        data[-6] ^= 255  # the checksum
    else:
        data = bytearray(idx_bytes(IMAGES))
    path = tmp_path / "images.gz"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"images\.gz: damaged or cut short .*download it again"):
        read_idx(path, 3)
