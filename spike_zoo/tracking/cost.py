"""What a method costs: multiply-accumulates and seconds of its jobs, measured while testing."""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.tracking.result import FORWARD, Cost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lightning import LightningModule, Trainer

    from spike_zoo.batch import DeblurBatch, ReconstructionBatch

    Batch = ReconstructionBatch | DeblurBatch
    Jobs = Mapping[str, Callable[[], object]]

TIMED = 5  # batches, after one that warms up


def count_macs(module: LightningModule, batch: Batch) -> int:
    """Return the multiply-accumulates of one forward, per image: convolutions and products."""
    return _counted(lambda: module.predict_step(batch, 0), batch)[0]


@dataclass
class _Measured:
    """What is known of one job so far."""

    macs: int
    size: tuple[int, int]
    seconds: list[float] = field(default_factory=list)

    @property
    def cost(self) -> Cost:
        """Its cost, the first time left out where there are more."""
        return Cost(self.macs, statistics.median(self.seconds[1:] or self.seconds), self.size)


class CostMeter(Callback):
    """Measure seconds and multiply-accumulates of a method's jobs on a test's first batches.

    They are done once more, as prediction does them and in the precision of the run: the first
    for its operations and to warm up, the next :data:`TIMED` for the clock. Every method has the
    job ``"forward"``, one reconstruction. A module that does other work as well says so by a
    method ``cost_jobs(batch)``, which returns a mapping from the name of each job to what does it
    once; what a job begins with is made before, outside the clock::

        def cost_jobs(self, batch):
            data = self.codec.compress(batch)
            return {
                "compress": lambda: self.codec.compress(batch),
                "decompress": lambda: self.codec.decompress(data),
            }
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._measured: dict[str, _Measured] = {}
        self._batches = 0

    @property
    def costs(self) -> dict[str, Cost]:
        """Name of each job -> its cost for one image; empty before a test."""
        return {name: job.cost for name, job in self._measured.items()}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget an earlier test."""
        self._begin()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (Lightning's signature)
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Do the jobs of one of the first batches once more, with nothing else inside the clock."""
        if self._batches > TIMED:
            return
        self._batches += 1
        with _as_predicted(trainer):
            for name, job in _jobs(pl_module, batch, batch_idx).items():
                if name not in self._measured:
                    self._measured[name] = _Measured(*_counted(job, batch))
                seconds = _seconds(job, pl_module.device) / len(batch["spikes"])
                self._measured[name].seconds.append(seconds)


def _jobs(module: LightningModule, batch: Batch, batch_idx: int) -> Jobs:
    """Return what a method does, by name, reconstruction first."""
    others: Any = getattr(module, "cost_jobs", lambda batch: {})
    return {FORWARD: lambda: module.predict_step(batch, batch_idx), **others(batch)}


@contextmanager
def _as_predicted(trainer: Trainer) -> Iterator[None]:
    """Compute as Lightning's own prediction does: without gradients, in the run's precision."""
    with torch.inference_mode(), trainer.precision_plugin.predict_step_context():
        yield


def _counted(job: Callable[[], object], batch: Batch) -> tuple[int, tuple[int, int]]:
    """Return the multiply-accumulates of a job, per image, and the image's height and width.

    It is the image that comes out, or that of the spikes where what comes out is no image.
    """
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        made = job()
    spikes = batch["spikes"]
    shape = made.shape if isinstance(made, Tensor) and made.ndim > 2 else spikes.shape
    return counter.get_total_flops() // 2 // len(spikes), (shape[-2], shape[-1])


def _seconds(job: Callable[[], object], device: torch.device) -> float:
    """Return how long a job takes until the device has done it."""
    _synchronise(device)
    begin = time.perf_counter()
    job()
    _synchronise(device)
    return time.perf_counter() - begin


def _synchronise(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
