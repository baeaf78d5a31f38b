"""What one reconstruction costs: multiply-accumulates and seconds, measured while testing."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from lightning import LightningModule, Trainer

    from spike_zoo.batch import ReconstructionBatch


def count_macs(module: LightningModule, batch: ReconstructionBatch) -> int:
    """Return the multiply-accumulates of one forward, per image: convolutions and products."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module.predict_step(batch, 0)
    return counter.get_total_flops() // 2 // len(batch["spikes"])


class CostMeter(Callback):
    """Measure seconds and multiply-accumulates of reconstructions during a test.

    Attributes:
        macs: Multiply-accumulates of the first image.
        image_size: Its height and width.
        seconds_per_image: Median, the first batch left out where there are more.
    """

    def __init__(self) -> None:
        self.macs: int | None = None
        self.image_size: tuple[int, int] | None = None
        self._seconds: list[float] = []

    @property
    def seconds_per_image(self) -> float | None:
        """Median seconds of one image; None before a test."""
        measured = self._seconds[1:] or self._seconds
        return statistics.median(measured) if measured else None

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (Lightning's signature)
        batch: ReconstructionBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Reconstruct the batch once more, with nothing but the forward inside the clock."""
        if batch_idx == 0:
            self._seconds.clear()
            height, width = batch["spikes"].shape[-2:]
            self.image_size = (height, width)
            self.macs = count_macs(pl_module, batch)
        _synchronise(pl_module.device)
        begin = time.perf_counter()
        with torch.inference_mode():
            pl_module.predict_step(batch, batch_idx)
        _synchronise(pl_module.device)
        self._seconds.append((time.perf_counter() - begin) / len(batch["spikes"]))


def _synchronise(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
