"""Readers of class folders: splits, names and errors."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from spike_zoo.errors import FormatError, MediaError, MissingFileError
from spike_zoo.simulation.datasets.class_folders import find_caltech, find_class_folders
from tests.helpers.picture_trees import write_classes, write_picture

if TYPE_CHECKING:
    from spike_zoo.simulation.kinds.labelled import FoundPictures


def count_labels(data_set: FoundPictures) -> dict[str, Counter[str]]:
    return {
        split: Counter(picture.label_name for picture in pictures)
        for split, pictures in data_set.splits.items()
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
    names = [picture.name for pictures in data_set.splits.values() for picture in pictures]
    assert len(set(names)) == 48
    other_seed = find_class_folders(tmp_path, 1)
    assert {p.name for p in other_seed.splits["test"]} != {p.name for p in data_set.splits["test"]}


def test_caltech_has_no_background_class_and_a_fifth_of_the_images_in_test(tmp_path: Path) -> None:
    class_folder = tmp_path / "101_ObjectCategories"
    write_classes(class_folder, {"BACKGROUND_Google": 3, "ant": 50, "Faces": 10}, ".jpg")
    for folder in (tmp_path, class_folder):
        data_set = find_caltech(folder, 0)
        assert data_set.label_names == ("Faces", "ant")
        assert count_labels(data_set) == {
            "train": Counter(Faces=7, ant=36),
            "val": Counter(Faces=1, ant=4),
            "test": Counter(Faces=2, ant=10),
        }


def test_incomplete_trees_are_rejected_by_name(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="lost: there is no such folder"):
        find_class_folders(tmp_path / "lost", 0)
    with pytest.raises(FormatError, match=r"no folder of a class; .*<class>/\*\.png"):
        find_class_folders(tmp_path, 0)
    (write_classes(tmp_path, {"a": 2}) / "b").mkdir()
    with pytest.raises(FormatError, match=r"/b: no picture of this class \(\.png, \.jpg"):
        find_class_folders(tmp_path, 0)
    (tmp_path / "b").rmdir()
    write_picture(tmp_path / "stray.png")
    with pytest.raises(FormatError, match=r"stray\.png: is not in the folder of a class"):
        find_class_folders(tmp_path, 0)


def test_a_damaged_picture_is_named_when_it_is_read(tmp_path: Path) -> None:
    write_classes(tmp_path, {"a": 1})
    (tmp_path / "a" / "image_0000.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    (picture,) = find_class_folders(tmp_path, 0).splits["train"]
    with pytest.raises(MediaError, match=r"image_0000\.png: not a picture that can be read"):
        picture.read()


def test_colour_is_converted_to_luma_and_transparency_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.new("RGBA", (4, 2), (200, 100, 50, 0)).save(tmp_path / "a" / "clear.png")
    data_set = find_class_folders(tmp_path, 0)
    image = data_set.splits["train"][0].read()
    assert image.shape == (2, 4)
    assert np.unique(image) == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
