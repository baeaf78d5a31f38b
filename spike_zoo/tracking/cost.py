"""What one reconstruction costs: multiply-accumulates and seconds, measured while testing."""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightning import LightningModule, Trainer
    from torch import Tensor

    from spike_zoo.batch import DeblurBatch, ReconstructionBatch

TIMED = 5  # batches, after one that warms up


def count_macs(module: LightningModule, batch: ReconstructionBatch | DeblurBatch) -> int:
    """Return the multiply-accumulates of one forward, per image: convolutions and products."""
    return _counted(module, batch)[0]


class CostMeter(Callback):
    """Measure seconds and multiply-accumulates of reconstructions on a test's first batches.

    They are made once more, as prediction makes them and in the precision of the run: the first
    for its operations and to warm up, the next :data:`TIMED` for the clock.

    Attributes:
        macs: Multiply-accumulates of the first image.
        image_size: Its height and width, those of the image that comes out.
        seconds_per_image: Median, the first batch left out where there are more.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.macs: int | None = None
        self.image_size: tuple[int, int] | None = None
        self._seconds: list[float] = []

    @property
    def seconds_per_image(self) -> float | None:
        """Median seconds of one image; None before a test."""
        measured = self._seconds[1:] or self._seconds
        return statistics.median(measured) if measured else None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget an earlier test."""
        self._begin()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (Lightning's signature)
        batch: ReconstructionBatch | DeblurBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Reconstruct one of the first batches once more, with nothing else inside the clock."""
        if len(self._seconds) > TIMED:
            return
        with _as_predicted(trainer):
            if self.macs is None:
                self.macs, image = _counted(pl_module, batch)
                self.image_size = (image.shape[-2], image.shape[-1])
            _synchronise(pl_module.device)
            begin = time.perf_counter()
            pl_module.predict_step(batch, batch_idx)
            _synchronise(pl_module.device)
        self._seconds.append((time.perf_counter() - begin) / len(batch["spikes"]))


@contextmanager
def _as_predicted(trainer: Trainer) -> Iterator[None]:
    """Compute as Lightning's own prediction does: without gradients, in the run's precision."""
    with torch.inference_mode(), trainer.precision_plugin.predict_step_context():
        yield


def _counted(
    module: LightningModule, batch: ReconstructionBatch | DeblurBatch
) -> tuple[int, Tensor]:
    """Return the multiply-accumulates of one forward, per image, and the images."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        images = module.predict_step(batch, 0)
    return counter.get_total_flops() // 2 // len(batch["spikes"]), images


def _synchronise(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
