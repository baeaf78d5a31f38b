"""Data module of labelled clips: samples, labels and left-out recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from spike_zoo import SpikeArchive
from spike_zoo.data import ClassificationDataModule
from spike_zoo.data.classification import LabelledClips
from spike_zoo.data.sampling import SampleKey
from spike_zoo.errors import ConfigError
from spike_zoo.spikes import SpikeRecording, Take
from spike_zoo.testing import labelled_archive, labelled_take
from tests.helpers.archives import write_takes

if TYPE_CHECKING:
    from pathlib import Path

    from spike_zoo.tasks.batch import LabelledBatch

PLANES = 45


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_archive(tmp_path_factory.mktemp("labelled") / "stripes.h5", PLANES)


def _take(planes: int = 9, height: int = 6, width: int = 10, label: int | None = 1) -> Take:
    spikes = np.random.default_rng(planes).random((planes, height, width)) < 0.3
    return Take(SpikeRecording.from_planes(spikes, rate_scale=0.6), label=label)


def _batches(data: ClassificationDataModule, loader: Any) -> list[LabelledBatch]:
    return [data.on_after_batch_transfer(packed, 0) for packed in loader]


@pytest.mark.parametrize(
    ("planes", "length", "first"), [(9, 9, 0), (9, 5, 2), (10, 5, 3), (10, 4, 3), (8, 7, 1)]
)
def test_a_clip_is_the_middle_of_its_recording(
    planes: int, length: int, first: int, tmp_path: Path
) -> None:
    take = _take(planes)
    archive = SpikeArchive(write_takes(tmp_path / "a.h5", {"a": take}, "train"))
    clips = LabelledClips(archive, "train", length)
    sample, expected = clips[0], take.recording.read_packed(first, first + length)
    np.testing.assert_array_equal(sample["packed"], expected)
    assert sample["plane"] == planes // 2
    assert clips[SampleKey(0, 7)].keys() == sample.keys(), "training uses the same clip"
    np.testing.assert_array_equal(clips[SampleKey(0, 7)]["packed"], sample["packed"])


def test_every_labelled_recording_is_served_once_with_its_own_label(labelled: Path) -> None:
    data = ClassificationDataModule(str(labelled), 41, batch_size=2, eval_batch_size=2, seed=0)
    data.setup("fit")
    data.setup("test")
    batches = _batches(data, data.train_dataloader())
    samples = {
        name: (int(label), spikes)
        for batch in batches
        for name, label, spikes in zip(batch["name"], batch["label"], batch["spikes"], strict=True)
    }
    assert sorted(samples) == [f"train-{number}" for number in range(4)]
    for number in range(4):
        label, spikes = samples[f"train-{number}"]
        assert label == number % 2
        expected = labelled_take(number, PLANES).recording[2:43]
        np.testing.assert_array_equal(spikes, expected)
    (batch,) = _batches(data, data.test_dataloader())
    assert batch["spikes"].dtype == torch.float32
    assert batch["label"].dtype == torch.int64
    assert batch["rate_scale"].tolist() == pytest.approx([0.6, 0.6])
    assert batch.keys() == {"spikes", "label", "rate_scale", "plane", "name"}


def test_data_list_their_classes_and_the_first_recording_of_each(labelled: Path) -> None:
    data = ClassificationDataModule(str(labelled), 41)
    data.setup("validate")
    assert data.labels() == {0: "val-0", 1: "val-1"}
    assert data.label_names == ()


def test_recordings_without_a_label_or_too_short_are_counted_and_named(tmp_path: Path) -> None:
    takes = {"a": _take(), "b": _take(label=None), "c": _take(8), "d": _take(label=None)}
    write_takes(tmp_path / "a.h5", takes, "test")
    data = ClassificationDataModule(str(tmp_path / "a.h5"), 9)
    message = (
        r"a\.h5: of split 'test', 2 without a label \(the first is 'b'\) and 1 with fewer planes "
        r"than clip_length 9 \(the first is 'c'\) are left out"
    )
    with pytest.warns(UserWarning, match=message):
        data.setup("test")
    assert [name for batch in data.test_dataloader() for name in batch["name"]] == ["a"]


def test_a_split_without_usable_recordings_is_rejected_with_the_reason(tmp_path: Path) -> None:
    write_takes(tmp_path / "a.h5", {"b": _take(label=None)}, "val")
    data = ClassificationDataModule(str(tmp_path / "a.h5"), 9)
    with pytest.raises(ConfigError, match=r"'val', 1 without a label .* nothing is left\. Give"):
        data.setup("validate")


def test_recordings_of_two_sizes_in_one_batch_are_rejected(tmp_path: Path) -> None:
    takes = {"small": _take(), "wide": _take(width=16)}
    write_takes(tmp_path / "a.h5", takes, "test")
    message = "'small' is 6x10 and 'wide' is 6x16, .* set data.init_args.eval_batch_size to 1"
    with pytest.raises(ConfigError, match=message):
        ClassificationDataModule(str(tmp_path / "a.h5"), 9, eval_batch_size=2).setup("test")
    alone = ClassificationDataModule(str(tmp_path / "a.h5"), 9, eval_batch_size=1)
    alone.setup("test")
    batches = _batches(alone, alone.test_dataloader())
    assert [batch["spikes"].shape[-1] for batch in batches] == [10, 16]


def test_augmentation_that_could_change_a_class_is_rejected_with_the_reason() -> None:
    with pytest.raises(ConfigError, match=r"a 6 that is turned is a 9.*augment false"):
        ClassificationDataModule(augment=True)
    with pytest.raises(ConfigError, match="clip_length: at least 1, got 0"):
        ClassificationDataModule(clip_length=0)


def test_inputs_replace_the_spikes_of_training_and_are_added_to_those_of_a_test(
    tmp_path: Path,
) -> None:
    archive = labelled_archive(tmp_path / "x.h5", 21, classes=4)
    data = ClassificationDataModule(str(archive), 21, batch_size=2, seed=0)
    for split in ("train", "test"):
        names = [clip.name for clip in data.clips(split).clips]
        data.serve_inputs(split, np.arange(len(names), dtype=np.uint8)[:, None])
    train = [clip.name for clip in data.clips("train").clips]
    for batch in data.train_dataloader():
        assert "spikes" not in batch
        assert [train[row] for row in batch["inputs"][:, 0].tolist()] == batch["name"]
    rows = [1, 0]
    some = data.batch_of("test", rows)
    assert some["inputs"][:, 0].tolist() == rows
    assert some["spikes"].shape[:2] == (2, 21)
    assert some["name"] == [data.clips("test").clips[row].name for row in rows]
