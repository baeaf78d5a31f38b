"""Base class of data modules: order, seeds, splits and rate scales."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning import LightningModule, Trainer

from spike_zoo.archive import ArchiveWriter
from spike_zoo.data import ReconstructionDataModule, SceneDataModule
from spike_zoo.data.base import Samples
from spike_zoo.data.batches import unpacked
from spike_zoo.errors import (
    ConfigError,
    MissingFileError,
    MissingItemError,
    RecordingError,
    VersionError,
)
from spike_zoo.spikes import Take
from spike_zoo.tasks.batch import Split
from spike_zoo.testing import pattern_take
from tests.helpers.splits import archive_of, setup_warnings


@pytest.mark.parametrize(("before", "after"), [(0, 0), (2, 2), (0, 2), (2, 0), (1, 2)])
def test_a_loader_continues_at_the_same_batch_with_any_number_of_workers(
    archive_path: Path, before: int, after: int
) -> None:
    def loader_of(workers: int) -> Any:
        options: dict[str, Any] = {"workers": workers, "samples_per_epoch": 40, "seed": 5}
        data = ReconstructionDataModule(str(archive_path), 61, batch_size=2, crop=32, **options)
        return data.train_dataloader()

    batches, state = [], None
    loader = loader_of(before)
    for batch in loader:
        batches.append(batch)
        if len(batches) == 18:
            state = loader.state_dict()
    assert state == {"epoch": 0, "batches": 18}
    assert loader.state_dict() == {"epoch": 1, "batches": 0}
    resumed = loader_of(after)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state, "no batch was loaded yet"
    remaining = list(resumed)
    assert len(remaining) == len(batches) - 18
    for batch, expected in zip(remaining, batches[18:], strict=True):
        torch.testing.assert_close(batch["spikes"], expected["spikes"], rtol=0, atol=0)


def test_a_position_that_an_older_version_wrote_is_rejected(archive_path: Path) -> None:
    loader = ReconstructionDataModule(str(archive_path), 61, crop=32).train_dataloader()
    with pytest.raises(VersionError, match=r"older version.*--init_from"):
        loader.load_state_dict({"_num_yielded": 3, "epoch": 0})


class _SamplesWithProcess:
    """Samples with the number of the process that loads them."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: Any) -> dict[str, Any]:
        return {**self.samples[key], "process": os.getpid()}


class _ProcessDataModule(ReconstructionDataModule):
    def make_samples(self, split: Split) -> Any:
        return _SamplesWithProcess(super().make_samples(split))


def test_workers_stay_alive_between_epochs(archive_path: Path) -> None:
    data = _ProcessDataModule(str(archive_path), 61, batch_size=1, crop=32, workers=2)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        epochs = [{int(batch["process"]) for batch in loader} for _ in range(3)]
        assert os.getpid() not in epochs[0]
        assert epochs[1] == epochs[2] == epochs[0]


class _CollectsNames(LightningModule):
    """Records the names of the recordings of an evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.names += batch["name"]

    test_step = validation_step


@pytest.mark.parametrize("verb", ["validate", "test"])
@pytest.mark.parametrize(
    ("limit", "expected_names"), [(3, {"take0", "take1", "take2"}), (1, {"take0"})]
)
def test_limited_evaluations_are_spread_over_all_scenes(
    tmp_path: Path, verb: str, limit: int, expected_names: set[str]
) -> None:
    takes = [pattern_take(number, stride=20) for number in range(3)]
    data = ReconstructionDataModule(str(archive_of(tmp_path / "a.h5", *takes)), 13, crop=None)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    limits = {"limit_val_batches": limit, "limit_test_batches": limit}
    trainer = Trainer(accelerator="cpu", enable_model_summary=False, **limits, **quiet)  # type: ignore[arg-type]
    module = _CollectsNames()
    getattr(trainer, verb)(module, data, verbose=False)
    assert len(module.names) == limit
    assert set(module.names) == expected_names


def test_a_fit_without_validation_needs_no_validation_split(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a.h5") as writer:
        writer.add("take0", pattern_take(0, stride=20), split="train")
    data = ReconstructionDataModule(str(tmp_path / "a.h5"), 13, crop=None)
    with pytest.raises(MissingItemError, match="no split 'val'"):
        data.setup("fit")
    data.trainer = Trainer(limit_val_batches=0, logger=False, enable_checkpointing=False)
    data.setup("fit")


def test_kept_batches_of_workers_are_not_overwritten(archive_path: Path) -> None:
    batches: dict[int, list[dict[str, Any]]] = {}
    for workers in (0, 2):  # far more batches than workers have memory for
        data = ReconstructionDataModule(
            str(archive_path), 61, batch_size=1, crop=32, seed=5, workers=workers
        )
        data.samples_per_epoch = 60
        data.setup("fit")
        loader = data.train_dataloader()
        loader.finish = None  # the batches are not copied
        batches[workers] = list(loader)
    for batch, expected in zip(batches[2], batches[0], strict=True):
        torch.testing.assert_close(batch["packed"], expected["packed"], rtol=0, atol=0)
        torch.testing.assert_close(batch["image"], expected["image"], rtol=0, atol=0)
        assert batch["name"] == expected["name"]
        assert batch["packed"].is_contiguous()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_archive_replaced_between_two_epochs_ends_the_loop(tmp_path: Path, workers: int) -> None:
    path = archive_of(tmp_path / "a.h5", pattern_take(0), pattern_take(1))
    data = ReconstructionDataModule(str(path), crop=None, batch_size=2, seed=0, workers=workers)
    loaders = data.train_dataloader(), data.val_dataloader()
    assert [len(list(loader)) for loader in loaders] == [1, 2]
    path.unlink()
    archive_of(path, pattern_take(2), pattern_take(3))
    for loader in loaders:
        with pytest.raises(RecordingError, match=r"a\.h5: the file was replaced or modified while"):
            list(loader)


def test_a_split_without_samples_is_rejected_by_name(archive_path: Path) -> None:
    data = ReconstructionDataModule(str(archive_path), 83, crop=32)
    with pytest.raises(ConfigError, match=r"tiny\.h5: split 'train' has no sample"):
        data.setup("fit")


def test_another_split_can_be_tested_on(archive_path: Path) -> None:
    data = ReconstructionDataModule(str(archive_path), 61, crop=32, test_split="val")
    data.setup("test")
    [batch] = data.test_dataloader()
    assert batch["name"] == ["val-0"]


def test_a_missing_archive_names_the_command_that_makes_it(tmp_path: Path) -> None:
    data = ReconstructionDataModule(str(tmp_path / "none.h5"))
    message = r"none\.h5: .*python -m spike_zoo simulate --out.*experiments/\*/needs\*\.yaml"
    with pytest.raises(MissingFileError, match=message):  # the file has options of other archives
        data.setup("fit")


def without_scale(take: Take) -> Take:
    take.recording.rate_scale = None
    return take


def test_unknown_rate_scales_are_reported_once_with_the_option_to_set(tmp_path: Path) -> None:
    takes = pattern_take(0), without_scale(pattern_take(1)), without_scale(pattern_take(2))
    path = str(archive_of(tmp_path / "a.h5", *takes))
    data = ReconstructionDataModule(path, 61, crop=None)
    [message] = setup_warnings(data, "fit", "test")
    stated = "do not state their rate scale (spikes per plane at white)"
    assert f"a.h5: 2 of 3 recordings {stated}" in message
    assert "data.init_args.rate_scale" in message
    scales = [float(batch["rate_scale"]) for batch in data.test_dataloader()]
    assert scales == pytest.approx([takes[0].recording.rate_scale, 1.0, 1.0])


def test_ignored_colour_filters_are_reported_once_at_every_stage(tmp_path: Path) -> None:
    with_filters = pattern_take(0)
    with_filters.recording.cfa = "RGGB"
    path = str(archive_of(tmp_path / "a.h5", with_filters, pattern_take(1), pattern_take(2)))
    for stage in ("fit", "validate", "test", "predict"):
        for module in (ReconstructionDataModule, SceneDataModule):
            messages = setup_warnings(module(path, 61, crop=None), stage)
            assert ["with colour filters" in message for message in messages] == [True]
        assert setup_warnings(ReconstructionDataModule(path, 61, colour=True), stage) == []


@pytest.mark.parametrize("module", [ReconstructionDataModule, SceneDataModule])
def test_the_rate_scale_option_is_used_for_recordings_without_one(
    tmp_path: Path, module: type[ReconstructionDataModule]
) -> None:
    takes = pattern_take(0), without_scale(pattern_take(1))
    path = str(archive_of(tmp_path / "a.h5", *takes))
    data = module(path, 61, crop=None, batch_size=1, rate_scale=0.25)
    assert setup_warnings(data, "fit", "test") == []
    own = takes[0].recording.rate_scale
    for loader in (data.train_dataloader(), data.test_dataloader()):
        rate_scales = {batch["name"][0]: float(batch["rate_scale"]) for batch in loader}
        assert rate_scales == pytest.approx({"take0": own, "take1": 0.25})


@pytest.mark.parametrize("scale", [0.0, -0.6, float("inf"), float("nan")])
def test_an_impossible_rate_scale_is_rejected(scale: float) -> None:
    with pytest.raises(ConfigError, match="rate_scale: must be finite and above 0"):
        ReconstructionDataModule(rate_scale=scale)


def test_a_crop_too_small_for_any_method_is_rejected() -> None:
    with pytest.raises(ConfigError, match="crop: at least 16, got 15"):
        ReconstructionDataModule(crop=15)


@given(width=st.integers(1, 20), data=st.data())
def test_planes_are_unpacked_and_other_values_are_unchanged(
    width: int, data: st.DataObject
) -> None:
    seed = data.draw(st.integers(0, 1000))
    planes = np.random.default_rng(seed).random((2, 3, 4, width)) < 0.5
    packed = np.packbits(planes, axis=-1, bitorder="little")
    batch = unpacked(
        {
            "packed": torch.from_numpy(packed),
            "width": torch.tensor([width] * 2),
            "mode": torch.zeros(2, dtype=torch.int64),
            "blur": torch.full((2, 3, 4, 4), 51, dtype=torch.uint8),
            "images": torch.full((2, 1, 3, 4, 4), 0.25),
            "plane": torch.tensor([7, 8]),
            "name": ["a", "b"],
        }
    )
    np.testing.assert_array_equal(batch["spikes"].numpy(), planes)
    assert batch.keys() == {"spikes", "blur", "images", "plane", "name"}
    assert batch["blur"].unique().tolist() == pytest.approx([0.2])
    assert batch["images"].unique().tolist() == [0.25]
    assert batch["plane"].tolist() == [7, 8]


@pytest.mark.parametrize(("workers", "colour"), [(0, False), (0, True), (2, False)])
def test_images_of_8_and_16_bits_and_of_colours_have_one_scale(
    tmp_path: Path, workers: int, colour: bool
) -> None:
    grey = np.full((1, 40, 48), 128, np.uint8)
    coloured = np.repeat(grey[..., None], 3, axis=3)
    kinds = (grey, 257 * grey.astype(np.uint16), coloured, grey)
    if colour:
        kinds = (coloured, 257 * coloured.astype(np.uint16), coloured, coloured)
    takes = [replace(pattern_take(0), images=images) for images in kinds]
    for take in takes:
        take.recording.cfa = "RGGB" if colour else None
    options: dict[str, Any] = {"batch_size": 4, "eval_batch_size": 4, "workers": workers}
    archive = str(archive_of(tmp_path / "a.h5", *takes))
    data = ReconstructionDataModule(archive, crop=None, seed=0, colour=colour, **options)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        [batch] = loader
        images = batch["image"]
        assert len(images) == 4
        torch.testing.assert_close(images, torch.full_like(images, 128 / 255))
