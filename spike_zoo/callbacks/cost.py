"""What a method costs: multiply-accumulates and seconds of its jobs, measured while testing."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.records.result import FORWARD, Cost
from spike_zoo.tasks.base import ProfiledCall, TaskModule

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightning import LightningModule, Trainer

TIMED = 5  # batches, after one that warms up


def count_macs(module: TaskModule, batch: Any) -> int:  # noqa: ANN401  (the task's batch)
    """Return the multiply-accumulates of one forward, per sample: convolutions and products."""
    macs, _ = _counted(module.profiled_calls(batch)[FORWARD])
    return macs // len(module.origins(batch))


@dataclass
class _Measured:
    """What is known of one job so far."""

    macs: int
    size: tuple[int, int] | None
    seconds: list[float] = field(default_factory=list)

    @property
    def cost(self) -> Cost:
        """Its cost, the first time left out where there are more."""
        return Cost(self.macs, statistics.median(self.seconds[1:] or self.seconds), self.size)


class CostMeter(Callback):
    """Measure seconds and multiply-accumulates of a method's jobs on a test's first batches.

    They are done once more, as prediction does them and in the precision of the run: the first
    for its operations and to warm up, the next :data:`TIMED` for the clock. Which jobs there are
    says :meth:`TaskModule.profiled_calls`.
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
        batch: Any,  # noqa: ANN401  (the task's batch)
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Do the jobs of one of the first batches once more, with nothing else inside the clock."""
        if self._batches > TIMED or not isinstance(pl_module, TaskModule):
            return
        self._batches += 1
        samples = len(pl_module.origins(batch))
        with torch.inference_mode(), trainer.precision_plugin.predict_step_context():
            for name, job in pl_module.profiled_calls(batch).items():
                count = 1 if isinstance(job, ProfiledCall) else samples
                if name not in self._measured:
                    macs, size = _counted(job)
                    self._measured[name] = _Measured(macs // count, size)
                seconds = _seconds(job, pl_module.device) / count
                self._measured[name].seconds.append(seconds)


def _counted(job: Callable[[], object]) -> tuple[int, tuple[int, int] | None]:
    """Return the multiply-accumulates of a job, and the size of the images that come out."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        made = job()
    size = job.size if isinstance(job, ProfiledCall) else None
    if size is None and isinstance(made, Tensor) and made.ndim > 2:
        size = made.shape[-2], made.shape[-1]
    return counter.get_total_flops() // 2, size


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
