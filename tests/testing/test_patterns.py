"""Drifting patterns: a camera sees the light that they are made of, and so does the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spike_zoo import SpikeArchive
from spike_zoo.testing import (
    clip_batch,
    labelled_archive,
    labelled_batch,
    labelled_take,
    pattern_take,
)
from spike_zoo.testing.patterns import drifting_pattern

HEIGHT, WIDTH = 9, 14


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31))
def test_a_pattern_drifts_in_the_unit_range_and_repeats_by_seed(seed: int) -> None:
    pattern = drifting_pattern(12, HEIGHT, WIDTH, seed)
    assert pattern.shape == (12, HEIGHT, WIDTH)
    assert pattern.min() >= 0
    assert pattern.max() <= 1
    steps = np.abs(np.diff(pattern, axis=0))
    assert 0 < steps.max() <= 0.15 + 1e-5, "three waves of a sixth, each by up to 0.3 of a radian"
    np.testing.assert_array_equal(drifting_pattern(12, HEIGHT, WIDTH, seed), pattern)


def test_the_camera_has_fired_for_all_the_light_of_the_pattern_but_one_charge() -> None:
    take = pattern_take(3, 61, HEIGHT, WIDTH)
    light = drifting_pattern(61, HEIGHT, WIDTH, 3).sum(axis=0)
    scale = take.recording.rate_scale
    assert scale is not None
    fired = take.recording[0:61].sum(axis=0)
    assert np.abs(fired - scale * light).max() <= 1, "what is left is less than a threshold"


@pytest.mark.parametrize(
    ("planes", "stride", "index"),
    [(81, 0, [40]), (81, 30, [10, 40, 70]), (82, 20, [1, 21, 41, 61, 81])],
)
def test_truth_is_the_pattern_at_the_middle_plane_and_every_stride_from_it(
    planes: int, stride: int, index: list[int]
) -> None:
    take = pattern_take(5, planes, HEIGHT, WIDTH, stride)
    assert take.images is not None
    assert take.image_index is not None
    assert take.image_index.tolist() == index
    pattern = drifting_pattern(planes, HEIGHT, WIDTH, 5)
    np.testing.assert_allclose(take.images / 255, pattern[index], atol=0.5 / 255 + 1e-6)


def test_an_archive_has_four_takes_to_train_on_and_no_take_twice(clips_archive: Path) -> None:
    with SpikeArchive(clips_archive) as archive:
        names = {split: archive.names(split) for split in archive.splits()}
        assert {split: len(listed) for split, listed in names.items()} == {
            "train": 4,
            "val": 1,
            "test": 1,
        }
        planes = [archive[name][0:161].tobytes() for name in archive.names()]
    assert len(set(planes)) == 6


def test_a_batch_is_what_modules_get() -> None:
    batch = clip_batch(21, HEIGHT, WIDTH)
    for seed in (0, 1):
        take = pattern_take(seed, 21, HEIGHT, WIDTH)
        assert take.images is not None
        np.testing.assert_array_equal(batch["spikes"][seed].numpy(), take.recording[0:21])
        np.testing.assert_allclose(batch["image"][seed, 0], take.images[0] / 255, atol=1e-6)
    assert batch["plane"].tolist() == [10, 10]
    assert batch["name"] == ["zero", "one"]


@pytest.mark.parametrize(("seed", "along"), [(0, 0), (1, 1), (2, 0), (3, 1)])
def test_the_direction_of_stripes_is_their_class(seed: int, along: int) -> None:
    take = labelled_take(seed, 41, HEIGHT, WIDTH)
    assert take.label == seed % 2
    windows = take.recording[0:40].reshape(8, 5, HEIGHT, WIDTH).mean(axis=1)
    # stripes of class 0 stand upright: columns differ and rows do not; class 1 the other way round
    columns, rows = (windows.mean(axis=axis).std(axis=1).mean() for axis in (1, 2))
    assert (columns, rows)[along] > 2 * (columns, rows)[1 - along]


def test_an_archive_of_stripes_has_both_classes_in_every_split(tmp_path: Path) -> None:
    with SpikeArchive(labelled_archive(tmp_path / "stripes.h5", 9, HEIGHT, WIDTH)) as archive:
        labels = {
            split: [archive.label(name) for name in archive.names(split)]
            for split in archive.splits()
        }
        planes = [archive[name][0:9].tobytes() for name in archive.names()]
    assert labels == {"train": [0, 1, 0, 1], "val": [0, 1], "test": [0, 1]}
    assert len(set(planes)) == 8


def test_a_labelled_batch_is_what_modules_get() -> None:
    batch = labelled_batch(21, HEIGHT, WIDTH, classes=3)
    for seed in (0, 1):
        take = labelled_take(seed, 21, HEIGHT, WIDTH, classes=3)
        np.testing.assert_array_equal(batch["spikes"][seed].numpy(), take.recording[0:21])
    assert batch["label"].tolist() == [0, 1]
    assert batch["rate_scale"].tolist() == pytest.approx([0.6, 0.6])
