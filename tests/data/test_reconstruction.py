"""Clips from an archive: what is in them, and that nothing else decides it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo import SpikeArchive
from spike_zoo.batch import PackedClip
from spike_zoo.data import ReconstructionDataModule, ReconstructionWindows
from spike_zoo.data.base import unpack_clips
from spike_zoo.data.batches import Collate
from spike_zoo.data.sampling import SampleKey
from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.spikes.take import grey
from spike_zoo.testing import pattern_take, tiny_archive


@pytest.fixture(scope="module")
def archive_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_archive(tmp_path_factory.mktemp("archives") / "tiny.h5")


def _epoch(archive: Path, **options: Any) -> list[dict[str, Any]]:
    data = ReconstructionDataModule(str(archive), 61, batch_size=2, crop=32, seed=5, **options)
    data.setup("fit")
    return [dict(unpack_clips(batch)) for batch in data.train_dataloader()]


def test_a_whole_clip_is_the_recordings_planes_around_its_image(archive_path: Path) -> None:
    take = pattern_take(0)
    windows = ReconstructionWindows(SpikeArchive(archive_path), "train", 61)
    data = ReconstructionDataModule(str(archive_path), 61, crop=None, augment=False)
    data.setup("validate")
    batch = unpack_clips(next(iter(data.val_dataloader())))
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
    batch = unpack_clips(cast(PackedClip, Collate()([sample])))
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


def test_colour_and_deep_images_become_grey_in_the_unit_range() -> None:
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_allclose(grey(red), 0.299, rtol=1e-6)
    np.testing.assert_allclose(grey(np.full((2, 2), 65535, np.uint16)), 1.0)
    byte = np.full((2, 2), 7, np.uint8)
    assert grey(byte).dtype == np.uint8
