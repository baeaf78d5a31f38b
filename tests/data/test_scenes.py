"""Data module of image sequences: samples, crops and augmentation."""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spike_zoo import SpikeArchive
from spike_zoo.archive import build_archive
from spike_zoo.data import SceneDataModule
from spike_zoo.data.batches import collate, unpacked
from spike_zoo.data.sampling import SampleKey
from spike_zoo.data.scenes import SceneWindows
from spike_zoo.errors import ConfigError
from spike_zoo.spikes import Take
from spike_zoo.spikes.turning import apply_mode, turn_flow
from spike_zoo.tasks.batch import ReconstructionBatch
from spike_zoo.testing import pattern_take, tiny_archive

PLANES, STRIDE = 121, 20  # images at 0, 20, ..., 120; windows of 61 planes lie inside for 40..80


def moving_take(seed: int, planes: int = PLANES) -> Take:
    """Return patterns with arbitrary motion; the motion of image n contains n."""
    take: Any = pattern_take(seed, planes, stride=STRIDE)
    generator = np.random.default_rng(seed)
    motion = generator.random((len(take.images), 2, *take.images.shape[1:])).astype(np.float16)
    motion += np.arange(len(motion), dtype=np.float16)[:, None, None, None]
    motion[0] = np.nan
    return replace(take, motion=motion)


@pytest.fixture(scope="module")
def moving_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("moving") / "moving.h5"
    jobs = {f"take{seed}": lambda seed=seed: moving_take(seed, 241) for seed in range(2)}
    splits = {split: list(jobs) for split in ("train", "val", "test")}
    return build_archive(path, jobs, splits=splits)  # 7 windows of 61..121 planes


@pytest.fixture(scope="module")
def archive_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_archive(tmp_path_factory.mktemp("scenes") / "tiny.h5", PLANES, stride=STRIDE)


def test_a_scene_contains_every_image_with_a_complete_window(archive_path: Path) -> None:
    scenes = SceneWindows(SpikeArchive(archive_path), "train", 61)
    assert len(scenes) == 4
    batch = unpacked(collate([scenes[2]]), torch.uint8)
    take: Any = pattern_take(2, PLANES, stride=STRIDE)
    assert batch["name"] == ["train-2"]
    assert batch["spikes"].dtype == torch.uint8
    np.testing.assert_array_equal(batch["spikes"][0], take.recording[10:111])  # 40 - 30, 80 + 31
    np.testing.assert_array_equal(batch["planes"], [[30, 50, 70]])
    np.testing.assert_allclose(batch["images"][0, :, 0], take.images[2:5] / 255, atol=1e-6)


PLACES = [  # of crops of 24 x 24 pixels
    (slice(top, top + 24), slice(left, left + 24))
    for top in range(40 - 24 + 1)
    for left in range(0, 48 - 24 + 1, 8)
]


@functools.cache
def crops(path: Path) -> SceneWindows:
    return SceneWindows(SpikeArchive(path), "train", 61, crop=24, augment=True)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**62 - 1))
def test_all_planes_and_images_of_a_scene_have_the_same_crop_and_augmentation(
    archive_path: Path, seed: int
) -> None:
    sample, scene = crops(archive_path)[SampleKey(1, seed)], crops(archive_path)[1]
    batch, whole = (unpacked(collate([one]), torch.uint8) for one in (sample, scene))
    mode, images = sample["mode"], whole["images"][0]
    (place,) = (
        place
        for place in PLACES
        if torch.equal(batch["images"][0], apply_mode(images[..., *place], mode))
    )
    assert torch.equal(batch["spikes"][0], apply_mode(whole["spikes"][0, :, *place], mode))


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


def test_the_named_splits_serve_complete_scenes(archive_path: Path) -> None:
    data = SceneDataModule(
        str(archive_path), 61, crop=24, seed=0, full_sequence_splits=("train", "val", "test")
    )
    for stage, loader in (("validate", data.val_dataloader), ("test", data.test_dataloader)):
        data.setup(stage)
        (packed,) = loader()
        batch = data.on_after_batch_transfer(packed, 0)
        # all planes around the images, without a crop
        assert batch["spikes"].shape == (1, 101, 40, 48)
        assert batch["images"].shape == (1, 3, 1, 40, 48)
    with pytest.raises(ConfigError, match="'tset' is not a split; expected one of train"):
        SceneDataModule(str(archive_path), full_sequence_splits=("tset",))
    with pytest.raises(ConfigError, match=r"flow_offset: .* use ReconstructionDataModule"):
        SceneDataModule(str(archive_path), flow_offset=20)
    with pytest.raises(ConfigError, match="colour: scenes are grey"):
        SceneDataModule(str(archive_path), colour=True)


def test_training_draws_every_run_of_neighbouring_images(moving_path: Path) -> None:
    data = SceneDataModule(
        str(moving_path), 61, crop=None, augment=False, seed=1, images_per_sample=4
    )
    data.setup("fit")
    whole = SceneWindows(SpikeArchive(moving_path), "train", 61)
    planes = [window.plane for window in whole.scenes[0]]
    runs = []
    for packed in data.train_dataloader():
        batch = data.on_after_batch_transfer(packed, 0)
        for number, name in enumerate(batch["name"]):
            assert batch["planes"][number].tolist() == [30, 50, 70, 90]
            image = batch["images"][number, 0, 0]
            take: Any = moving_take(int(name[-1]), 241)
            (first,) = (
                index
                for index, truth in enumerate(take.images / np.float32(255))
                if np.allclose(truth, image, atol=1e-6)
            )
            runs.append((name, first))
    first_images = [window.image for window in whole.scenes[0]][: len(planes) - 3]
    expected = [(name, first) for name in ("take0", "take1") for first in first_images]
    assert sorted(runs) == expected
    assert runs != expected  # in random order


@pytest.mark.parametrize(
    ("images", "starts", "used"),
    [(None, [0], 9), (1, [0, 1, 2, 3, 4, 5, 6, 7, 8], 9), (2, [0, 1, 2, 3, 4, 5, 6, 7], 9),
     (3, [0, 2, 4, 6], 9), (4, [0, 3], 7), (5, [0, 4], 9), (9, [0], 9), (12, [0], 9)],
)  # fmt: skip
def test_evaluation_contains_each_pair_of_neighbouring_images_once(
    moving_path: Path, images: int | None, starts: list[int], used: int
) -> None:
    runs = SceneWindows(SpikeArchive(moving_path), "test", 61, images=images)
    firsts = [run[0].image - runs.windows[0].image for run in runs.scenes]
    assert firsts == starts * 2
    assert {len(run) for run in runs.scenes} == {min(images or 9, 9)}
    assert runs.used == 2 * used
    links = [
        (run[0].name, run[0].image + link) for run in runs.scenes for link in range(len(run) - 1)
    ]
    assert len(links) == len(set(links))


@pytest.mark.parametrize(("eval_images_per_sample", "used"), [(None, 2), (3, 3), (0, 9)])
def test_evaluation_samples_can_be_longer_than_training_samples(
    moving_path: Path, eval_images_per_sample: int | None, used: int
) -> None:
    every = ("train", "val", "test")
    lengths: Any = {"images_per_sample": 2, "eval_images_per_sample": eval_images_per_sample}
    data = SceneDataModule(str(moving_path), 61, full_sequence_splits=every, crop=24, **lengths)
    data.setup("fit")
    data.setup("test")
    assert next(iter(data.train_dataloader()))["images"].shape[1] == 2
    assert next(iter(data.val_dataloader()))["images"].shape[1] == used
    assert next(iter(data.test_dataloader()))["images"].shape[1] == used


def test_images_outside_every_sample_are_reported(moving_path: Path) -> None:
    data = SceneDataModule(
        str(moving_path), 61, full_sequence_splits=("test",), images_per_sample=4
    )
    with pytest.warns(UserWarning, match=r"4 at the ends of recordings, too few for a sample"):
        data.setup("test")


def test_motion_is_served_with_its_images(moving_path: Path) -> None:
    runs = SceneWindows(SpikeArchive(moving_path), "test", 61, images=3)
    batch = unpacked(collate([runs[1]]), torch.uint8)
    take: Any = moving_take(0, 241)
    first = runs.scenes[1][0].image
    assert batch["flow"].dtype == torch.float32
    np.testing.assert_array_equal(batch["flow"][0], take.motion[first : first + 3])


def test_motion_has_the_crop_and_augmentation_of_its_images(moving_path: Path) -> None:
    scenes = SceneWindows(
        SpikeArchive(moving_path), "train", 61, images=2, is_training=True, crop=24, augment=True
    )
    whole = unpacked(collate([scenes[3]]), torch.uint8)
    modes = set()
    for seed in range(12):
        sample = scenes[SampleKey(3, seed)]
        batch = unpacked(collate([sample]), torch.uint8)
        mode = sample["mode"]
        inverse = [0, 1, 2, 5, 4, 3, 6, 7][mode]  # 3 and 5 undo each other
        image = apply_mode(batch["images"][0, 0, 0], inverse)
        motion = turn_flow(batch["flow"][0], inverse)
        (place,) = (p for p in PLACES if torch.equal(whole["images"][0, 0, 0][p], image))
        torch.testing.assert_close(motion, whole["flow"][0][..., place[0], place[1]])
        modes.add(mode)
    assert len(modes) > 4


@pytest.mark.parametrize("options", [{"stride": 2}, {}])
def test_motion_that_is_not_between_neighbouring_images_is_not_served(
    moving_path: Path, archive_path: Path, options: dict[str, Any]
) -> None:
    path = moving_path if options else archive_path  # archive_path has no motion
    assert "flow" not in SceneWindows(SpikeArchive(path), "test", 61, **options)[0]


def test_motion_is_not_served_if_some_recordings_have_none(tmp_path: Path) -> None:
    jobs = {"a": lambda: moving_take(0), "b": lambda: replace(moving_take(1), motion=None)}
    path = build_archive(tmp_path / "a.h5", jobs, splits={"train": ["a", "b"], "val": ["a"]})
    archive = SpikeArchive(path)
    assert "flow" not in SceneWindows(archive, "train", 61)[0]
    assert "flow" in SceneWindows(archive, "val", 61)[0]


def test_impossible_sample_lengths_are_rejected(moving_path: Path) -> None:
    with pytest.raises(ConfigError, match="images_per_sample: at least 1, got 0"):
        SceneDataModule(str(moving_path), images_per_sample=0)
    with pytest.raises(ConfigError, match="eval_images_per_sample: at least 0, got -1"):
        SceneDataModule(str(moving_path), eval_images_per_sample=-1)
    data = SceneDataModule(str(moving_path), 61, images_per_sample=10, crop=24)
    message = r"images_per_sample: 10 .*'take0'.* has only 9 whose clips"
    with pytest.raises(ConfigError, match=message):
        data.setup("fit")
