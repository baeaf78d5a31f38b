"""What every task shares: metrics by split, steps that return evaluations, whole checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist
from lightning import LightningModule
from torch import nn
from torchmetrics import MetricCollection

from spike_zoo.errors import ConfigError
from spike_zoo.metrics.image import MeanOfValues, MeanPerImage
from spike_zoo.nn.schedules import start_schedules
from spike_zoo.tasks.evaluation import Evaluation, Origin, SamplePrediction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lightning import LightningDataModule
    from torch import Tensor

    from spike_zoo.batch import LabelledBatch, ReconstructionBatch, Split

EVALUATED_SPLITS: tuple[Split, ...] = ("val", "test")


@dataclass(frozen=True)
class ProfiledCall:
    """Work on one image, whose cost does not depend on the batch size.

    Attributes:
        work: Does it once.
        size: Height and width of the image.
    """

    work: Callable[[], object]
    size: tuple[int, int]

    def __call__(self) -> object:
        """Do it once."""
        return self.work()


class TaskModule(LightningModule):
    """A module whose evaluation, pictures, costs and checkpoints are known, whatever its task.

    A task (a subclass of this) defines :meth:`make_metrics`, :meth:`evaluate`, :meth:`origins` and
    ``predict_step``; a method (a subclass of that) calls ``save_hyperparameters()`` in its
    constructor, whose arguments are plain values, so that its checkpoint alone rebuilds it, see
    :func:`spike_zoo.load`.

    Attributes:
        monitor: Log key by which a run's best checkpoint is chosen.
        monitor_mode: Whether its ``"max"`` or ``"min"`` is the best.
        curves: What a test measured as curves, for the record: name -> points x, y.
    """

    monitor: str = "val/psnr"
    monitor_mode: str = "max"
    curves: Mapping[str, Sequence[tuple[float, float]]] = MappingProxyType({})

    def __init__(self) -> None:
        super().__init__()
        self.split_metrics = nn.ModuleDict()
        self._means: dict[Split, dict[str, MeanOfValues]] = {"val": {}, "test": {}}

    def make_metrics(self) -> MetricCollection:
        """Return what is measured; it holds no weights."""
        raise NotImplementedError

    def evaluate(self, batch: Any, split: Split, batch_idx: int) -> Evaluation:  # noqa: ANN401  (the task's batch)
        """Add a batch to the metrics of a split, log them, and return what callbacks show."""
        raise NotImplementedError

    def origins(self, batch: Any) -> Sequence[Origin]:  # noqa: ANN401  (the task's batch)
        """Return where each sample of a batch comes from."""
        raise NotImplementedError

    def predicted(self, batch: Any, found: Any) -> Sequence[SamplePrediction]:  # noqa: ANN401  (the task's)
        """Return what files are written of a batch: by default an image of each sample.

        Args:
            batch: What ``predict_step`` was given.
            found: What it returned.
        """
        return [SamplePrediction(*one) for one in zip(self.origins(batch), found, strict=True)]

    def profiled_calls(self, batch: Any) -> Mapping[str, Callable[[], object]]:  # noqa: ANN401  (the task's batch)
        """Return what is measured as this method's costs: job by name -> what does it once.

        Every method has the job ``"forward"``. One that does other work adds it; what a job begins
        with is made before, outside the clock. What it costs is shared out among the samples of the
        batch, that of an :class:`ProfiledCall` is not::

            def profiled_calls(self, batch):
                data = self.codec.compress(batch)
                return {
                    **super().profiled_calls(batch),
                    "compress": lambda: self.codec.compress(batch),
                    "decompress": lambda: self.codec.decompress(data),
                }
        """
        return {"forward": lambda: self.predict_step(batch, 0)}

    def check_data(self, served: LightningDataModule, stage: str) -> None:
        """Reject data that do not fit, before anything is computed.

        Args:
            served: What serves the batches.
            stage: Lightning's: ``"fit"``, ``"validate"``, ``"test"`` or ``"predict"``.

        Raises:
            ConfigError: Naming the setting of the data and its right value.
        """

    def setup(self, stage: str) -> None:
        """Check the data and make the metrics of the splits that will be evaluated.

        Raises:
            ConfigError: If the data do not fit.
        """
        served = getattr(self._trainer, "datamodule", None)  # neither outside a trainer
        if served is not None:
            self.check_data(served, stage)
        if stage != "predict" and not self.split_metrics:
            metrics = self.make_metrics()
            for split in EVALUATED_SPLITS:
                self.split_metrics[split] = metrics.clone(prefix=f"{split}/")

    def validation_step(  # type: ignore[override]  # Lightning passes on whatever a step returns
        self,
        batch: Any,  # noqa: ANN401  (the task's batch)
        batch_idx: int,
    ) -> Evaluation:
        """Add a batch to the validation metrics and return its evaluation.

        An empty batch is that of a process with fewer samples than others.
        """
        return self.evaluate(batch, "val", batch_idx) if len(batch) else Evaluation(())

    def test_step(  # type: ignore[override]  # Lightning passes on whatever a step returns
        self,
        batch: Any,  # noqa: ANN401  (the task's batch)
        batch_idx: int,
    ) -> Evaluation:
        """Add a batch to the test metrics and return its evaluation."""
        return self.evaluate(batch, "test", batch_idx)

    def measure(
        self,
        split: Split,
        images: Tensor,
        targets: Tensor,
        metrics: MetricCollection | None = None,
    ) -> dict[str, Tensor]:
        """Add images to the metrics of a split, log their means and return their single values.

        Args:
            split: ``"val"`` or ``"test"``.
            images: ``(N, C, H, W)`` in [0, 1].
            targets: As ``images``.
            metrics: By default those of the split.

        Returns:
            Metric, without its split -> ``(N,)``.
        """
        if metrics is None:
            metrics = cast(MetricCollection, self.split_metrics[split])
        metrics.update(images, targets)
        named = {str(name).removeprefix(f"{split}/"): one for name, one in metrics.items()}
        means = {name: one for name, one in named.items() if isinstance(one, MeanPerImage)}
        self.log_means(split, means)
        others = {f"{split}/{name}": one for name, one in named.items() if name not in means}
        self.log_dict(others, on_step=False, on_epoch=True, batch_size=len(images))
        return {name: torch.stack(one.per_image[-len(images) :]) for name, one in means.items()}

    def log_means(self, split: Split, found: Mapping[str, MeanOfValues | Tensor]) -> None:
        """Log means over all samples of a split when its epoch ends.

        The processes of a run share the samples of a validation, and what is measured of one may
        be unknown to another, as the PSNR of fast scenes: sums are put together at the end.

        Args:
            split: ``"val"`` or ``"test"``.
            found: Name, without its split -> values of samples, or a metric that has them.
        """
        for name, one in found.items():
            if isinstance(one, MeanOfValues):
                self._means[split][name] = one
            else:
                self._means[split].setdefault(name, MeanOfValues().to(one.device)).update(one)

    def on_validation_epoch_end(self) -> None:
        """Log the means of :meth:`log_means`."""
        self._log_epoch("val")

    def on_test_epoch_end(self) -> None:
        """Log the means of :meth:`log_means`."""
        self._log_epoch("test")

    def _log_epoch(self, split: Split) -> None:
        means = self._means[split]
        shown = cast(MetricCollection, self.split_metrics[split]) if split == "val" else ()
        shares = gathered({name: (float(m.total), int(m.count)) for name, m in means.items()})
        for mean in means.values():
            mean.reset()
        means.clear()
        for name in dict.fromkeys(name for share in shares for name in share):
            sums = [share[name] for share in shares if name in share]
            mean = sum(total for total, _ in sums) / sum(count for _, count in sums)
            key = f"{split}/{name}"
            self.log(key, mean, prog_bar=key in shown, sync_dist=len(shares) > 1)

    def generator(self, purpose: str) -> torch.Generator:
        """Return what draws for this batch: the same where a run is resumed before it.

        Args:
            purpose: What is drawn; what differs in it is drawn independently.
        """
        parts = torch.initial_seed(), self.global_step, self.global_rank, purpose, *self._further()
        digest = blake2b(repr(parts).encode(), digest_size=8).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest) >> 1)  # it takes 63 bits

    def _further(self) -> tuple[int, ...]:
        """Return which batch of its update this one is, behind the first: they draw apart."""
        each = 1 if self._trainer is None else self._trainer.accumulate_grad_batches
        number = 0 if each == 1 else self.trainer.fit_loop.epoch_loop.batch_idx % each
        return (number,) if number else ()

    def on_train_start(self) -> None:
        """Set the length of the run for the schedules."""
        start_schedules(self.trainer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write the class path, so that the file alone rebuilds the module."""
        checkpoint["spike_zoo"] = {
            "class_path": f"{type(self).__module__}.{type(self).__qualname__}",
            "hyper_parameters": {
                name: value
                for name, value in self.hparams.items()
                if name not in ("_class_path", "_instantiator")
            },
        }


def gathered(value: Any) -> list[Any]:  # noqa: ANN401  (anything that pickles)
    """Return the values of all processes, in order of their ranks; one where there is one."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


class ClipModule(TaskModule):
    """A module whose samples are clips of one length.

    Attributes:
        clip_length: Planes of one clip.
    """

    clip_length: int

    def check_data(self, served: LightningDataModule, stage: str) -> None:
        """Reject clips of another length than the method takes.

        Raises:
            ConfigError: With both lengths.
        """
        if hasattr(served, "clip_length"):
            self.check_clip(served.clip_length)

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
        return [Origin(*one) for one in zip(batch["name"], planes, strict=True)]
