"""Detection of layouts: names, splits, images and sizes of takes."""

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from skimage.io import imread, imsave

from spike_zoo import SpikeArchive
from spike_zoo.archive import build_archive
from spike_zoo.archive.layouts.detection import find_takes
from spike_zoo.errors import FormatError, MediaError, MissingFileError, UsageError
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.media import save_image
from tests.helpers.archives import make_take, write_archive, write_takes
from tests.helpers.streams import random_spikes


def test_sample_clips_become_an_archive_with_their_ground_truth(
    tmp_path: Path, shared: Path
) -> None:
    base = shared / "data" / "base"
    takes = find_takes(base)
    archive = SpikeArchive(build_archive(tmp_path / "a.h5", takes.jobs, splits=takes.splits))
    assert archive.names("test") == ["203_part1_key_id151"]
    assert archive.names("train") == ["203_part2_key_id151"]
    for split in ("test", "train"):
        [name] = archive.names(split)
        clip = read_recording(base / split / "spike" / f"{name}.dat", height=250, width=400)
        assert archive[name].shape == (301, 250, 400)
        assert archive[name].rate_scale == 0.6
        np.testing.assert_array_equal(archive[name].packed, clip.packed)
        np.testing.assert_array_equal(archive.image_index(name), [150])
        truth = imread(base / split / "gt" / f"{name}.png")
        np.testing.assert_array_equal(archive.images(name), truth[None])
    assert {finding.code for finding in archive.verify()} == {"W02"}  # its fps is unknown


def test_samples_of_recognition_become_a_labelled_archive(tmp_path: Path) -> None:
    classes = {"cup-1": (3, "cup"), "cup-2": (3, "cup"), "bus-1": (0, "bus")}
    for seed, (name, (label, label_name)) in enumerate(classes.items()):
        path = tmp_path / "set" / ("test" if seed == 1 else "train") / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        spikes = random_spikes(5, 6, 16, seed=seed).astype(np.uint8)
        np.savez(path, spk=spikes, label=np.int64(label), label_name=label_name)
    np.savez(tmp_path / "set" / "train" / "plain.npz", spk=random_spikes(5, 6, 16), label="cup")
    takes = find_takes(tmp_path / "set")
    labels = {name: job().label for name, job in takes.jobs.items()}
    assert labels == {"cup-1": 3, "cup-2": 3, "bus-1": 0, "plain": None}
    archive = SpikeArchive(build_archive(tmp_path / "a.h5", takes.jobs, splits=takes.splits))
    assert archive.names("train") == ["bus-1", "cup-1", "plain"]
    for name, (label, label_name) in classes.items():
        assert archive.label(name) == archive.take(name).label == label
        assert archive[name].meta["label_name"] == label_name
    assert archive.label("plain") is None


def test_a_sidecar_labels_a_recording_in_an_archive(tmp_path: Path) -> None:
    path = write_recording(random_spikes(5, 6, 16), tmp_path / "set" / "cup-1.npy")
    Path(f"{path}.yaml").write_text("{label: 3, label_name: cup}")
    archive = SpikeArchive(build_archive(tmp_path / "a.h5", find_takes(tmp_path / "set").jobs))
    assert (archive.label("cup-1"), archive["cup-1"].meta["label_name"]) == (3, "cup")


@pytest.mark.parametrize("label", [-1, 2.0])
def test_an_invalid_class_of_a_sample_is_rejected_by_an_archive(
    tmp_path: Path, label: float
) -> None:
    np.savez(tmp_path / "a.npz", spk=random_spikes(5, 6, 16), label=label)
    read_recording(tmp_path / "a.npz")  # reading it is still possible
    with pytest.raises(FormatError, match=rf"a\.npz: label is {label}, expected the index of a"):
        find_takes(tmp_path).jobs["a"]()


def write_base_clip(root: Path, split: str, clip: str, *, truth: bool = True) -> None:
    write_recording(random_spikes(5, 6, 16), root / split / "spike" / f"{clip}.dat")
    (root / split / "gt").mkdir(exist_ok=True)
    if truth:
        image = np.arange(96, dtype=np.uint8).reshape(6, 16)
        imsave(root / split / "gt" / f"{clip}.png", image, check_contrast=False)


def test_clips_with_the_same_name_in_two_splits_stay_separate(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_base_clip(tmp_path, split, "a")
    takes = find_takes(tmp_path, height=6, width=16)
    assert takes.splits == {"test": ["a"], "train": ["train-a"]}
    take: Any = takes.jobs["a"]()
    assert take.images.shape == (1, 6, 16)
    assert take.image_index.tolist() == [2]


def test_missing_ground_truth_is_named(tmp_path: Path) -> None:
    write_base_clip(tmp_path, "train", "a", truth=False)
    with pytest.raises(MissingFileError, match=r"a\.dat: its ground truth .*a\.png is missing"):
        find_takes(tmp_path)
    (tmp_path / "train" / "gt").rmdir()
    assert find_takes(tmp_path, height=6, width=16).jobs["a"]().images is None


def test_ground_truth_that_is_not_an_image_is_named(tmp_path: Path) -> None:
    write_base_clip(tmp_path, "train", "a")
    (tmp_path / "train" / "gt" / "a.png").write_text("no image")
    with pytest.raises(MediaError, match=r"a\.png: not an image"):
        find_takes(tmp_path, height=6, width=16).jobs["a"]()


def test_recordings_anywhere_below_a_folder_are_found(tmp_path: Path) -> None:
    spikes = random_spikes(5, 6, 16)
    for place in ("train/day 1/a.dat", "train/b.npz", "test/a.dat", "c.npy", "d.spl"):
        write_recording(spikes, tmp_path / place)
    takes = find_takes(tmp_path, height=6, width=16)
    assert takes.splits == {"test": ["test-a"], "train": ["b", "train-day_1-a"]}
    assert sorted(takes.jobs) == ["b", "c", "d", "test-a", "train-day_1-a"]
    for job in takes.jobs.values():
        np.testing.assert_array_equal(job().recording[:], spikes)
    assert find_takes(tmp_path, split="all").splits["all"] == list(takes.jobs)


def test_other_files_in_a_folder_of_recordings_are_skipped_with_a_warning(tmp_path: Path) -> None:
    write_recording(random_spikes(5, 6, 16), tmp_path / "a.npz")
    np.save(tmp_path / "depth.npy", np.linspace(0, 9, 480).reshape(5, 6, 16))
    np.save(tmp_path / "labels.npy", np.arange(4))
    np.save(tmp_path / "objects.npy", np.array([{"class": 3}, None]), allow_pickle=True)
    np.savez(tmp_path / "pose.npz", pose=np.eye(4))
    write_archive(tmp_path / "set.h5", takes=3)
    (tmp_path / "tracks.txt").write_text("0 1 2 3")
    (tmp_path / "._a.npz").write_bytes(b"metadata of macOS")
    with pytest.warns(UserWarning, match="files that are not recordings") as warned:
        takes = find_takes(tmp_path)
    assert list(takes.jobs) == ["a"]
    text = str(warned[0].message)
    assert f"{tmp_path}: left out 6 files that are not recordings: " in text
    assert f"{tmp_path}/depth.npy: " in text
    assert "labels.npy: an array (4,) of int64 is not a spike stream" in text
    assert "objects.npy: an array (2,) of object is not a spike stream" in text
    assert text.endswith("; and 3 more")
    for other in ("depth.npy", "labels.npy", "objects.npy"):
        (tmp_path / other).unlink()
    with pytest.warns(UserWarning, match=r"pose\.npz: no array.*an archive of 3.*/tracks\.txt$"):
        find_takes(tmp_path)


def test_a_damaged_recording_in_a_folder_still_ends_the_build(tmp_path: Path) -> None:
    path = write_recording(random_spikes(5, 6, 16), tmp_path / "a.npy")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FormatError, match=r"a\.npy: truncated"):
        find_takes(tmp_path).jobs["a"]()


def test_recordings_of_every_format_in_a_folder_are_found(tmp_path: Path) -> None:
    for suffix in ("dat", "hdf5", "npy", "npz", "spl"):
        write_recording(random_spikes(5, 6, 16), tmp_path / f"{suffix}.{suffix}")
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["camera/spikes"] = random_spikes(5, 6, 16)
    write_takes(tmp_path / "one.h5", {"scene": make_take(0)})
    takes = find_takes(tmp_path, height=6, width=16)
    assert sorted(takes.jobs) == ["dat", "hdf5", "npy", "npz", "one", "plain", "spl"]
    take = takes.jobs.pop("one")()
    np.testing.assert_array_equal(take.recording[:], make_take(0).recording[:])
    np.testing.assert_array_equal(take.images, make_take(0).images)
    np.testing.assert_array_equal(take.blur, make_take(0).blur)
    for job in takes.jobs.values():
        np.testing.assert_array_equal(job().recording[:], random_spikes(5, 6, 16))


def test_a_file_name_that_is_not_utf_8_is_escaped_in_an_archive(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.dat")
    try:
        write_recording(random_spikes(5, 6, 16), path)
    except (OSError, UnicodeError):
        pytest.skip("this file system accepts only names in UTF-8")
    takes = find_takes(tmp_path, height=6, width=16)
    archive = SpikeArchive(build_archive(tmp_path / "a.h5", takes.jobs))
    assert archive.names() == ["caf_"]
    assert archive["caf_"].meta["source"] == r"caf\udce9.dat"
    assert {finding.code for finding in archive.verify()} == {"W02"}  # its fps is unknown


@pytest.mark.parametrize("layout", ["folder", "recvidar"])
def test_linked_folders_are_searched_and_circular_links_are_not_followed_twice(
    tmp_path: Path, layout: str
) -> None:
    write_recording(random_spikes(5, 6, 16), tmp_path / "store" / "val" / "b.dat")
    write_recording(random_spikes(5, 6, 16), tmp_path / "set" / "train" / "a.dat")
    (tmp_path / "set" / "val").symlink_to("../store/val")
    (tmp_path / "store" / "val" / "back").symlink_to("../../set")
    (tmp_path / "set" / "train" / "loop").symlink_to(tmp_path / "set")
    takes = find_takes(tmp_path / "set", layout=layout, height=6, width=16)
    assert sorted(takes.jobs) == ["a", "b"]
    if layout == "folder":
        assert takes.splits == {"train": ["a"], "val": ["b"]}


def test_the_name_of_the_first_folder_is_mapped_to_a_split(tmp_path: Path) -> None:
    for number, folder in enumerate(("Train", "valid", "Validation", "VAL", "TEST", "other")):
        write_recording(random_spikes(5, 6, 16), tmp_path / folder / f"clip{number}.npz")
    write_recording(random_spikes(5, 6, 16), tmp_path / "val.npz")  # only folders define splits
    takes = find_takes(tmp_path)
    splits = {split: sorted(names) for split, names in takes.splits.items()}
    assert splits == {"train": ["clip0"], "val": ["clip1", "clip2", "clip3"], "test": ["clip4"]}
    assert sorted(takes.without_split) == ["clip5", "val"]


def test_two_files_of_one_recording_in_a_folder_are_named(tmp_path: Path) -> None:
    for name in ("train/a.npz", "train/a.spl"):
        write_recording(random_spikes(4, 6, 16), tmp_path / name)
    with pytest.raises(FormatError, match=r"train/a\.npz and .*train/a\.spl would both be called"):
        find_takes(tmp_path)


def test_names_that_an_archive_does_not_allow_are_reported(tmp_path: Path) -> None:
    for stem in ("day 1", "街", "道", "plain"):
        write_recording(random_spikes(5, 6, 16), tmp_path / f"{stem}.npz")
    takes = find_takes(tmp_path)
    assert takes.renamed == {"day 1": "day_1", "街": "u8857", "道": "u9053"}
    assert sorted(takes.jobs) == ["day_1", "plain", "u8857", "u9053"]
    write_recording(random_spikes(5, 6, 16), tmp_path / "day+1.npz")
    message = r"recordings 'day 1' and 'day\+1' would both be called 'day_1'"
    with pytest.raises(FormatError, match=message):
        find_takes(tmp_path)


def test_an_archive_is_rewritten_with_another_compression_and_bit_layout(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.h5", takes=3)
    takes = find_takes(path)
    packing: dict[str, Any] = {"compression": "gzip", "bit_layout": "tpack"}
    cold = build_archive(tmp_path / "cold.h5", takes.jobs, splits=takes.splits, **packing)
    assert SpikeArchive(cold).data_sha256() == SpikeArchive(path).data_sha256()
    np.testing.assert_array_equal(SpikeArchive(cold).blur("take1"), make_take(1).blur)
    assert SpikeArchive(cold).verify() == []


def test_paths_without_a_data_set_and_unknown_layouts_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file or folder"):
        find_takes(tmp_path / "absent")
    with pytest.raises(FormatError, match="no recordings of layout folder"):
        find_takes(tmp_path)
    known = "layout must be auto, base, sreds, recvidar, momvidar, bss, gopro, rsb, usp"
    with pytest.raises(UsageError, match=known):
        find_takes(tmp_path, layout="reds")
    with pytest.raises(UsageError, match="states its recordings' sizes"):
        find_takes(write_archive(tmp_path / "a.h5"), height=6)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("base", "<split>/spike/<clip>.dat with <split>/gt/<clip>.png"),
        ("recvidar", "<name>.dat in the folder or below"),
        ("momvidar", "<name>.dat in the folder or below"),
        ("bss", "<name>.dat in the folder or below"),
        ("gopro", "<split>/spike_data/<sequence>/<name>.dat with"),
        ("rsb", "spike_data/<sequence>/<name>.dat with blur_data/<sequence>/<name>.png"),
        ("usp", "spike_data/<name>.dat with blur_data/<name>.png and sharp_data/<name>.png"),
        ("folder", r"recordings \(\.dat, \.npz, \.npy, \.h5, \.hdf5, \.spl\)"),
    ],
)
def test_a_layout_without_recordings_names_the_expected_folders(
    tmp_path: Path, layout: str, expected: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(FormatError, match=f"of layout {layout}, which consists of {expected}"):
        find_takes(tmp_path, layout=layout)


@pytest.mark.parametrize("layout", ["base", "recvidar", "momvidar", "bss", "gopro", "rsb", "usp"])
def test_layouts_of_folders_reject_a_single_file(tmp_path: Path, layout: str) -> None:
    path = write_recording(random_spikes(5, 6, 16), tmp_path / "clip.dat")
    with pytest.raises(FormatError, match=rf"clip\.dat: no recordings of layout {layout}"):
        find_takes(path, layout=layout)


@pytest.mark.parametrize(
    ("layout", "names"),
    [
        ("base", ["{split}/spike/{n}.dat", "{split}/gt/{n}.png"]),
        ("recvidar", ["day/{n}.dat"]),
        ("rsb", ["spike_data/s/{n}.dat", "blur_data/s/{n}.png"]),
        ("gopro", ["{split}/spike_data/s/{n}.dat", "{split}/blur_data/s/{n}.png"]),
        ("usp", ["spike_data/{n}.dat", "blur_data/{n}.png"]),
        ("folder", ["{split}/{n}.dat", "{split}/{n}.png"]),
    ],
)
def test_layouts_are_read_in_natural_order_without_companion_files(
    tmp_path: Path, layout: str, names: list[str]
) -> None:
    for number in (10, 9, 1):
        for name in names:
            path = tmp_path / name.format(split="test", n=number)
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".dat":
                write_recording(random_spikes(137, 8, 16), path)
            else:
                save_image(np.zeros((8, 16)), path)
            path.with_name(f"._{path.name}").write_bytes(bytes(137 * 16))  # a valid recording
    jobs = find_takes(tmp_path, layout=layout, height=8, width=16).jobs
    assert [name.rpartition("-")[2] for name in jobs] == ["1", "9", "10"]
    assert all(job().recording.shape == (137, 8, 16) for job in jobs.values())
