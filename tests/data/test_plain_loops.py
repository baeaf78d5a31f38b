"""Data modules in loops without a Trainer."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer

from spike_zoo.data import ReconstructionDataModule
from spike_zoo.methods.stir import STIRModule


def data_of(path: Path, **options: Any) -> ReconstructionDataModule:
    options = {"batch_size": 2, "crop": 16, "seed": 5, "samples_per_epoch": 8} | options
    return ReconstructionDataModule(str(path), 61, **options)


def read_epoch(loader: Any) -> list[torch.Tensor]:
    return [batch["spikes"] for batch in loader]


def are_equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return len(first) == len(second) and all(map(torch.equal, first, second))


def test_a_loader_needs_no_setup_and_gives_planes_and_images(archive_path: Path) -> None:
    data = data_of(archive_path)
    batch = next(iter(data.train_dataloader()))
    assert batch["spikes"].shape == (2, 61, 16, 16)
    assert set(batch["spikes"].unique().tolist()) == {0.0, 1.0}
    assert batch["image"].shape == (2, 1, 16, 16)
    assert 0 <= batch["image"].min() < batch["image"].max() <= 1
    for loader in (data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        assert next(iter(loader))["spikes"].dtype == torch.float32


@pytest.mark.parametrize("workers", [0, 1])
def test_each_pass_is_another_epoch_that_repeats_by_seed(archive_path: Path, workers: int) -> None:
    data = data_of(archive_path, workers=workers)
    loader = data.train_dataloader()
    epochs = [read_epoch(loader), read_epoch(loader), read_epoch(data.train_dataloader())]
    assert not any(are_equal(*two) for two in pairwise(epochs))
    new_loader = data_of(archive_path).train_dataloader()
    assert all(are_equal(epoch, read_epoch(new_loader)) for epoch in epochs)
    new_loader.sampler.set_epoch(1)
    assert are_equal(read_epoch(new_loader), epochs[1])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loop_resumes_at_the_same_epoch_and_batch(archive_path: Path, workers: int) -> None:
    loader = data_of(archive_path, workers=workers).train_dataloader()
    read_epoch(loader)
    second, state = [], {}
    for batch in loader:
        second.append(batch["spikes"])
        if len(second) == 3:
            state = loader.state_dict()
    resumed = data_of(archive_path, workers=workers).train_dataloader()
    resumed.load_state_dict(state)
    assert are_equal(read_epoch(resumed), second[3:])
    assert are_equal(read_epoch(resumed), read_epoch(loader)), "the third epoch follows"


class RecordingDataModule(ReconstructionDataModule):
    """Records batches before they are unpacked."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        self.batch = {**getattr(self, "batch", {}), **batch}
        return batch if batch["mode"].is_meta else super().on_after_batch_transfer(batch, 0)


def test_bits_are_unpacked_on_the_requested_device(archive_path: Path) -> None:
    data = RecordingDataModule(str(archive_path), 61).to("meta")
    next(iter(data.val_dataloader()))
    assert data.batch["packed"].is_meta


def test_a_trainer_gets_packed_batches_and_a_later_loop_gets_planes(archive_path: Path) -> None:
    data = RecordingDataModule(
        str(archive_path), 61, batch_size=np.int32(2), crop=16, seed=5, samples_per_epoch=8
    )
    module = STIRModule(pyramid_levels=3, width=0.34, lpips="off")
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator="cpu", max_epochs=1, enable_model_summary=False, **quiet)  # type: ignore[arg-type]
    trainer.fit(module, data)
    assert "packed" in data.batch
    assert "spikes" not in data.batch
    loader = data_of(archive_path).predict_dataloader()
    assert trainer.predict(module, loader, weights_only=True), "loader outside a data module"
    third_epoch = read_epoch(data.train_dataloader())  # the epoch after the trainer's
    loop = data_of(archive_path).train_dataloader()
    read_epoch(loop)
    assert are_equal(third_epoch, read_epoch(loop))


def test_an_unknown_stage_is_rejected_with_the_known_ones(archive_path: Path) -> None:
    with pytest.raises(ValueError, match="stage: one of fit, validate, test, predict, got 'train'"):
        data_of(archive_path).setup("train")
