"""Data module of deblurring: planes, images, crops and augmentation."""

import functools
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo import SpikeArchive
from spike_zoo.archive import ArchiveWriter
from spike_zoo.data import DeblurDataModule
from spike_zoo.data.batches import collate, unpacked
from spike_zoo.data.deblur import Exposures
from spike_zoo.data.sampling import SampleKey
from spike_zoo.errors import ConfigError
from spike_zoo.spikes import SpikeRecording, Take
from spike_zoo.tasks.batch import DeblurBatch
from tests.helpers.streams import random_spikes

HEIGHT, WIDTH, PLANES = 24, 40, 60
SPAN = [12, 45]  # 33 planes, 12 before and 15 after them


def coded_images(count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return images with the row as red, the column as green and the image number as blue."""
    rows, columns = np.mgrid[: 4 * HEIGHT, : 4 * WIDTH]
    return np.stack(
        [np.stack([rows, columns, np.full_like(rows, n)], -1) for n in range(count)]
    ).astype(np.uint8)


def exposed_take(seed: int = 0, images: int = 9) -> Take:
    recording = SpikeRecording.from_planes(
        random_spikes(PLANES, HEIGHT, WIDTH, seed=seed), fps=0.0, rate_scale=0.993
    )
    index = np.linspace(8, 48, images).astype(np.int64)  # the first and last lie outside
    take = Take(recording, blur=coded_images(1), blur_span=np.array([SPAN]))
    return replace(take, images=coded_images(images), image_index=index) if images else take


@pytest.fixture(scope="module")
def archive_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archives") / "deblur.h5"
    with ArchiveWriter(path) as writer:
        for seed in range(3):
            writer.add(f"train-{seed}", exposed_take(seed, images=0), split="train")
        writer.add("val-0", exposed_take(3), split="val")
        writer.add("test-0", exposed_take(4), split="test")
    return path


def data_of(path: Path, **options: Any) -> DeblurDataModule:
    return DeblurDataModule(str(path), **{"margin": 10, "crop": 16, "batch_size": 2} | options)


def first_batch(path: Path, **options: Any) -> DeblurBatch:
    data = data_of(path, **options)
    data.setup("test")
    return data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)


def test_a_whole_exposure_has_its_margins_and_the_sharp_images_inside_it(
    archive_path: Path,
) -> None:
    batch, take = first_batch(archive_path), exposed_take(4)
    assert batch["name"] == ["test-0"]
    assert batch["spikes"].shape == (1, 53, HEIGHT, WIDTH)
    np.testing.assert_array_equal(batch["spikes"][0].numpy(), take.recording[2:55])
    assert batch["exposure"].tolist() == [[10, 43]]
    assert take.blur is not None
    np.testing.assert_allclose(batch["blur"][0].permute(1, 2, 0) * 255, take.blur[0], atol=1e-4)
    assert batch["planes"].tolist() == [[11, 16, 21, 26, 31, 36, 41]]  # of 13, 18 .. 43
    image_numbers = (batch["images"][0, :, 2, 0, 0] * 255).round().int()
    assert image_numbers.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert batch["rate_scale"].tolist() == pytest.approx([0.993])


@pytest.mark.parametrize(
    ("frames", "numbers"), [(7, [1, 2, 3, 4, 5, 6, 7]), (3, [1, 4, 7]), (1, [4]), (0, [])]
)
def test_the_requested_number_of_sharp_images_is_spread_over_the_exposure(
    archive_path: Path, frames: int, numbers: list[int]
) -> None:
    batch = first_batch(archive_path, frames=frames)
    image_numbers = (batch["images"][0, :, 2, 0, 0] * 255).round().int()
    assert image_numbers.tolist() == numbers
    assert batch["images"].shape == (1, len(numbers), 3, 4 * HEIGHT, 4 * WIDTH)


@functools.cache
def crops(path: Path, crop: int | None) -> Exposures:
    return Exposures(SpikeArchive(path), "val", margin=3, crop=crop, augment=True)


@given(seed=st.integers(0, 2**62 - 1), crop=st.sampled_from([16, 19, 24, None]))
def test_planes_and_images_have_the_same_crop_and_augmentation(
    archive_path: Path, seed: int, crop: int | None
) -> None:
    batch = unpacked(collate([crops(archive_path, crop)[SampleKey(0, seed)]]))
    planes = exposed_take(3).recording[9:48]
    height, width = batch["spikes"].shape[2:]
    for image in (batch["blur"][0], batch["images"][0, 0]):
        coded = (image[:2] * 255).round().reshape(2, height, 4, width, 4).mean((2, 4))
        rows, columns = ((coded - 1.5) / 4).round().long().numpy()
        np.testing.assert_array_equal(batch["spikes"][0].numpy(), planes[:, rows, columns])


def epoch(path: Path, **options: Any) -> list[DeblurBatch]:
    data = data_of(path, seed=5, samples_per_epoch=6, **options)
    data.setup("fit")
    return [data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()]


def test_training_samples_are_crops_without_sharp_images(archive_path: Path) -> None:
    batches = epoch(archive_path)
    counts = Counter(name for batch in batches for name in batch["name"])
    assert counts == {"train-0": 2, "train-1": 2, "train-2": 2}
    for batch in batches:
        assert batch["spikes"].shape == (2, 53, 16, 16)
        assert batch["blur"].shape == (2, 3, 64, 64)
        assert batch["images"].shape == (2, 0, 3, 64, 64)
        rows = (batch["blur"][:, 0, :, 0] * 255).round()
        assert (rows.diff(dim=1) == 1).all()  # not turned


@pytest.mark.parametrize("options", [{"workers": 2}, {}])
def test_samples_depend_on_the_seed_and_not_on_workers(
    archive_path: Path, options: dict[str, Any]
) -> None:
    for first, second in zip(epoch(archive_path), epoch(archive_path, **options), strict=True):
        assert first["name"] == second["name"]
        torch.testing.assert_close(first["spikes"], second["spikes"], rtol=0, atol=0)
        torch.testing.assert_close(first["blur"], second["blur"], rtol=0, atol=0)


def test_training_and_validation_can_use_the_test_split(archive_path: Path) -> None:
    data = data_of(archive_path, train_split="test", val_split="test")
    data.setup("fit")
    assert next(iter(data.train_dataloader()))["name"] == ["test-0"]
    [batch] = data.val_dataloader()
    assert batch["name"] == ["test-0"]


def write_take(path: Path, take: Take) -> Path:
    with ArchiveWriter(path) as writer:
        for split in ("train", "val", "test"):
            writer.add(f"one-{split}", take, split=split)
    return path


def test_float_and_grey_images_become_colour_in_the_unit_range(tmp_path: Path) -> None:
    grey = np.full((1, 4 * HEIGHT, 4 * WIDTH), 65535, np.uint16)
    colour = np.full((1, 4 * HEIGHT, 4 * WIDTH, 3), 0.25, np.float32)
    take = replace(exposed_take(), blur=grey, images=colour, image_index=np.array([20]))
    batch = first_batch(write_take(tmp_path / "a.h5", take))
    assert batch["blur"].unique().tolist() == [1.0]
    assert batch["blur"].shape[1] == 3
    assert batch["images"].unique().tolist() == [0.25]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"margin": 13}, r"a\.h5: recording 'one-test' has 12 planes before .* at most 12"),
        ({}, {"ratio": 2}, r"images of 96x160 and spikes of 24x40; expected 48x80.*ratio to 4 "),
        ({"blur": None, "blur_span": None}, {}, r"no blurry image.*simulate --kind deblur"),
        (
            {"images": np.zeros((1, HEIGHT, WIDTH), np.uint8), "image_index": np.array([20])},
            {},
            r"images of 24x40 and spikes of 24x40; expected 96x160",
        ),
    ],
)
def test_unsuitable_recordings_are_rejected_with_advice(
    tmp_path: Path, change: dict[str, Any], options: dict[str, int], message: str
) -> None:
    path = write_take(tmp_path / "a.h5", replace(exposed_take(), **change))
    with pytest.raises(ConfigError, match=message):
        data_of(path, **options).setup("test")


def test_a_crop_larger_than_a_frame_is_rejected(archive_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"crop: 32 pixels of the spikes do not fit.*24x40"):
        data_of(archive_path, crop=32).setup("fit")


@pytest.mark.parametrize("options", [{"margin": -1}, {"ratio": 0}, {"frames": -1}])
def test_impossible_numbers_are_rejected(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(options))}: at least"):
        DeblurDataModule(**options)  # type: ignore[arg-type]  # numbers all of them
