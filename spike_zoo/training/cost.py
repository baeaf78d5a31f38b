"""Measurement of a method's costs during a test: multiply-accumulates and seconds per job."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.tasks.base import MethodModule, ProfiledCall
from spike_zoo.training.result import Cost

TIMED = 5  # batches, after one warm-up batch


@dataclass
class _JobMeasurements:
    macs: int
    size: tuple[int, int] | None
    seconds: list[float] = field(default_factory=list)

    @property
    def cost(self) -> Cost:
        """Cost of the job; the first (warm-up) time is left out if there are more."""
        return Cost(self.macs, statistics.median(self.seconds[1:] or self.seconds), self.size)


class CostMeter(Callback):
    """Measure seconds and multiply-accumulates of a method's jobs on a test's first batches.

    The jobs of :meth:`MethodModule.profiled_calls` are run a second time, as in prediction and in
    the precision of the run. The first batch counts operations and warms up, the next
    :data:`TIMED` batches are timed.
    """

    def __init__(self) -> None:
        self._measured: dict[str, _JobMeasurements] = {}
        self._batches = 0

    @property
    def costs(self) -> dict[str, Cost]:
        """Name of each job -> its cost for one image; empty before a test."""
        return {name: job.cost for name, job in self._measured.items()}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Clear the data of an earlier test."""
        self._measured, self._batches = {}, 0

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *arguments: Any
    ) -> None:
        """Measure the jobs on one of the first batches."""
        _, batch, *_ = arguments
        if self._batches > TIMED or not isinstance(pl_module, MethodModule):
            return
        self._batches += 1
        samples = len(pl_module.evaluator.origins(batch))
        with torch.inference_mode(), trainer.precision_plugin.predict_step_context():
            for name, job in pl_module.profiled_calls(batch).items():
                count = 1 if isinstance(job, ProfiledCall) else samples
                if name not in self._measured:
                    macs, size = _counted(job)
                    self._measured[name] = _JobMeasurements(macs // count, size)
                self._measured[name].seconds.append(_seconds(job, pl_module.device) / count)


def _counted(job: Callable[[], object]) -> tuple[int, tuple[int, int] | None]:
    """Return the multiply-accumulates of a job, and the size (H, W) of its output images."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        output = job()
    size = job.size if isinstance(job, ProfiledCall) else None
    if size is None and isinstance(output, Tensor) and output.ndim > 2:
        size = output.shape[-2], output.shape[-1]
    return counter.get_total_flops() // 2, size


def _seconds(job: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of a job, until the device has finished it."""
    synchronise = torch.accelerator.synchronize if device.type != "cpu" else lambda _: None
    synchronise(device)
    begin = time.perf_counter()
    job()
    synchronise(device)
    return time.perf_counter() - begin
