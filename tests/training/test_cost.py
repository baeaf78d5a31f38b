"""Measured costs of methods: image size, precision and number of measurements."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from lightning import Trainer
from torch.utils.data import DataLoader

from spike_zoo.data import DeblurDataModule
from spike_zoo.methods.ssdm import DistillationOptions, SSDMStudentModule
from spike_zoo.tasks import MethodModule
from spike_zoo.tasks.base import ProfiledCall
from spike_zoo.tasks.evaluation import Evaluation, Origin
from spike_zoo.tasks.evaluators.base import Evaluator
from spike_zoo.testing import QUIET
from spike_zoo.testing.exposures import exposure_archive
from spike_zoo.training.cost import CostMeter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from spike_zoo.tasks.batch import ReconstructionBatch, Split

SIDE, CHANNELS = 12, 4


class _Unmeasured(Evaluator["_Mean", "ReconstructionBatch"]):
    """Evaluator that measures nothing."""

    def evaluate(
        self, method: _Mean, batch: ReconstructionBatch, split: Split, index: int
    ) -> Evaluation:
        return Evaluation([])

    def origins(self, batch: ReconstructionBatch) -> list[Origin]:
        return [Origin("none")] * len(batch["spikes"])


class _Mean(MethodModule):
    """A 3x3 convolution that records the precision of its computations."""

    def __init__(self) -> None:
        super().__init__(_Unmeasured())
        self.layer = torch.nn.Conv2d(CHANNELS, 1, 3, padding=1, bias=False)
        self.types: list[torch.dtype] = []

    def predict_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        image: Tensor = self.layer(batch["spikes"])
        self.types.append(image.dtype)
        return image


class _Codec(_Mean):
    """Module with the additional jobs compress, decompress and window."""

    def profiled_calls(self, batch: ReconstructionBatch) -> Mapping[str, Callable[[], object]]:
        data = batch["spikes"].bool().numpy().tobytes()

        def decompress() -> list[bytes]:
            time.sleep(0.02)
            return [data]

        return {
            **super().profiled_calls(batch),
            "compress": lambda: self.layer(batch["spikes"][:, :, ::2]),
            "decompress": decompress,
            "window": ProfiledCall(lambda: self.layer(batch["spikes"][:1]).sum(), (SIDE, 2 * SIDE)),
        }


def _measure(
    precision: str, batches: int, module: _Mean | None = None
) -> tuple[CostMeter, list[torch.dtype]]:
    module, meter = module or _Mean(), CostMeter()
    samples = [{"spikes": torch.ones(CHANNELS, SIDE, 2 * SIDE)} for _ in range(2 * batches)]
    trainer = Trainer(precision=precision, callbacks=[meter], logger=False, **QUIET)  # type: ignore[arg-type]  # one of its literals
    loader: DataLoader[dict[str, Tensor]] = DataLoader(samples, batch_size=2)  # type: ignore[arg-type]  # map-style
    trainer.test(module, loader, verbose=False)
    return meter, module.types


def test_each_job_of_a_method_has_a_cost() -> None:
    costs = _measure("32-true", batches=2, module=_Codec())[0].costs
    assert list(costs) == ["forward", "compress", "decompress", "window"]
    full_macs, half_macs = SIDE * 2 * SIDE * CHANNELS * 9, SIDE * SIDE * CHANNELS * 9
    assert [cost.macs for cost in costs.values()] == [full_macs, half_macs, 0, full_macs]
    assert costs["compress"].size == (SIDE // 2, 2 * SIDE)
    assert costs["decompress"].size is None, "the output is not an image"
    assert costs["window"].size == (SIDE, 2 * SIDE), "the call states its size"
    assert costs["decompress"].seconds is not None
    assert costs["decompress"].seconds >= 0.01, "two samples in a batch"


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16-mixed", torch.bfloat16), ("32-true", torch.float32)]
)
def test_an_image_is_counted_and_timed_in_the_precision_of_the_trainer(
    precision: str, dtype: torch.dtype
) -> None:
    meter, types = _measure(precision, batches=2)
    assert set(types) == {dtype}
    assert list(meter.costs) == ["forward"]
    assert meter.costs["forward"].macs == SIDE * 2 * SIDE * CHANNELS * 9
    assert meter.costs["forward"].size == (SIDE, 2 * SIDE)
    assert meter.costs["forward"].seconds is not None
    assert meter.costs["forward"].seconds > 0


def test_only_the_first_batches_of_a_long_test_are_timed() -> None:
    _, types = _measure("32-true", batches=20)
    assert len(types) == 1 + 1 + 5, "one count of operations, one warm-up, five timed"


def test_the_cost_of_deblurring_refers_to_the_size_of_the_sharp_image(tmp_path: Path) -> None:
    archive = exposure_archive(tmp_path / "exposures.h5", height=16, width=24)
    module, meter = SSDMStudentModule(loss=DistillationOptions(labels="none")), CostMeter()
    trainer = Trainer(callbacks=[meter], logger=False, limit_test_batches=1, **QUIET)
    trainer.test(module, datamodule=DeblurDataModule(str(archive), crop=16), verbose=False)
    cost = meter.costs["forward"]
    assert cost.size == (64, 96)
    # the network of the authors, counted by hand: 15.90 GMAC at 720 x 1280
    assert cost.macs_per_pixel == pytest.approx(15.90e9 / (720 * 1280), rel=1e-2)
