"""Readers of labelled images: splits, names, grey images, and errors of damaged files."""

import gzip
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spike_zoo.errors import FormatError, MediaError, MissingFileError
from spike_zoo.simulation.datasets.labelled_sets import (
    find_caltech,
    find_cifar,
    find_class_folders,
    find_mnist,
    read_idx,
)
from spike_zoo.simulation.kinds.labelled import LabelledSet
from tests.helpers.image_trees import (
    CIFAR_NAMES,
    idx_bytes,
    write_cifar,
    write_classes,
    write_image,
    write_mnist,
)
from tests.helpers.splits import split_sizes

MNIST_TRAIN = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] * 5
MNIST_TEST = [7, 2, 1, 0]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("below", ["", "raw", "MNIST/raw"])
def test_the_official_split_is_kept(tmp_path: Path, packed: bool, below: str) -> None:
    write_mnist(tmp_path / below, MNIST_TRAIN, MNIST_TEST, packed=packed)
    data_set = find_mnist(tmp_path, 0)
    assert data_set.label_names == tuple("0123456789")
    assert [image.label for image in data_set.splits["test"]] == MNIST_TEST
    assert split_sizes(data_set.splits) == {"train": 40, "val": 10, "test": 4}
    assert Counter(image.label for image in data_set.splits["val"]) == Counter(range(10))
    trained = {image.name for image in data_set.splits["train"] + data_set.splits["val"]}
    assert trained == {f"train-{n:05d}-digit-{label}" for n, label in enumerate(MNIST_TRAIN)}
    second = data_set.splits["test"][1]
    assert second.name == "test-00001-digit-2"
    np.testing.assert_array_equal(second.read(), np.full((28, 28), 21, np.uint8))


def test_files_with_a_dot_in_their_names_are_found(tmp_path: Path) -> None:
    for path in list(write_mnist(tmp_path, MNIST_TRAIN, MNIST_TEST).iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert len(find_mnist(tmp_path, 0).splits["test"]) == 4


def test_a_missing_file_of_mnist_is_named(tmp_path: Path) -> None:
    (write_mnist(tmp_path, MNIST_TRAIN, MNIST_TEST) / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(MissingFileError, match=r"t10k-labels-idx1-ubyte \(or .*\.gz\) is missing"):
        find_mnist(tmp_path, 0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [([1, 2, 3], "3 labels for the 4 images of t10k-images"), ([0, 1, 2, 10], "a label is 10")],
)
def test_labels_that_do_not_fit_the_images_are_rejected(
    tmp_path: Path, labels: list[int], message: str
) -> None:
    write_mnist(tmp_path, MNIST_TRAIN, MNIST_TEST)
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
        (b"", r".*begins with nothing, expected 00 00 08 03"),
        (b"\x80\x04\x95\x10" + bytes(20), r".*begins with 80 04 95 10"),
        (idx_bytes(IMAGES[0, 0]), r".*begins with 00 00 08 01"),
        (idx_bytes(IMAGES)[:10], r".*begins with 00 00 08 03"),
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


COMPRESSED = gzip.compress(idx_bytes(IMAGES), mtime=0)  # the same test names in each process
OTHER_CHECKSUM = COMPRESSED[:-8] + bytes(8)


@pytest.mark.parametrize("data", [COMPRESSED[:-12], OTHER_CHECKSUM, idx_bytes(IMAGES)])
def test_a_damaged_compressed_file_is_rejected_by_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"images\.gz: damaged or cut short .*download it again"):
        read_idx(path, 3)


CIFAR_TRAIN = [*range(10)] * 3


@pytest.mark.parametrize("below", ["", "cifar-10-batches-bin"])
def test_images_of_cifar_are_in_the_official_split_and_grey(tmp_path: Path, below: str) -> None:
    write_cifar(tmp_path / below, CIFAR_TRAIN, [3, 5])
    data_set = find_cifar(tmp_path, 0)
    assert data_set.label_names == CIFAR_NAMES
    assert split_sizes(data_set.splits) == {"train": 20, "val": 10, "test": 2}
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
    write_cifar(tmp_path, CIFAR_TRAIN, [3])
    (tmp_path / file).write_bytes(data)
    with pytest.raises(FormatError, match=rf"{file}: .*{message}"):
        find_cifar(tmp_path, 0)


@pytest.mark.parametrize("file", ["data_batch_2.bin", "test_batch.bin", "batches.meta.txt"])
def test_a_missing_file_of_cifar_is_named(tmp_path: Path, file: str) -> None:
    (write_cifar(tmp_path, CIFAR_TRAIN, [3]) / file).unlink()
    with pytest.raises(MissingFileError, match=file):
        find_cifar(tmp_path, 0)


def test_the_error_of_another_folder_states_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"data_batch_1\.bin is missing.*binary version"):
        find_cifar(tmp_path, 0)


def count_labels(data_set: LabelledSet) -> dict[str, Counter[str]]:
    return {
        split: Counter(image.label_name for image in images)
        for split, images in data_set.splits.items()
    }


def test_folders_of_splits_are_kept_and_classes_are_sorted(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", {"dog": 3, "cat": 2})
    write_classes(tmp_path / "validation", {"cat": 1})
    write_classes(tmp_path / "test", {"ant": 1, "dog": 1}, ".jpg")
    data_set = find_class_folders(tmp_path, 0)
    assert data_set.label_names == ("ant", "cat", "dog")
    assert count_labels(data_set) == {
        "train": Counter(cat=2, dog=3), "val": Counter(cat=1), "test": Counter(ant=1, dog=1),
    }  # fmt: skip
    last = data_set.splits["test"][-1]
    assert (last.name, last.label) == ("test-dog-image_0000", 2)
    assert abs(int(last.read()[0, 0]) - 40) <= 1


def test_class_folders_without_splits_are_split_80_10_10(tmp_path: Path) -> None:
    write_classes(tmp_path, {"a": 40, "b": 2, "c": 1, "train": 5})
    data_set = find_class_folders(tmp_path, 0)
    assert data_set.label_names == ("a", "b", "c", "train")
    assert count_labels(data_set) == {
        "train": Counter(a=32, b=1, c=1, train=3),
        "val": Counter(a=4, train=1),
        "test": Counter(a=4, b=1, train=1),
    }
    names = [image.name for images in data_set.splits.values() for image in images]
    assert len(set(names)) == 48
    other_seed = find_class_folders(tmp_path, 1)
    assert {p.name for p in other_seed.splits["test"]} != {p.name for p in data_set.splits["test"]}


def test_caltech_has_no_background_class_and_a_fifth_of_the_images_in_test(tmp_path: Path) -> None:
    counts = {"BACKGROUND_Google": 3, "ant": 50, "Faces": 10}
    class_folder = write_classes(tmp_path / "101_ObjectCategories", counts, ".jpg")
    for folder in (tmp_path, class_folder):
        data_set = find_caltech(folder, 0)
        assert data_set.label_names == ("Faces", "ant")
        assert count_labels(data_set) == {
            "train": Counter(Faces=7, ant=36),
            "val": Counter(Faces=1, ant=4),
            "test": Counter(Faces=2, ant=10),
        }


def test_incomplete_trees_are_rejected_by_name(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"no folder of a class; .*<class>/\*\.png"):
        find_class_folders(tmp_path, 0)
    (write_classes(tmp_path, {"a": 2}) / "b").mkdir()
    with pytest.raises(FormatError, match=r"/b: no image of this class \(\.png, \.jpg"):
        find_class_folders(tmp_path, 0)
    (tmp_path / "b").rmdir()
    write_image(tmp_path / "stray.png")
    with pytest.raises(FormatError, match=r"stray\.png: is not in the folder of a class"):
        find_class_folders(tmp_path, 0)


def test_a_damaged_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    write_classes(tmp_path, {"a": 1})
    (tmp_path / "a" / "image_0000.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    (image,) = find_class_folders(tmp_path, 0).splits["train"]
    with pytest.raises(MediaError, match=r"image_0000\.png: not an image that can be read"):
        image.read()


def test_colour_is_converted_to_luma_and_transparency_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.new("RGBA", (4, 2), (200, 100, 50, 0)).save(tmp_path / "a" / "clear.png")
    data_set = find_class_folders(tmp_path, 0)
    image = data_set.splits["train"][0].read()
    assert image.shape == (2, 4)
    assert np.unique(image) == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
