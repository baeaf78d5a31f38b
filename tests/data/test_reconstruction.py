"""Data module of reconstruction: contents and selection of clips."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo import SpikeArchive
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.data.batches import collate, unpacked
from spike_zoo.data.sampling import SampleKey
from spike_zoo.data.windows import ReconstructionWindows
from spike_zoo.errors import ConfigError
from spike_zoo.spikes import SpikeRecording, Take
from spike_zoo.testing import pattern_take
from tests.helpers.splits import archive_of, setup_warnings


def test_a_whole_clip_is_the_recordings_planes_around_its_image(archive_path: Path) -> None:
    take = pattern_take(0)
    windows = ReconstructionWindows(SpikeArchive(archive_path), "train", 61)
    data = ReconstructionDataModule(str(archive_path), 61, crop=None, augment=False)
    data.setup("validate")
    batch = unpacked(next(iter(data.val_dataloader())))
    expected: Any = pattern_take(4)
    assert batch["name"] == ["val-0"]
    np.testing.assert_array_equal(batch["spikes"][0].numpy(), expected.recording[10:71])
    np.testing.assert_allclose(batch["image"][0, 0], expected.images[0] / 255, atol=1e-6)
    assert windows[0]["rate_scale"] == pytest.approx(take.recording.rate_scale)


@pytest.fixture(scope="module")
def crops(archive_path: Path) -> ReconstructionWindows:
    archive = SpikeArchive(archive_path)
    return ReconstructionWindows(archive, "train", 61, crop=24, augment=True)


@given(seed=st.integers(0, 2**62 - 1))
def test_planes_and_image_have_the_same_crop_and_augmentation(
    crops: ReconstructionWindows, seed: int
) -> None:
    batch = unpacked(collate([crops[SampleKey(1, seed)]]))
    assert batch["spikes"].shape == (1, 61, 24, 24)
    rate = batch["spikes"].mean(1) / batch["rate_scale"]
    error = (rate - batch["image"][:, 0]).abs().mean()
    assert error < 0.15  # a wrong cut or turn compares unrelated places: 0.2 and more


def test_images_too_near_an_end_are_left_out(archive_path: Path) -> None:
    archive = SpikeArchive(archive_path)
    assert len(ReconstructionWindows(archive, "train", 81)) == 4
    assert len(ReconstructionWindows(archive, "train", 83)) == 0


def test_recordings_that_cannot_be_samples_are_counted_and_the_first_is_named(
    tmp_path: Path,
) -> None:
    short = SpikeRecording(pattern_take(2, planes=41).recording.packed, 48, rate_scale=0.6)
    bare = replace(pattern_take(3), images=None, image_index=None)
    path = archive_of(tmp_path / "a.h5", Take(short), bare)
    message = (
        r"1 recordings without images \(the first is 'take1'\) and 1 recordings with fewer than "
        r"61 planes \(the first is 'take0'\) are left out"
    )
    data = ReconstructionDataModule(str(path), 61, crop=32)
    with pytest.raises(ConfigError, match=rf"has no sample for this configuration: {message}"):
        data.setup("fit")
    path = archive_of(tmp_path / "b.h5", Take(short), bare, pattern_take(4))
    messages = setup_warnings(ReconstructionDataModule(str(path), 61, crop=32), "fit")
    assert any(re.search(rf"b\.h5: of train, {message}\.", text) for text in messages)


def test_recordings_without_images_are_predicted(tmp_path: Path) -> None:
    bare = replace(pattern_take(3, planes=130), images=None, image_index=None)
    path = archive_of(tmp_path / "a.h5", pattern_take(4), bare)
    data = ReconstructionDataModule(str(path), 61, crop=32)
    data.setup("predict")
    batches = [data.on_after_batch_transfer(batch, 0) for batch in data.predict_dataloader()]
    predicted = [(batch["name"][0], int(batch["plane"][0])) for batch in batches]
    assert predicted == [("take0", 40), ("take1", 35), ("take1", 65), ("take1", 95)]
    assert all("image" not in batch for batch in batches)
    np.testing.assert_array_equal(batches[1]["spikes"][0].numpy(), bare.recording[5:66])


def test_recordings_that_are_too_short_to_predict_are_counted(tmp_path: Path) -> None:
    bare = replace(pattern_take(3), images=None, image_index=None)
    path = archive_of(tmp_path / "a.h5", bare, pattern_take(2, planes=41), pattern_take(4))
    messages = setup_warnings(ReconstructionDataModule(str(path), 61, crop=32), "predict")
    message = r"1 recordings with fewer than 61 planes \(the first is 'take1'\)"
    assert len(messages) == 1, "no warning of the recording without images, which is predicted"
    assert re.search(rf"a\.h5: of test, {message} are left out\.", messages[0])


def test_a_crop_larger_than_a_frame_is_rejected(archive_path: Path) -> None:
    data = ReconstructionDataModule(str(archive_path), 61, crop=48)
    with pytest.raises(ConfigError, match="crop: 48 pixels do not fit into recording 'train-0'"):
        data.setup("fit")


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
@pytest.mark.parametrize("size", [(80, 96), (40, 47), (20, 24)])
def test_images_of_another_size_than_the_spikes_are_rejected(
    tmp_path: Path, stage: str, size: tuple[int, int]
) -> None:
    take: Any = pattern_take(0)
    images = np.zeros((len(take.images), *size), np.uint8)
    path = archive_of(tmp_path / "a.h5", take)
    with h5py.File(path, "r+") as file:  # the writer itself takes whole multiples only
        del file["recordings/take0/images"]
        file["recordings/take0/images"] = images
    data = ReconstructionDataModule(str(path), 61, crop=None)
    height, width = take.recording.shape[1:]
    message = rf"a\.h5: recording 'take0' has images of {size[0]}x{size[1]} and spikes of "
    with pytest.raises(ConfigError, match=f"{message}{height}x{width}"):
        data.setup(stage)


def test_blurry_images_of_another_size_do_not_matter(tmp_path: Path) -> None:
    blur = np.zeros((1, 80, 96, 3), np.uint8)
    take = replace(pattern_take(0), blur=blur, blur_span=np.array([[0, 9]]))
    data = ReconstructionDataModule(str(archive_of(tmp_path / "a.h5", take)), 61, crop=None)
    data.setup("test")
    assert len(list(data.test_dataloader())) == 1


@pytest.mark.parametrize(
    ("clip_length", "stride", "expected"),
    [
        (61, 1, []),  # 121 planes, images at 30, 45, 60, 75, 90
        (
            91,
            1,
            ["2 of 5 images of test are left out: 2 because clip_length 91 does not fit around"],
        ),
        (61, 2, ["2 of 5 images of test are left out: 2 by stride 2"]),
        (91, 2, ["3 of 5 images of test .* 2 because clip_length 91 .* them and 1 by stride 2"]),
    ],
)
def test_images_that_are_not_tested_are_counted(
    tmp_path: Path, clip_length: int, stride: int, expected: list[str]
) -> None:
    take: Any = pattern_take(0, 121, stride=15)
    take = replace(take, images=take.images[2:7], image_index=np.arange(30, 91, 15))
    path = str(archive_of(tmp_path / "a.h5", take))
    data = ReconstructionDataModule(path, clip_length, stride=stride, crop=None)
    messages = setup_warnings(data, "test", "test", "predict")
    assert len(messages) == len(expected)
    for message, pattern in zip(messages, expected, strict=True):
        assert re.search(pattern, message)
    of_val = [message for message in setup_warnings(data, "fit") if "images of val" in message]
    assert len(of_val) == len(expected)
