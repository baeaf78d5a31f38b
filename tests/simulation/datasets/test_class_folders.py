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


def counts(found: FoundPictures) -> dict[str, Counter[str]]:
    return {
        split: Counter(picture.label_name for picture in pictures)
        for split, pictures in found.splits.items()
    }


def test_folders_of_splits_are_kept_and_classes_are_sorted(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", {"dog": 3, "cat": 2})
    write_classes(tmp_path / "validation", {"cat": 1})
    write_classes(tmp_path / "test", {"ant": 1, "dog": 1}, ".jpg")
    found = find_class_folders(tmp_path, 0)
    assert found.label_names == ("ant", "cat", "dog")
    assert counts(found) == {
        "train": Counter(cat=2, dog=3), "val": Counter(cat=1), "test": Counter(ant=1, dog=1),
    }  # fmt: skip
    last = found.splits["test"][-1]
    assert (last.name, last.label) == ("test-dog-image_0000", 2)
    assert abs(int(last.read()[0, 0]) - 40) <= 1


def test_classes_alone_are_shared_out_eighty_ten_ten(tmp_path: Path) -> None:
    write_classes(tmp_path, {"a": 40, "b": 2, "c": 1, "train": 5})
    found = find_class_folders(tmp_path, 0)
    assert found.label_names == ("a", "b", "c", "train")
    assert counts(found) == {
        "train": Counter(a=32, b=1, c=1, train=3),
        "val": Counter(a=4, train=1),
        "test": Counter(a=4, b=1, train=1),
    }
    names = [picture.name for pictures in found.splits.values() for picture in pictures]
    assert len(set(names)) == 48
    other = find_class_folders(tmp_path, 1)
    assert {p.name for p in other.splits["test"]} != {p.name for p in found.splits["test"]}


def test_caltech_has_no_background_class_and_a_fifth_to_test_on(tmp_path: Path) -> None:
    home = tmp_path / "101_ObjectCategories"
    write_classes(home, {"BACKGROUND_Google": 3, "ant": 50, "Faces": 10}, ".jpg")
    for folder in (tmp_path, home):
        found = find_caltech(folder, 0)
        assert found.label_names == ("Faces", "ant")
        assert counts(found) == {
            "train": Counter(Faces=7, ant=36),
            "val": Counter(Faces=1, ant=4),
            "test": Counter(Faces=2, ant=10),
        }


def test_what_is_not_whole_is_rejected_by_name(tmp_path: Path) -> None:
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


def test_a_picture_that_is_none_is_named_when_it_is_read(tmp_path: Path) -> None:
    write_classes(tmp_path, {"a": 1})
    (tmp_path / "a" / "image_0000.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    (picture,) = find_class_folders(tmp_path, 0).splits["train"]
    with pytest.raises(MediaError, match=r"image_0000\.png: not a picture that can be read"):
        picture.read()


def test_colour_becomes_luma_and_transparency_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.new("RGBA", (4, 2), (200, 100, 50, 0)).save(tmp_path / "a" / "clear.png")
    found = find_class_folders(tmp_path, 0)
    shown = found.splits["train"][0].read()
    assert shown.shape == (2, 4)
    assert np.unique(shown) == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
