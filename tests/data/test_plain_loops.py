"""Data modules in loops without a Trainer."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import torch
from lightning import Trainer

from spike_zoo.data import ReconstructionDataModule
from spike_zoo.methods.stir import STIRModule
from spike_zoo.testing import tiny_archive

if TYPE_CHECKING:
    from pathlib import Path


def data_of(path: Path, **options: Any) -> ReconstructionDataModule:
    options = {"batch_size": 2, "crop": 16, "seed": 5, "samples_per_epoch": 8} | options
    return ReconstructionDataModule(str(path), 61, **options)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_archive(tmp_path_factory.mktemp("plain") / "a.h5")


def drawn(loader: Any) -> list[torch.Tensor]:
    return [batch["spikes"] for batch in loader]


def same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    return all(map(torch.equal, ours, theirs))


def test_a_loader_needs_no_setup_and_gives_planes_and_pictures(archive: Path) -> None:
    data = data_of(archive)
    batch = next(iter(data.train_dataloader()))
    assert batch["spikes"].shape == (2, 61, 16, 16)
    assert set(batch["spikes"].unique().tolist()) == {0.0, 1.0}
    assert batch["image"].shape == (2, 1, 16, 16)
    assert 0 <= batch["image"].min() < batch["image"].max() <= 1
    for loader in (data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        assert next(iter(loader))["spikes"].dtype == torch.float32


@pytest.mark.parametrize("workers", [0, 1])
def test_each_pass_is_another_epoch_that_repeats_by_seed(archive: Path, workers: int) -> None:
    data = data_of(archive, workers=workers)
    loader = data.train_dataloader()
    epochs = [drawn(loader), drawn(loader), drawn(data.train_dataloader())]
    assert not any(same(*two) for two in pairwise(epochs))
    again = data_of(archive).train_dataloader()
    assert all(same(epoch, drawn(again)) for epoch in epochs)
    again.sampler.set_epoch(1)
    assert same(drawn(again), epochs[1])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loop_goes_on_in_the_epoch_and_batch_where_it_was(archive: Path, workers: int) -> None:
    loader = data_of(archive, workers=workers).train_dataloader()
    drawn(loader)
    second, state = [], {}
    for batch in loader:
        second.append(batch["spikes"])
        if len(second) == 3:
            state = loader.state_dict()
    resumed = data_of(archive, workers=workers).train_dataloader()
    resumed.load_state_dict(state)
    assert same(drawn(resumed), second[3:])
    assert same(drawn(resumed), drawn(loader)), "the third epoch follows"


class Noted(ReconstructionDataModule):
    """Records batches before they are unpacked."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        self.seen = {**getattr(self, "seen", {}), **batch}
        return batch if batch["mode"].is_meta else super().on_after_batch_transfer(batch, 0)


def test_bits_are_unpacked_on_the_device_that_is_asked_for(archive: Path) -> None:
    data = Noted(str(archive), 61).to("meta")
    next(iter(data.val_dataloader()))
    assert data.seen["packed"].is_meta


def test_a_trainer_finds_packed_batches_and_a_loop_after_it_planes(archive: Path) -> None:
    data = Noted(str(archive), 61, batch_size=2, crop=16, seed=5, samples_per_epoch=8)
    module = STIRModule(pyramid_levels=3, motion_fields=2, width=0.34, lpips="off")
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator="cpu", max_epochs=1, enable_model_summary=False, **quiet)  # type: ignore[arg-type]
    trainer.fit(module, data)
    assert "packed" in data.seen
    assert "spikes" not in data.seen
    trainers = drawn(data.train_dataloader())  # the epoch after the trainer's
    loop = data_of(archive).train_dataloader()
    drawn(loop)
    assert same(trainers, drawn(loop))


def test_a_stage_that_is_none_is_answered_with_those_there_are(archive: Path) -> None:
    with pytest.raises(ValueError, match="stage: one of fit, validate, test, predict, got 'train'"):
        data_of(archive).setup("train")
