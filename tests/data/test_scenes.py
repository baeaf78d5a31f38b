"""Scenes from an archive: all images of a recording, cut and turned as one."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spike_zoo import SpikeArchive
from spike_zoo.archive import build_archive
from spike_zoo.batch import ReconstructionBatch
from spike_zoo.data import SceneDataModule, SceneWindows
from spike_zoo.data.base import unpacked
from spike_zoo.data.batches import Collate
from spike_zoo.data.sampling import SampleKey
from spike_zoo.errors import ConfigError
from spike_zoo.spikes.turning import apply_mode
from spike_zoo.testing import pattern_take, tiny_archive

PLANES, STRIDE = 121, 20  # images at 0, 20, ..., 120; windows of 61 planes lie inside for 40..80


@pytest.fixture(scope="module")
def archive_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_archive(tmp_path_factory.mktemp("scenes") / "tiny.h5", PLANES, stride=STRIDE)


def test_a_scene_holds_every_image_whose_window_lies_inside(archive_path: Path) -> None:
    scenes = SceneWindows(SpikeArchive(archive_path), "train", 61)
    assert len(scenes) == 4
    batch = unpacked(Collate()([scenes[2]]), torch.uint8)
    take = pattern_take(2, PLANES, stride=STRIDE)
    assert take.images is not None
    assert batch["name"] == ["train-2"]
    assert batch["spikes"].dtype == torch.uint8
    np.testing.assert_array_equal(batch["spikes"][0], take.recording[10:111])  # 40 - 30, 80 + 31
    np.testing.assert_array_equal(batch["planes"], [[30, 50, 70]])
    np.testing.assert_allclose(batch["images"][0, :, 0], take.images[2:5] / 255, atol=1e-6)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**62 - 1))
def test_all_planes_and_images_of_a_scene_are_cut_and_turned_alike(
    archive_path: Path, seed: int
) -> None:
    scenes = SceneWindows(SpikeArchive(archive_path), "train", 61, crop=24, augment=True)
    sample = scenes[SampleKey(1, seed)]
    batch = unpacked(Collate()([sample]), torch.uint8)
    whole = unpacked(Collate()([scenes[1]]), torch.uint8)
    mode = sample["mode"]
    places = [
        (slice(top, top + 24), slice(left, left + 24))
        for top in range(40 - 24 + 1)
        for left in range(0, 48 - 24 + 1, 8)
    ]
    found = [
        (rows, columns)
        for rows, columns in places
        if torch.equal(batch["images"][0], apply_mode(whole["images"][0, ..., rows, columns], mode))
    ]
    assert len(found) == 1
    [(rows, columns)] = found
    cut = whole["spikes"][0, :, rows, columns]
    assert torch.equal(batch["spikes"][0], apply_mode(cut, mode))


def test_training_draws_scenes_and_evaluation_clips(archive_path: Path) -> None:
    data = SceneDataModule(str(archive_path), batch_size=3, crop=32, seed=0)
    data.setup("fit")
    names = []
    for packed in data.train_dataloader():
        batch = data.on_after_batch_transfer(packed, 0)
        assert batch["spikes"].shape[1:] == (101, 32, 32)
        assert "images" in batch
        names += batch["name"]
    assert sorted(names) == [f"train-{number}" for number in range(4)]
    clips = [data.on_after_batch_transfer(packed, 0) for packed in data.val_dataloader()]
    assert [int(cast(ReconstructionBatch, clip)["plane"]) for clip in clips] == [40, 60, 80]
    assert clips[0]["spikes"].shape == (1, 61, 40, 48)


def test_scenes_of_different_lengths_cannot_share_a_batch(tmp_path: Path) -> None:
    jobs = {f"s{planes}": lambda n=planes: pattern_take(0, n, stride=20) for planes in (121, 161)}
    build_archive(tmp_path / "a.h5", jobs, splits={"train": list(jobs), "val": ["s121"]})
    data = SceneDataModule(str(tmp_path / "a.h5"), batch_size=2, crop=32)
    data.setup("fit")
    with pytest.raises(ConfigError, match=r"packed of different sizes .* batch_size .* to 1"):
        next(iter(data.train_dataloader()))


def test_scenes_are_served_whole_to_every_split_that_is_named(archive_path: Path) -> None:
    data = SceneDataModule(str(archive_path), 61, crop=24, seed=0, whole=("train", "val", "test"))
    for stage, loader in (("validate", data.val_dataloader), ("test", data.test_dataloader)):
        data.setup(stage)
        (packed,) = loader()
        batch = data.on_after_batch_transfer(packed, 0)
        assert batch["spikes"].shape == (1, 101, 40, 48), "all planes around the images, uncut"
        assert batch["images"].shape == (1, 3, 1, 40, 48)
    with pytest.raises(ConfigError, match="whole: 'tset' is no split; they are train, val, test"):
        SceneDataModule(str(archive_path), whole=("tset",))
