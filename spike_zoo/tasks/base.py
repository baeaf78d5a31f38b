"""Base class of modules: steps, logging, optimiser and checkpoint metadata."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from spike_zoo.checkpoints.saved_model import plain, plain_hyper_parameters
from spike_zoo.errors import ConfigError
from spike_zoo.nn.optimizers import scheduled_adam
from spike_zoo.nn.schedules import start_schedules, total_updates
from spike_zoo.tasks.batch import Split
from spike_zoo.tasks.evaluation import Evaluation
from spike_zoo.tasks.evaluators.base import Curves, Evaluator


@dataclass(frozen=True)
class ProfiledCall:
    """Profiled job on one image, whose cost does not depend on the batch size."""

    work: Callable[[], object]
    size: tuple[int, int]  # height and width of the image

    def __call__(self) -> object:
        """Run the job once."""
        return self.work()


class MethodModule(LightningModule):
    """Base class of all modules: training, evaluation by an evaluator, costs and checkpoints.

    A task (a subclass) selects the evaluator. A method (a subclass of a task) defines
    :meth:`terms` or ``training_step`` if it is trained, and calls ``save_hyperparameters()`` in
    its constructor. The arguments of the constructor are values of YAML, so that
    :func:`spike_zoo.load` rebuilds the method from its checkpoint alone.

    Args:
        evaluator: Evaluator of the task.
    """

    monitor: str = "val/psnr"  #: log key of the metric that selects a run's best checkpoint
    monitor_mode: str = "max"  #: ``"max"`` or ``"min"``: which value of the metric is the best
    #: fraction of the run in which the learning rate rises, if it is no hyperparameter
    warmup: float = 0.0
    clip_length: int  #: planes of one clip, for methods whose samples are clips

    def __init__(self, evaluator: Evaluator[Any, Any]) -> None:
        super().__init__()
        self.evaluator = evaluator

    @property
    def curves(self) -> Curves:
        """Curves measured by a test, written to the record: name -> points (x, y)."""
        parts = self.evaluator.with_parts()
        return {name: points for part in parts for name, points in part.curves.items()}

    def check_data(self, datamodule: LightningDataModule, stage: str) -> None:
        """Raise ConfigError for data that do not match, see :meth:`Evaluator.check_data`."""
        self.evaluator.check_data(self, datamodule, stage)

    def check_clip(self, planes: int) -> None:
        """Raise ConfigError for a clip of another length than the method takes."""
        if planes != self.clip_length:
            raise ConfigError(
                f"data.init_args.clip_length: the clips have {planes} planes, "
                f"{type(self).__name__} takes {self.clip_length}; set it to {self.clip_length}"
            )

    def setup(self, stage: str) -> None:
        """Check the data and create the metrics of the evaluated splits."""
        datamodule = getattr(self._trainer, "datamodule", None)  # None without a trainer
        if datamodule is not None:
            self.check_data(datamodule, stage)
        if stage != "predict":
            self.evaluator.build_metrics()

    def terms(self, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401  (the task's batch)
        """Return the terms of the loss by name, with the loss as ``"total"``."""
        raise NotImplementedError

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:  # noqa: ANN401  (the task's batch)
        """Return the loss of :meth:`terms` and log each of its terms."""
        terms = self.terms(batch)
        logged = {f"train/{name}": value.detach() for name, value in terms.items()}
        self.log_dict(logged, batch_size=len(next(iter(batch.values()))))
        return terms["total"]

    def validation_step(  # type: ignore[override]  # Lightning passes any output to callbacks
        self,
        batch: Any,  # noqa: ANN401  (the task's batch)
        batch_idx: int,
    ) -> Evaluation:
        """Add a batch to the validation metrics and return its evaluation.

        A process with fewer samples than the others gets empty batches.
        """
        return self.evaluate(batch, "val", batch_idx) if len(batch) else Evaluation(())

    def test_step(  # type: ignore[override]  # Lightning passes any output to callbacks
        self,
        batch: Any,  # noqa: ANN401  (the task's batch)
        batch_idx: int,
    ) -> Evaluation:
        """Add a batch to the test metrics and return its evaluation."""
        return self.evaluate(batch, "test", batch_idx)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ANN401  (the task's batch)
        """Return the outputs for the samples of a batch, see :meth:`Evaluator.predict`."""
        return self.evaluator.predict(self, batch)

    def evaluate(self, batch: Any, split: Split, batch_idx: int) -> Evaluation:  # noqa: ANN401  (the task's batch)
        """Add a batch to the metrics of a split, and return the results for callbacks."""
        return self.evaluator.evaluate(self, batch, split, batch_idx)

    def profiled_calls(self, batch: Any) -> Mapping[str, Callable[[], object]]:  # noqa: ANN401  (the task's batch)
        """Return the jobs whose costs are measured: name -> function that runs the job once.

        Every method has the job ``"forward"``; evaluators and subclasses add further jobs. Inputs
        of a job are prepared here, outside the timed function. Costs are divided by the number of
        samples in the batch, except those of a :class:`ProfiledCall`.
        """
        forward = {"forward": lambda: self.predict_step(batch, 0)}
        return {**forward, **self.evaluator.profiled_calls(self, batch)}

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of a validation."""
        self.log_epoch("val")

    def on_test_epoch_end(self) -> None:
        """Log the metrics of a test."""
        self.log_epoch("test")

    def log_epoch(self, split: Split) -> None:
        """Log the metrics of an epoch of a split; they are equal in all processes."""
        for name, value in self.evaluator.epoch_values(self, split).items():
            key = f"{split}/{name}"
            self.log(key, float(value), prog_bar=key == self.monitor, sync_dist=True)

    def generator(self, purpose: str) -> torch.Generator:
        """Return a random generator for the current batch; a resumed run draws the same numbers.

        Args:
            purpose: Name of the random quantity; different purposes draw independent numbers.
        """
        parts = (
            torch.initial_seed(),
            self.global_step,
            self.global_rank,
            purpose,
            *self._accumulation_index(),
        )
        digest = blake2b(repr(parts).encode(), digest_size=8).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest) >> 1)  # seeds have 63 bits

    def _accumulation_index(self) -> tuple[int, ...]:
        """Return the batch's index among the accumulated batches of an update, () for the first.

        Accumulated batches share ``global_step``; the index gives them different random numbers.
        """
        count = 1 if self._trainer is None else self._trainer.accumulate_grad_batches
        index = 0 if count == 1 else self.trainer.fit_loop.epoch_loop.batch_idx % count
        return (index,) if index else ()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return Adam for the parameters that are not frozen, see :func:`scheduled_adam`."""
        trained = (weight for weight in self.parameters() if weight.requires_grad)
        return scheduled_adam(self, trained, warmup=self.warmup)

    def on_train_start(self) -> None:
        """Set the length of the run for the schedules."""
        start_schedules(self.trainer)

    @property
    def progress(self) -> float:
        """Progress of the run, from 0 to 1; 0 outside of training."""
        if self._trainer is None or not self._trainer.training:
            return 0.0
        return min(self.global_step / max(total_updates(self._trainer), 1.0), 1.0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add class path and hyperparameters, from which :func:`spike_zoo.load` rebuilds it."""
        if "hyper_parameters" in checkpoint:
            checkpoint["hyper_parameters"] = plain(checkpoint["hyper_parameters"])
        checkpoint["spike_zoo"] = {
            "class_path": f"{type(self).__module__}.{type(self).__qualname__}",
            "hyper_parameters": plain_hyper_parameters(self.hparams),
        }
