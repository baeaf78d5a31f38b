"""Base class of evaluators: metrics of validation and test, and their means over a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypedDict, TypeVar

import torch
from lightning import LightningDataModule
from torch import Tensor, nn
from torchmetrics import MetricCollection

from spike_zoo.metrics.collections import reconstruction_metrics
from spike_zoo.metrics.image import MeanOfValues
from spike_zoo.metrics.speeds import BY_SPEED, SPEEDS, speed_of
from spike_zoo.nn.distributed import all_gather_objects
from spike_zoo.tasks.batch import LabelledBatch, ReconstructionBatch, Split
from spike_zoo.tasks.evaluation import Evaluation, MeasuredImage, Origin, SamplePrediction

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
        self.metrics = MetricCollection({})
        self._means: dict[Split, dict[str, MeanOfValues]] = {"val": {}, "test": {}}

    def make_metrics(self) -> MetricCollection:
        """Return the task's metrics; they hold no trained weights. The default is none."""
        return MetricCollection({})

    def check_data(self, method: MethodT, datamodule: LightningDataModule, stage: str) -> None:
        """Raise ConfigError, with the right setting, for data that do not match the method.

        ``stage`` is Lightning's: ``"fit"``, ``"validate"``, ``"test"`` or ``"predict"``.
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
        """Create the metrics, if they do not exist; they may read files."""
        for evaluator in self.with_parts():
            evaluator.metrics = evaluator.metrics or evaluator.make_metrics()

    def with_parts(self) -> Iterator[Evaluator[Any, Any]]:
        """Yield this evaluator, and those that it has as attributes."""
        return (part for part in self.modules() if isinstance(part, Evaluator))

    def measure(self, split: Split, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Measure images, add the values to the means of a split, and return them by metric.

        Args:
            split: ``"val"`` or ``"test"``.
            images: ``(N, C, H, W)`` in [0, 1].
            targets: Ground truth, ``(N, C, H, W)`` in [0, 1].
        """
        self.metrics.update(images, targets)
        metrics: Any = self.metrics.items()
        values = {str(name): torch.stack(metric.per_image) for name, metric in metrics}
        self.metrics.reset()
        self.add_means(split, values)
        return values

    def add_means(self, split: Split, values: Mapping[str, Tensor]) -> None:
        """Add values of samples, by name, to the means over all samples of a split."""
        for name, tensor in values.items():
            self._means[split].setdefault(name, MeanOfValues()).update(tensor)

    def add_speeds(self, split: Split, names: Sequence[str], values: Mapping[str, Tensor]) -> None:
        """Add a value for each image to the means of each speed, which the names state."""
        for speed in SPEEDS:
            chosen = [index for index, name in enumerate(names) if speed_of(name) == speed]
            of_speed = {
                f"{name}_{speed}": values[name][chosen] for name in BY_SPEED if name in values
            }
            self.add_means(split, of_speed if chosen else {})

    def split_means(self, split: Split) -> dict[str, Tensor]:
        """Return the means of :meth:`add_means` over all processes, and reset them.

        The processes of a run share the samples of a validation. A process may lack values that
        another has (for example the PSNR of fast scenes), so sums are gathered.
        """
        means, self._means[split], values = self._means[split], {}, {}
        shares = all_gather_objects({n: (float(m.total), int(m.count)) for n, m in means.items()})
        for name in dict.fromkeys(name for share in shares for name in share):
            sums = [share[name] for share in shares if name in share]
            mean = sum(total for total, _ in sums) / sum(count for _, count in sums)
            values[name] = torch.tensor(mean, dtype=torch.float32)
        return values


class ImageEvaluator(Evaluator[MethodT, BatchT]):
    """Evaluator of images with ground truth; arguments are those of :class:`DeblurModule`."""

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
