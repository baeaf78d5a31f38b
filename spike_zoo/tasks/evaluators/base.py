"""Base class of evaluators: metrics of validation and test, and their means over a split."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypedDict, TypeVar, cast

import torch
import torch.distributed as dist
from lightning import LightningDataModule
from torch import Tensor, nn
from torchmetrics import MetricCollection

from spike_zoo.metrics.collections import reconstruction_metrics
from spike_zoo.metrics.image import MeanOfValues
from spike_zoo.metrics.speeds import BY_SPEED, SPEEDS, speed_of
from spike_zoo.tasks.batch import LabelledBatch, ReconstructionBatch, Split
from spike_zoo.tasks.evaluation import Evaluation, MeasuredImage, Origin, SamplePrediction

EVALUATED_SPLITS: tuple[Split, ...] = ("val", "test")

MethodT = TypeVar("MethodT", contravariant=True)
BatchT = TypeVar("BatchT", contravariant=True)


Curves: TypeAlias = Mapping[str, Sequence[tuple[float, float]]]


class EvaluationOptions(TypedDict, total=False):
    """Arguments of modules whose images are compared with ground truth."""

    lpips: str
    protocols: Sequence[str]


class Evaluator(nn.Module, Generic[MethodT, BatchT]):
    """Run a method on batches of a task, and measure its outputs.

    A module has an evaluator as :attr:`MethodModule.evaluator`, which logs what it returns. An
    evaluator may have others as attributes; their metrics are logged too. Metrics are submodules,
    so they are moved with the module. Checkpoints do not contain them.

    A task (a subclass) defines :meth:`make_metrics`, :meth:`origins`, :meth:`predict` and
    :meth:`evaluate`.
    """

    def __init__(self) -> None:
        super().__init__()
        #: curves measured by a test, written to the record: name -> points (x, y)
        self.curves: Curves = {}
        self.split_metrics = nn.ModuleDict()
        self._means: dict[Split, dict[str, MeanOfValues]] = {"val": {}, "test": {}}

    def make_metrics(self) -> MetricCollection:
        """Return the task's metrics; they hold no trained weights. The default is none."""
        return MetricCollection({})

    def check_data(self, method: MethodT, datamodule: LightningDataModule, stage: str) -> None:
        """Raise ConfigError for data that do not match the method, before anything is computed.

        The error states the setting of the data and its correct value.

        Args:
            method: The method.
            datamodule: Data module of the run.
            stage: Lightning's stage: ``"fit"``, ``"validate"``, ``"test"`` or ``"predict"``.
        """

    def origins(self, batch: BatchT) -> Sequence[Origin]:
        """Return the recording and plane of each sample of a batch."""
        raise NotImplementedError

    def predict(self, method: MethodT, batch: BatchT) -> Tensor:
        """Return the outputs of a method for the samples of a batch."""
        raise NotImplementedError

    def sample_predictions(self, batch: BatchT, prediction: Tensor) -> Sequence[SamplePrediction]:
        """Return the outputs of :meth:`predict` to write to files: by default one image each."""
        pairs = zip(self.origins(batch), prediction, strict=True)
        return [SamplePrediction(*pair) for pair in pairs]

    def profiled_calls(self, method: MethodT, batch: BatchT) -> Mapping[str, Callable[[], object]]:
        """Return jobs whose costs are measured besides prediction, see :class:`MethodModule`."""
        return {}

    def evaluate(self, method: MethodT, batch: BatchT, split: Split, index: int) -> Evaluation:
        """Add a batch, with its index, to the metrics of a split; return results for callbacks."""
        raise NotImplementedError

    def epoch_values(self, method: MethodT, split: Split) -> dict[str, Tensor]:
        """Return the metrics of a split at the end of its epoch by name, and reset them."""
        return {
            name: value
            for evaluator in self.with_parts()
            for name, value in evaluator.split_means(split).items()
        }

    def build_metrics(self) -> None:
        """Create the metrics of the evaluated splits, if they do not exist."""
        for evaluator in self.with_parts():
            if not evaluator.split_metrics:
                metrics = evaluator.make_metrics()
                for split in EVALUATED_SPLITS:
                    evaluator.split_metrics[split] = metrics.clone()

    def with_parts(self) -> Iterator[Evaluator[Any, Any]]:
        """Yield this evaluator, and those that it has as attributes."""
        return (part for part in self.modules() if isinstance(part, Evaluator))

    def metrics_of(self, split: Split) -> MetricCollection:
        """Return the metrics of a split."""
        return cast("MetricCollection", self.split_metrics[split])

    def measure(self, split: Split, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Add images to the metrics of a split and return the values per image.

        Args:
            split: ``"val"`` or ``"test"``.
            images: ``(N, C, H, W)`` in [0, 1].
            targets: Ground truth, ``(N, C, H, W)`` in [0, 1].

        Returns:
            Name of a metric -> values ``(N,)``.
        """
        self.metrics_of(split).update(images, targets)
        metrics: Any = {str(name): metric for name, metric in self.metrics_of(split).items()}
        self.add_means(split, metrics)
        count = len(images)
        return {name: torch.stack(one.per_image[-count:]) for name, one in metrics.items()}

    def add_means(self, split: Split, means: Mapping[str, MeanOfValues | Tensor]) -> None:
        """Add means over all samples of a split to the values at the end of its epoch.

        The processes of a run share the samples of a validation. A process may lack values that
        another has (for example the PSNR of fast scenes), so sums are gathered at the end.

        Args:
            split: ``"val"`` or ``"test"``.
            means: Name -> values of samples, or a metric that holds them.
        """
        for name, values in means.items():
            if isinstance(values, MeanOfValues):
                self._means[split][name] = values
            else:
                self._means[split].setdefault(name, MeanOfValues().to(values.device)).update(values)

    def add_speeds(self, split: Split, names: Sequence[str], values: Mapping[str, Tensor]) -> None:
        """Add a value for each image to the means of each speed, which the names state."""
        speeds = [speed_of(name) for name in names]
        for metric, speed in itertools.product(BY_SPEED, SPEEDS):
            chosen = [index for index, other in enumerate(speeds) if other == speed]
            if chosen and metric in values:
                self.add_means(split, {f"{metric}_{speed}": values[metric][chosen]})

    def split_means(self, split: Split) -> dict[str, Tensor]:
        """Return the means of :meth:`add_means` over all processes, and reset them."""
        means = self._means[split]
        shares = all_gather_objects(
            {name: (float(m.total), int(m.count)) for name, m in means.items()}
        )
        for mean in means.values():
            mean.reset()
        means.clear()
        values = {}
        for name in dict.fromkeys(name for share in shares for name in share):
            sums = [share[name] for share in shares if name in share]
            mean = sum(total for total, _ in sums) / sum(count for _, count in sums)
            values[name] = torch.tensor(mean, dtype=torch.float32)
        return values


class ImageEvaluator(Evaluator[MethodT, BatchT]):
    """Evaluator of images with ground truth.

    Args:
        lpips: ``"auto"`` measures LPIPS if its backbone is available, ``"off"`` never does, a path
            is that of the backbone's file.
        protocols: Published evaluation protocols to report besides the usual metrics.
    """

    def __init__(self, *, lpips: str = "auto", protocols: Sequence[str] = ()) -> None:
        super().__init__()
        self.lpips, self.protocols = lpips, tuple(protocols)

    def make_metrics(self) -> MetricCollection:
        """Return the image metrics, including those of :attr:`protocols`."""
        return reconstruction_metrics(lpips=self.lpips, protocols=self.protocols)


def clip_origins(batch: ReconstructionBatch | LabelledBatch) -> list[Origin]:
    """Return recording and middle plane of each clip."""
    planes = batch["plane"].tolist()
    return [Origin(*pair) for pair in zip(batch["name"], planes, strict=True)]


def measured_clips(batch: ReconstructionBatch | LabelledBatch) -> list[MeasuredImage]:
    """Return the origins and rate scales of a batch of clips."""
    rows = zip(clip_origins(batch), batch["rate_scale"].tolist(), strict=True)
    return [MeasuredImage(origin, origin.plane, scale) for origin, scale in rows]


def all_gather_objects(value: Any) -> list[Any]:  # noqa: ANN401  (anything that pickles)
    """Return the values of all processes in order of their ranks; one value without DDP."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
