"""Archive requests for folders of images: sizes, names, limits and errors."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spike_zoo.archive import SpikeArchive, build_archive
from spike_zoo.errors import FormatError, MissingFileError, UsageError
from spike_zoo.simulation.datasets.image_sets import IMAGE_SETS, image_request
from tests.helpers.image_trees import (
    write_cifar,
    write_classes,
    write_image,
    write_mnist,
    write_septuplets,
)
from tests.helpers.splits import split_sizes


def test_mnist_digits_have_forty_pixels_on_dark_planes_of_sixty_four(tmp_path: Path) -> None:
    write_mnist(tmp_path, [*range(10)] * 2, [4])
    request = image_request("s-mnist", str(tmp_path), 0, {})
    takes = request.takes()
    ((name, make),) = takes["test"].items()
    assert name == "test-00000-digit-4-motion-0"
    take = make()
    assert (take.label, take.recording.shape) == (4, (41, 64, 64))
    sides = [np.ptp(np.flatnonzero(take.recording[:].any(axis=(0, axis)))) for axis in (1, 2)]
    drift = take.recording.meta["drift"]
    travelled = [40 * abs(drift[axis]) for axis in ("dx", "dy")]
    assert np.subtract(sides, travelled) == pytest.approx([40, 40], abs=2)
    assert request.label_names == tuple("0123456789")


@pytest.mark.parametrize(("kind", "side"), [("s-cifar", 64), ("s-caltech", 128), ("labelled", 64)])
def test_photographs_fill_their_planes(tmp_path: Path, kind: str, side: int) -> None:
    if kind == "s-cifar":
        write_cifar(tmp_path, [*range(10)] * 2, [4])
    else:
        write_classes(tmp_path, {"a": 3, "b": 3})
    takes = image_request(kind, str(tmp_path), 0, {}).takes()
    take = next(iter(takes["test"].values()))()
    assert take.recording.shape == (41, side, side)
    assert take.recording.meta["mirrored"] is True
    edges = take.recording[:].mean(axis=0)[[0, -1]]
    assert (edges > 0).all()


def test_training_images_have_the_requested_number_of_motions(tmp_path: Path) -> None:
    write_classes(tmp_path, {"a": 10, "b": 10})
    options = {"motions": 3, "height": 24, "width": 32, "planes": 12, "noise": "indoor-v1"}
    takes = image_request("labelled", str(tmp_path), 0, options).takes()
    assert split_sizes(takes) == {"train": 48, "val": 2, "test": 2}
    take = takes["train"]["a-image_0000-motion-2"]()
    assert take.recording.shape == (12, 24, 32)
    assert take.recording.meta["noise"] == "indoor-v1"


def test_a_limit_selects_evenly_from_all_classes_without_changing_takes(tmp_path: Path) -> None:
    write_mnist(tmp_path, [*range(10)] * 6, [*range(10)] * 3)
    request = image_request("s-mnist", str(tmp_path), 0, {"train": 20, "test": 10})
    takes = request.takes()
    assert split_sizes(takes) == {"train": 20, "val": 10, "test": 10}
    labels = Counter(name.split("-")[3] for name in takes["test"])
    assert labels == Counter({str(digit): 1 for digit in range(10)})
    all_takes = image_request("s-mnist", str(tmp_path), 0, {}).takes()
    name, make = next(iter(takes["test"].items()))
    unlimited = all_takes["test"][name]().recording
    np.testing.assert_array_equal(make().recording.packed, unlimited.packed)


def test_a_request_records_its_options_and_the_available_images(tmp_path: Path) -> None:
    write_classes(tmp_path / "fruit", {"a": 10, "b": 10})
    options = image_request("labelled", str(tmp_path / "fruit"), 2, {"train": 5}).options
    listed = options.pop("listed")
    assert options == {
        "kind": "labelled", "simulator": "spike_zoo.simulation drifting v1", "images": "fruit",
        "seed": 2, "height": 64, "width": 64, "planes": 41, "noise": "none", "motions": 1,
        "train": 5, "pictures": {"train": 5, "val": 2, "test": 2},
    }  # fmt: skip
    write_image(tmp_path / "fruit" / "a" / "image.png")  # the first image of its class
    repeated = image_request("labelled", str(tmp_path / "fruit"), 2, {"train": 5}).options
    assert repeated["listed"] != listed


def test_clips_of_frames_become_takes_with_ground_truth(tmp_path: Path) -> None:
    write_septuplets(tmp_path, ["00001/0001", "00002/0001"], ["00003/0004"])
    request = image_request("s-vimeo", str(tmp_path), 0, {"noise": "indoor-v1"})
    takes = request.takes()
    assert split_sizes(takes) == {"train": 1, "val": 1, "test": 1}
    take = takes["test"]["00003-0004"]()
    assert take.label is None
    assert take.images is not None
    assert take.recording.meta["noise"] == "indoor-v1"
    assert request.label_names == ()


def test_an_archive_is_named_after_its_data_set_or_folder(tmp_path: Path) -> None:
    names = {kind: one.out(tmp_path / "my fruit") for kind, one in IMAGE_SETS.items()}
    own_names = {kind: f"data/{kind}.h5" for kind in ("s-mnist", "s-cifar", "s-caltech", "s-vimeo")}
    assert names == {"labelled": "data/my_fruit.h5", **own_names}


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("labelled", {"stride": 5}, "--stride is not an option for images of --kind labelled"),
        ("s-vimeo", {"height": 64}, "it goes with --kind labelled or s-mnist"),
        ("labelled", {"planes": 1}, "--planes must be at least 2"),
        ("s-mnist", {"height": 31}, "31x64 are too small"),
    ],
)
def test_invalid_options_are_rejected(
    tmp_path: Path, kind: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        image_request(kind, str(tmp_path), 0, options)


def test_a_data_set_requires_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--kind s-mnist needs --images, the folder of the set"):
        image_request("s-mnist", None, 0, {})
    with pytest.raises(MissingFileError, match="lost: there is no such folder"):
        image_request("s-mnist", str(tmp_path / "lost"), 0, {})
    with pytest.raises(FormatError, match="no folder of a class"):
        image_request("labelled", str(tmp_path), 0, {})


def test_two_images_of_one_name_are_rejected(tmp_path: Path) -> None:
    write_classes(tmp_path, {"a": 3})
    write_image(tmp_path / "a" / "image_0001.bmp")
    with pytest.raises(UsageError, match="two images would make 'a-image_0001'; rename one"):
        image_request("labelled", str(tmp_path), 0, {})


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        ("s-mnist", "adbeb5c8210ca5a2"),
        ("s-cifar", "1d03b223ec1aeeb1"),
        ("labelled", "5ea51459d8c0505c"),
        ("s-vimeo", "098bd962b422e62d"),
    ],
)
def test_an_archive_has_the_same_content_for_a_seed(tmp_path: Path, kind: str, digest: str) -> None:
    write = {
        "s-mnist": lambda: write_mnist(tmp_path, [*range(10)] * 2, [4]),
        "s-cifar": lambda: write_cifar(tmp_path, [*range(10)] * 2, [4]),
        "labelled": lambda: write_classes(tmp_path, {"a10": 3, "a9": 3}),
        "s-vimeo": lambda: write_septuplets(tmp_path, ["00001/0001", "00002/0001"], ["00003/0004"]),
    }
    write[kind]()
    request = image_request(kind, str(tmp_path), 3, dict.fromkeys(("train", "val", "test"), 2))
    takes = request.takes()
    jobs = {name: job for split in takes.values() for name, job in split.items()}
    splits = {split: list(names) for split, names in takes.items()}
    path = build_archive(tmp_path / "a.h5", jobs, splits=splits, label_names=request.label_names)
    assert SpikeArchive(path).data_sha256()[:16] == digest
