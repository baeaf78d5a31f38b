"""Base class of tasks: metrics by split, values per image, checkpoint metadata."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from lightning import LightningDataModule
from torch import Tensor
from torchmetrics import MetricCollection

from spike_zoo.errors import ConfigError
from spike_zoo.metrics import psnr
from spike_zoo.metrics.image import MeanPerImage
from spike_zoo.tasks import TaskModule
from spike_zoo.tasks.batch import Split
from spike_zoo.tasks.evaluation import Evaluation, Origin


class Brighter(TaskModule):
    """Module that adds 0.1 to an image."""

    def __init__(self, step: float = 0.1, name: str = "mine") -> None:
        super().__init__()
        self.save_hyperparameters()
        self.step = step

    def make_metrics(self) -> MetricCollection:
        return MetricCollection({"psnr": MeanPerImage(psnr)})

    def evaluate(self, batch: Tensor, split: Split, batch_idx: int) -> Evaluation:
        images = self.predict_step(batch, batch_idx)
        return Evaluation([], values=self.measure(split, images, batch))

    def origins(self, batch: Tensor) -> Sequence[Origin]:
        return [Origin("none")] * len(batch)

    def predict_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return batch + self.step

    def check_data(self, datamodule: LightningDataModule, stage: str) -> None:
        if getattr(datamodule, "is_wrong", False):
            raise ConfigError(f"data: wrong for {stage}")


def _module_without_trainer(step: float = 0.1) -> Brighter:
    """Return a module without a trainer, with logging disabled."""
    module = Brighter(step)
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]  # outside a trainer
    module.setup("test")
    return module


def _mean(module: TaskModule, split: str) -> dict[str, float]:
    values = cast(MetricCollection, module.split_metrics[split]).compute()
    return {name: value.item() for name, value in values.items()}


def test_each_image_has_a_value_and_each_split_the_mean() -> None:
    module, images = _module_without_trainer(), torch.full((3, 1, 12, 12), 0.5)
    module.step = 0.1
    first = module.test_step(images[:1], 0)
    module.step = 0.01
    second = module.test_step(images[:2], 1)
    assert first.values["psnr"].tolist() == pytest.approx([20.0], abs=1e-3)  # -20 log10(0.1)
    assert second.values["psnr"].tolist() == pytest.approx([40.0, 40.0], abs=1e-3)
    assert _mean(module, "test") == {"test/psnr": pytest.approx(100 / 3, abs=1e-3)}


def test_metrics_of_splits_are_independent() -> None:
    module, image = _module_without_trainer(), torch.full((1, 1, 12, 12), 0.5)
    module.validation_step(image, 0)
    module.step = 0.01
    module.test_step(image, 0)
    assert _mean(module, "val") == {"val/psnr": pytest.approx(20.0, abs=1e-3)}
    assert _mean(module, "test") == {"test/psnr": pytest.approx(40.0, abs=1e-3)}
    module.setup("validate")  # a second stage of the same run
    assert _mean(module, "val") == {"val/psnr": pytest.approx(20.0, abs=1e-3)}


def test_unsuitable_data_are_rejected_before_metrics_are_built() -> None:
    module: Any = Brighter()
    module._trainer = SimpleNamespace(datamodule=SimpleNamespace(is_wrong=True))
    with pytest.raises(ConfigError, match="wrong for fit"):
        module.setup("fit")
    module._trainer.datamodule.is_wrong = False
    module.setup("fit")
    assert list(module.split_metrics) == ["val", "test"]


def test_a_checkpoint_contains_only_the_class_path_and_the_arguments() -> None:
    module, checkpoint = Brighter(0.25), dict[str, Any]()
    module.hparams["_class_path"] = module.hparams["_instantiator"] = "Lightning's own"
    module.on_save_checkpoint(checkpoint)
    assert checkpoint["spike_zoo"] == {
        "class_path": f"{__name__}.Brighter",
        "hyper_parameters": {"step": 0.25, "name": "mine"},
    }


def test_random_numbers_differ_by_purpose_step_rank_seed_and_batch() -> None:
    module: Any = _module_without_trainer()

    def random_numbers(
        purpose: str = "cuts", step: int = 0, rank: int = 0, seed: int = 0, batch: int = 0
    ) -> list[int]:
        torch.manual_seed(seed)
        loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_idx=batch))
        module._trainer = SimpleNamespace(
            global_step=step, global_rank=rank, accumulate_grad_batches=4, fit_loop=loop
        )
        module._trainer.strategy = SimpleNamespace()
        generator = module.generator(purpose)
        return cast("list[int]", torch.randint(2**40, (8,), generator=generator).tolist())

    assert random_numbers() == random_numbers()
    others = [random_numbers("noise"), random_numbers(step=1), random_numbers(rank=1)]
    others += [random_numbers(seed=seed) for seed in (1, 1000)]
    others += [random_numbers(batch=batch) for batch in (1, 2)]
    assert len({*map(tuple, [random_numbers(), *others])}) == 8
