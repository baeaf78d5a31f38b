"""Workers of loaders: started by spawn, and signals to them."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from spike_zoo.data import ReconstructionDataModule


@pytest.mark.slow
def test_spawned_workers_give_the_same_batches_as_no_workers(archive_path: Path) -> None:
    epochs = []
    for workers in (0, 1):
        data = ReconstructionDataModule(
            str(archive_path), 61, batch_size=2, crop=16, seed=5, workers=workers
        )
        data.setup("fit")
        loader = data.train_dataloader()
        loader.multiprocessing_context = "spawn" if workers else None
        epochs.append([batch["spikes"] for batch in loader])
    assert len(epochs[0]) == 2
    torch.testing.assert_close(epochs[1], epochs[0], rtol=0, atol=0)


@pytest.mark.skipif(sys.platform == "darwin", reason="signals do not state their sender")
@pytest.mark.parametrize("split", ["train", "val"])
def test_workers_end_only_at_sigterm_of_their_parent(archive_path: Path, split: str) -> None:
    data = ReconstructionDataModule(str(archive_path), 61, batch_size=2, crop=16, workers=1)
    data.setup("fit")
    others = multiprocessing.active_children()
    batches = iter(getattr(data, f"{split}_dataloader")())
    next(batches)
    (worker,) = {*multiprocessing.active_children()} - {*others}
    for number in ("-INT", "-TERM"):
        subprocess.run(["kill", number, str(worker.pid)], check=True)
        worker.join(timeout=0.3)
        assert worker.is_alive()
    worker.terminate()
    worker.join(timeout=5)
    assert worker.exitcode == 0
