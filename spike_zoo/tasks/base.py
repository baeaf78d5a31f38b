"""Base classes of task modules: metrics by split, evaluation steps and checkpoint metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, cast

import torch
import torch.distributed as dist
from lightning import LightningDataModule, LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import MetricCollection

from spike_zoo.checkpoints.saved_model import plain, plain_hyper_parameters
from spike_zoo.errors import ConfigError
from spike_zoo.metrics.collections import reconstruction_metrics
from spike_zoo.metrics.image import MeanOfValues, MeanPerImage
from spike_zoo.nn.optimizers import scheduled_adam
from spike_zoo.nn.schedules import start_schedules, total_updates
from spike_zoo.tasks.batch import LabelledBatch, ReconstructionBatch, Split
from spike_zoo.tasks.evaluation import Evaluation, MeasuredImage, Origin, SamplePrediction

EVALUATED_SPLITS: tuple[Split, ...] = ("val", "test")


@dataclass(frozen=True)
class ProfiledCall:
    """Profiled job on one image, whose cost does not depend on the batch size."""

    work: Callable[[], object]
    size: tuple[int, int]  # height and width of the image

    def __call__(self) -> object:
        """Run the job once."""
        return self.work()


class TaskModule(LightningModule):
    """Base class of all task modules: evaluation, images, costs and checkpoints.

    A task (a subclass) defines :meth:`make_metrics`, :meth:`evaluate`, :meth:`origins` and
    ``predict_step``. A method (a subclass of a task) calls ``save_hyperparameters()`` in its
    constructor. The arguments of the constructor are values of YAML, so that
    :func:`spike_zoo.load` rebuilds the method from its checkpoint alone.
    """

    monitor: str = "val/psnr"  #: log key of the metric that selects a run's best checkpoint
    monitor_mode: str = "max"  #: ``"max"`` or ``"min"``: which value of the metric is the best
    #: fraction of the run in which the learning rate rises, if it is no hyperparameter
    warmup: float = 0.0
    #: curves measured by a test, written to the record: name -> points (x, y)
    curves: Mapping[str, Sequence[tuple[float, float]]] = MappingProxyType({})

    def __init__(self) -> None:
        super().__init__()
        self.split_metrics = nn.ModuleDict()
        self._means: dict[Split, dict[str, MeanOfValues]] = {"val": {}, "test": {}}

    def make_metrics(self) -> MetricCollection:
        """Return the task's metrics; they hold no trained weights."""
        raise NotImplementedError

    def evaluate(self, batch: Any, split: Split, batch_idx: int) -> Evaluation:  # noqa: ANN401  (the task's batch)
        """Add a batch to the metrics of a split, log them, and return the results for callbacks."""
        raise NotImplementedError

    def origins(self, batch: Any) -> Sequence[Origin]:  # noqa: ANN401  (the task's batch)
        """Return the recording and plane of each sample of a batch."""
        raise NotImplementedError

    def sample_predictions(self, batch: Any, prediction: Any) -> Sequence[SamplePrediction]:  # noqa: ANN401  (the task's)
        """Return the outputs of ``predict_step`` to write to files: by default one image each."""
        pairs = zip(self.origins(batch), prediction, strict=True)
        return [SamplePrediction(*pair) for pair in pairs]

    def profiled_calls(self, batch: Any) -> Mapping[str, Callable[[], object]]:  # noqa: ANN401  (the task's batch)
        """Return the jobs whose costs are measured: name -> function that runs the job once.

        Every method has the job ``"forward"``; subclasses add further jobs. Inputs of a job are
        prepared here, outside the timed function. Costs are divided by the number of samples in
        the batch, except those of a :class:`ProfiledCall`.
        """
        return {"forward": lambda: self.predict_step(batch, 0)}

    def check_data(self, datamodule: LightningDataModule, stage: str) -> None:
        """Raise ConfigError for data that do not match the method, before anything is computed.

        The error states the setting of the data and its correct value.

        Args:
            datamodule: Datamodule of the run.
            stage: Lightning's stage: ``"fit"``, ``"validate"``, ``"test"`` or ``"predict"``.
        """

    def setup(self, stage: str) -> None:
        """Check the data and create the metrics of the evaluated splits."""
        datamodule = getattr(self._trainer, "datamodule", None)  # None without a trainer
        if datamodule is not None:
            self.check_data(datamodule, stage)
        if stage != "predict" and not self.split_metrics:
            metrics = self.make_metrics()
            for split in EVALUATED_SPLITS:
                self.split_metrics[split] = metrics.clone(prefix=f"{split}/")

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

    def measure(
        self, split: Split, images: Tensor, targets: Tensor, metrics: MetricCollection | None = None
    ) -> dict[str, Tensor]:
        """Add images to the metrics of a split, log their means and return the values per image.

        Args:
            split: ``"val"`` or ``"test"``.
            images: ``(N, C, H, W)`` in [0, 1].
            targets: Ground truth, ``(N, C, H, W)`` in [0, 1].
            metrics: Metrics to update; by default those of the split.

        Returns:
            Name of a metric without the split -> values ``(N,)``.
        """
        if metrics is None:
            metrics = cast(MetricCollection, self.split_metrics[split])
        metrics.update(images, targets)
        named = {str(name).removeprefix(f"{split}/"): metric for name, metric in metrics.items()}
        means = {name: metric for name, metric in named.items() if isinstance(metric, MeanPerImage)}
        self.log_means(split, means)
        others = {f"{split}/{name}": metric for name, metric in named.items() if name not in means}
        self.log_dict(others, on_step=False, on_epoch=True, batch_size=len(images))
        return {
            name: torch.stack(metric.per_image[-len(images) :]) for name, metric in means.items()
        }

    def log_means(self, split: Split, means: Mapping[str, MeanOfValues | Tensor]) -> None:
        """Log means over all samples of a split at the end of its epoch.

        The processes of a run share the samples of a validation. A process may lack values that
        another has (for example the PSNR of fast scenes), so sums are gathered at the end.

        Args:
            split: ``"val"`` or ``"test"``.
            means: Name without the split -> values of samples, or a metric that holds them.
        """
        for name, values in means.items():
            if isinstance(values, MeanOfValues):
                self._means[split][name] = values
            else:
                self._means[split].setdefault(name, MeanOfValues().to(values.device)).update(values)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of a validation, see :meth:`log_epoch`."""
        self.log_epoch("val")

    def on_test_epoch_end(self) -> None:
        """Log the metrics of a test, see :meth:`log_epoch`."""
        self.log_epoch("test")

    def log_epoch(self, split: Split) -> None:
        """Log the metrics of an epoch of a split: here the means of :meth:`log_means`."""
        means = self._means[split]
        in_bar = cast(MetricCollection, self.split_metrics[split]) if split == "val" else ()
        shares = all_gather_objects(
            {name: (float(m.total), int(m.count)) for name, m in means.items()}
        )
        for mean in means.values():
            mean.reset()
        means.clear()
        for name in dict.fromkeys(name for share in shares for name in share):
            sums = [share[name] for share in shares if name in share]
            mean = sum(total for total, _ in sums) / sum(count for _, count in sums)
            key = f"{split}/{name}"
            self.log(key, mean, prog_bar=key in in_bar, sync_dist=len(shares) > 1)

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


def all_gather_objects(value: Any) -> list[Any]:  # noqa: ANN401  (anything that pickles)
    """Return the values of all processes in order of their ranks; one value without DDP."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


class ImageModule(TaskModule):
    """Task module whose images are compared with ground truth.

    Args:
        lpips: ``"auto"`` measures LPIPS if its backbone is available, ``"off"`` never does, a path
            is that of the backbone's file.
        protocols: Published evaluation protocols to report besides the usual metrics, for example
            ``"stir"`` (``test/psnr_stir``, ``test/ssim_stir``), or for deblurring ``"ssdm"``
            (``test/psnr_official``, ``test/ssim_official``).
    """

    def __init__(self, *, lpips: str = "auto", protocols: Sequence[str] = ()) -> None:
        super().__init__()
        self.lpips = lpips
        self.protocols = tuple(protocols)

    def make_metrics(self) -> MetricCollection:
        """Return the image metrics, including those of :attr:`protocols`."""
        return reconstruction_metrics(lpips=self.lpips, protocols=self.protocols)


class ClipModule(TaskModule):
    """Task module whose samples are clips of one length."""

    clip_length: int  # planes

    def check_data(self, datamodule: LightningDataModule, stage: str) -> None:
        """Raise ConfigError for clips of another length than the method takes."""
        if hasattr(datamodule, "clip_length"):
            self.check_clip(datamodule.clip_length)

    def check_clip(self, planes: int) -> None:
        """Raise ConfigError for a clip of another length than the method takes."""
        if planes != self.clip_length:
            raise ConfigError(
                f"data.init_args.clip_length: the clips have {planes} planes, "
                f"{type(self).__name__} takes {self.clip_length}; set it to {self.clip_length}"
            )

    def origins(self, batch: ReconstructionBatch | LabelledBatch) -> list[Origin]:
        """Return recording and middle plane of each clip."""
        planes = batch["plane"].tolist()
        return [Origin(*pair) for pair in zip(batch["name"], planes, strict=True)]

    def measured_clips(self, batch: ReconstructionBatch | LabelledBatch) -> list[MeasuredImage]:
        """Return the origins and rate scales of a batch of clips."""
        # Not self.origins: a method for scenes overrides it, and these batches are clips.
        rows = zip(ClipModule.origins(self, batch), batch["rate_scale"].tolist(), strict=True)
        return [MeasuredImage(origin, origin.plane, scale) for origin, scale in rows]
