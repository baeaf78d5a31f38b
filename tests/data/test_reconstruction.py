"""Clips from an archive: what is in them, and that nothing else decides it."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning import LightningDataModule

from spike_zoo import SpikeArchive
from spike_zoo.archive import ArchiveWriter
from spike_zoo.data import ReconstructionDataModule, ReconstructionWindows, SceneDataModule
from spike_zoo.data.base import unpacked
from spike_zoo.data.batches import Collate
from spike_zoo.data.sampling import SampleKey
from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.spikes import Take
from spike_zoo.testing import pattern_take, tiny_archive


@pytest.fixture(scope="module")
def archive_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_archive(tmp_path_factory.mktemp("archives") / "tiny.h5")


def _epoch(archive: Path, **options: Any) -> list[dict[str, Any]]:
    data = ReconstructionDataModule(str(archive), 61, batch_size=2, crop=32, seed=5, **options)
    data.setup("fit")
    return [dict(unpacked(batch)) for batch in data.train_dataloader()]


def test_a_whole_clip_is_the_recordings_planes_around_its_image(archive_path: Path) -> None:
    take = pattern_take(0)
    windows = ReconstructionWindows(SpikeArchive(archive_path), "train", 61)
    data = ReconstructionDataModule(str(archive_path), 61, crop=None, augment=False)
    data.setup("validate")
    batch = unpacked(next(iter(data.val_dataloader())))
    expected = pattern_take(4)
    assert batch["name"] == ["val-0"]
    np.testing.assert_array_equal(batch["spikes"][0].numpy(), expected.recording[10:71])
    assert expected.images is not None
    np.testing.assert_allclose(batch["image"][0, 0], expected.images[0] / 255, atol=1e-6)
    assert windows[0]["rate_scale"] == pytest.approx(take.recording.rate_scale)


@given(seed=st.integers(0, 2**62 - 1))
def test_planes_and_image_are_cut_and_turned_alike(archive_path: Path, seed: int) -> None:
    windows = ReconstructionWindows(SpikeArchive(archive_path), "train", 61, crop=24, augment=True)
    sample = windows[SampleKey(1, seed)]
    batch = unpacked(Collate()([sample]))
    assert batch["spikes"].shape == (1, 61, 24, 24)
    rate = batch["spikes"].mean(1) / batch["rate_scale"]
    error = (rate - batch["image"][:, 0]).abs().mean()
    assert error < 0.15  # a wrong cut or turn compares unrelated places: 0.2 and more


@pytest.mark.parametrize("workers", [1, 2])
def test_an_epoch_does_not_depend_on_workers(archive_path: Path, workers: int) -> None:
    for ours, theirs in zip(
        _epoch(archive_path), _epoch(archive_path, workers=workers), strict=True
    ):
        assert ours["name"] == theirs["name"]
        torch.testing.assert_close(ours["spikes"], theirs["spikes"], rtol=0, atol=0)
        torch.testing.assert_close(ours["image"], theirs["image"], rtol=0, atol=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_goes_on_where_its_state_was_taken(archive_path: Path, workers: int) -> None:
    data = ReconstructionDataModule(
        str(archive_path), 61, batch_size=2, crop=32, seed=5, workers=workers, samples_per_epoch=40
    )
    data.setup("fit")
    batches, state = [], None
    loader = data.train_dataloader()
    for batch in loader:
        batches.append(batch)
        if len(batches) == 18:  # between two snapshots
            state = loader.state_dict()
    assert state is not None
    resumed = data.train_dataloader()
    resumed.load_state_dict(state)
    rest = list(resumed)
    assert len(rest) == len(batches) - 18
    for ours, theirs in zip(rest, batches[18:], strict=True):
        torch.testing.assert_close(ours["packed"], theirs["packed"], rtol=0, atol=0)


def test_batches_of_workers_stay_as_they_came_however_many_are_kept(archive_path: Path) -> None:
    kept: dict[int, list[dict[str, Any]]] = {}
    for workers in (0, 2):  # far more batches than workers have memory for
        data = ReconstructionDataModule(
            str(archive_path), 61, batch_size=1, crop=32, seed=5, workers=workers
        )
        data.samples_per_epoch = 60
        data.setup("fit")
        kept[workers] = list(data.train_dataloader())
    for ours, theirs in zip(kept[2], kept[0], strict=True):
        torch.testing.assert_close(ours["packed"], theirs["packed"], rtol=0, atol=0)
        torch.testing.assert_close(ours["image"], theirs["image"], rtol=0, atol=0)
        assert ours["name"] == theirs["name"]
        assert ours["packed"].is_contiguous()


def test_images_too_near_an_end_are_left_out(archive_path: Path) -> None:
    archive = SpikeArchive(archive_path)
    assert len(ReconstructionWindows(archive, "train", 81)) == 4
    assert len(ReconstructionWindows(archive, "train", 83)) == 0


def test_a_split_without_samples_is_refused_by_name(archive_path: Path) -> None:
    data = ReconstructionDataModule(str(archive_path), 83, crop=32)
    with pytest.raises(ConfigError, match=r"tiny\.h5: split 'train' has no sample"):
        data.setup("fit")


def test_another_split_can_be_tested_on(archive_path: Path) -> None:
    data = ReconstructionDataModule(str(archive_path), 61, crop=32, test_split="val")
    data.setup("test")
    [batch] = data.test_dataloader()
    assert batch["name"] == ["val-0"]


def test_a_crop_larger_than_a_frame_is_refused(archive_path: Path) -> None:
    data = ReconstructionDataModule(str(archive_path), 61, crop=48)
    with pytest.raises(ConfigError, match="crop: 48 pixels do not fit into recording 'train-0'"):
        data.setup("fit")


def test_a_missing_archive_names_the_command_that_makes_it(tmp_path: Path) -> None:
    data = ReconstructionDataModule(str(tmp_path / "none.h5"))
    with pytest.raises(MissingFileError, match=r"none\.h5: .*python -m spike_zoo simulate --out"):
        data.setup("fit")


def archive_of(path: Path, *takes: Take) -> Path:
    """Write takes ``take0``, ``take1``, ... that are in all three splits."""
    with ArchiveWriter(path) as writer:
        for number, take in enumerate(takes):
            for split in ("train", "val", "test"):
                if f"take{number}" not in writer.file["recordings"]:
                    writer.add(f"take{number}", take)
                writer.put_in_split(split, f"take{number}")
    return path


def without_scale(take: Take) -> Take:
    take.recording.rate_scale = None
    return take


def said_in_setup(data: LightningDataModule, *stages: str) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for stage in stages:
            data.setup(stage)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
@pytest.mark.parametrize("size", [(80, 96), (40, 47), (20, 24)])
def test_images_of_another_size_than_the_spikes_are_refused(
    tmp_path: Path, stage: str, size: tuple[int, int]
) -> None:
    take = pattern_take(0)
    assert take.images is not None
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


def test_unknown_rate_scales_are_told_once_with_the_way_out(tmp_path: Path) -> None:
    takes = pattern_take(0), without_scale(pattern_take(1)), without_scale(pattern_take(2))
    path = str(archive_of(tmp_path / "a.h5", *takes))
    data = ReconstructionDataModule(path, 61, crop=None)
    [said] = said_in_setup(data, "fit", "test")
    assert "a.h5: 2 of 3 recordings do not tell how many spikes a plane holds at white" in said
    assert "data.init_args.rate_scale" in said
    scales = [float(batch["rate_scale"]) for batch in data.test_dataloader()]
    assert scales == pytest.approx([takes[0].recording.rate_scale, 1.0, 1.0])


@pytest.mark.parametrize("module", [ReconstructionDataModule, SceneDataModule])
def test_a_stated_rate_scale_holds_where_a_recording_tells_none(
    tmp_path: Path, module: type[ReconstructionDataModule]
) -> None:
    takes = pattern_take(0), without_scale(pattern_take(1))
    path = str(archive_of(tmp_path / "a.h5", *takes))
    data = module(path, 61, crop=None, batch_size=1, rate_scale=0.25)
    assert said_in_setup(data, "fit", "test") == []
    own = takes[0].recording.rate_scale
    for loader in (data.train_dataloader(), data.test_dataloader()):
        found = {batch["name"][0]: float(batch["rate_scale"]) for batch in loader}
        assert found == pytest.approx({"take0": own, "take1": 0.25})


@pytest.mark.parametrize("scale", [0.0, -0.6, float("inf"), float("nan")])
def test_an_impossible_rate_scale_is_refused(scale: float) -> None:
    with pytest.raises(ConfigError, match="rate_scale: must be finite and above 0"):
        ReconstructionDataModule(rate_scale=scale)


@pytest.mark.parametrize(
    ("clip_length", "stride", "expected"),
    [
        (61, 1, []),  # 121 planes, images at 30, 45, 60, 75, 90
        (91, 1, ["2 of 5 images of test are left out: 2 as clip_length 91 does not fit around"]),
        (61, 2, ["2 of 5 images of test are left out: 2 by stride 2"]),
        (91, 2, ["3 of 5 images of test .* 2 as clip_length 91 .* them and 1 by stride 2"]),
    ],
)
def test_images_that_are_not_tested_are_counted(
    tmp_path: Path, clip_length: int, stride: int, expected: list[str]
) -> None:
    take = pattern_take(0, 121, stride=15)
    assert take.images is not None
    take = replace(take, images=take.images[2:7], image_index=np.arange(30, 91, 15))
    path = str(archive_of(tmp_path / "a.h5", take))
    data = ReconstructionDataModule(path, clip_length, stride=stride, crop=None)
    said = said_in_setup(data, "test", "test", "predict")
    assert len(said) == len(expected)
    for message, pattern in zip(said, expected, strict=True):
        assert re.search(pattern, message)
    of_val = [message for message in said_in_setup(data, "fit") if "images of val" in message]
    assert len(of_val) == len(expected)
