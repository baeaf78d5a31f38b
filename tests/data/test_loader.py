"""Loaders whose workers are started by spawn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from spike_zoo.data import ReconstructionDataModule
from spike_zoo.testing import tiny_archive


@pytest.mark.slow
def test_spawned_workers_give_the_same_batches_as_no_workers(tmp_path: Path) -> None:
    archive = str(tiny_archive(tmp_path / "a.h5"))
    epochs = []
    for workers in (0, 1):
        data = ReconstructionDataModule(archive, 61, batch_size=2, crop=16, seed=5, workers=workers)
        data.setup("fit")
        loader = data.train_dataloader()
        loader.multiprocessing_context = "spawn" if workers else None
        epochs.append([batch["spikes"] for batch in loader])
    assert len(epochs[0]) == 2
    torch.testing.assert_close(epochs[1], epochs[0], rtol=0, atol=0)
