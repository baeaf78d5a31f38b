"""Folders as people and public data sets lay them out."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from spike_zoo import SpikeArchive, write_recording
from spike_zoo.archive import build_archive
from spike_zoo.archive.layouts import find_takes
from spike_zoo.cli.main import main
from spike_zoo.errors import FormatError
from spike_zoo.testing import tiny_archive

PLANES = np.random.default_rng(0).random((70, 40, 48)) < 0.3


def test_a_spikecv_configuration_at_the_root_of_a_set_states_the_size(tmp_path: Path) -> None:
    clip = tmp_path / "set" / "train" / "Vidar" / "00046_rotation" / "1.dat"
    clip.parent.mkdir(parents=True)
    write_recording(PLANES, clip)
    (tmp_path / "set" / "config.yaml").write_text("spike_w: 48\nspike_h: 40\nis_labeled: true\n")
    (tmp_path / "set" / "train" / "config.yaml").write_text("model: of another program\n")
    found = find_takes(tmp_path / "set")
    assert found.splits == {"train": ["1"]}
    np.testing.assert_array_equal(found.jobs["1"]().recording[:], PLANES)


def test_other_arrays_beside_recordings_are_named_and_left_out(tmp_path: Path) -> None:
    write_recording(PLANES, tmp_path / "clip.npz")
    np.save(tmp_path / "flow.npy", np.full((2, 40, 48), 1.5, np.float32))
    np.savez(tmp_path / "labels.npz", boxes=np.zeros((3, 4)))
    with h5py.File(tmp_path / "calibration.h5", "w") as file:
        file["matrix"] = np.eye(3)
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["raw_spike"] = PLANES.astype("u1")
    tiny_archive(tmp_path / "archive.h5")
    with pytest.warns(UserWarning, match=r"archive\.h5: left out, it is an archive.*3 more files"):
        found = find_takes(tmp_path, split="train")
    assert sorted(found.jobs) == ["clip", "plain"]
    np.testing.assert_array_equal(found.jobs["plain"]().recording[:], PLANES)


def test_linked_folders_are_searched_once(tmp_path: Path) -> None:
    store = tmp_path / "store"
    write_recording(PLANES, store / "a.npz")
    root = tmp_path / "set"
    root.mkdir()
    (root / "val").symlink_to(store)
    (store / "circle").symlink_to(root)
    found = find_takes(root)
    assert found.splits == {"val": ["a"]}


def test_a_file_name_that_is_not_utf8_is_archived(tmp_path: Path) -> None:
    write_recording(PLANES, tmp_path / "set" / "x.npz")
    target = os.fsencode(str(tmp_path / "set")) + b"/caf\xe9.npz"
    os.rename(tmp_path / "set" / "x.npz", target)  # noqa: PTH104  (a name in bytes)
    found = find_takes(tmp_path / "set", split="train")
    built = build_archive(tmp_path / "set.h5", found.jobs, splits=found.splits)
    with SpikeArchive(built) as archive:
        (name,) = archive.names()
        assert archive[name].meta["source"] == r"caf\udce9.npz"


def test_exposures_of_one_size_without_sequences_are_a_layout(tmp_path: Path) -> None:
    root = tmp_path / "wine"
    write_recording(np.zeros((177, 40, 56), bool), root / "spike_data" / "000019.dat")
    for folder, value in (("blur_data", 10), ("sharp_data", 20)):
        (root / folder).mkdir()
        Image.fromarray(np.full((40, 56, 3), value, np.uint8)).save(root / folder / "000019.png")
    found = find_takes(root, height=40, width=56)
    assert found.splits == {"test": ["000019"]}
    take = found.jobs["000019"]()
    assert take.blur is not None
    assert take.images is not None
    np.testing.assert_array_equal(take.blur_span, [[40, 137]])
    np.testing.assert_array_equal(take.image_index, [88])
    assert (take.blur.max(), take.images.max()) == (10, 20)


def test_a_layout_that_finds_nothing_names_the_files_it_expects(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(FormatError, match=r"expected \{spike_data,blur_data\}/SEQUENCE"):
        find_takes(tmp_path, layout="rsb")


def test_exported_images_and_spikes_can_be_deblurred(tmp_path: Path) -> None:
    archive = tmp_path / "deblur.h5"
    command = ["simulate", "--kind", "deblur", "--size", "small", "--train", "0", "--val", "0"]
    assert main([*command, "--test", "1", "--out", str(archive)]) == 0
    with SpikeArchive(archive) as opened:
        (name,) = opened.names("test")
        sharp, blur = opened.images(name), opened.blur(name)
    out = tmp_path / "scenes"
    assert main(["archive", "export", str(archive), str(out)]) == 0
    assert len(list((out / name).glob("*.png"))) == len(sharp)
    (blurry,) = (out / f"{name}-blurry").glob("*.png")
    with Image.open(blurry) as image:
        size, stored = image.size, np.asarray(image)
    np.testing.assert_array_equal(stored, blur[0])
    spikes, picture = str(out / f"{name}.dat"), str(tmp_path / "sharp.png")
    assert main(["deblur", str(blurry), spikes, "--frames", "1", "--out", picture]) == 0
    with Image.open(picture) as image:
        assert image.size == size
    again = ["archive", "export", str(archive), str(out)]
    assert main(again) != 0  # nothing is replaced
    assert main([*again, "--overwrite", "--images", "false"]) == 0
