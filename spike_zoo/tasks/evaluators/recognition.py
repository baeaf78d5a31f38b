"""Evaluator of recognition: classes of clips of spikes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

from lightning import LightningDataModule
from torch import Tensor, nn
from torchmetrics import MetricCollection

from spike_zoo.errors import ConfigError
from spike_zoo.metrics.recognition import class_by_class, recognition_metrics
from spike_zoo.tasks.batch import LabelledBatch, Split
from spike_zoo.tasks.evaluation import (
    CaptionedImages,
    Evaluation,
    Labels,
    Origin,
    SamplePrediction,
    playback,
)
from spike_zoo.tasks.evaluators.base import Evaluator, clip_origins, measured_clips

if TYPE_CHECKING:
    from spike_zoo.tasks.recognition import ClassificationModule

PREVIEW_PLANES = 13  # moving objects are still sharp in playback over 13 planes
PREVIEW_WIDTH = 240  # pixels, wide enough for a caption
SPLITS: Final = ("val", "test")
RANKS: Final = ("", "second_", "third_")  # prefixes of the columns of predictions


class RecognitionEvaluator(Evaluator["ClassificationModule", LabelledBatch]):
    """Measure accuracy, and precision, recall and F1 over all classes and, in a test, per class.

    Args:
        classes: Number of classes.
        label_names: Names of the classes, by index; empty if unknown.
    """

    def __init__(self, classes: int, label_names: Sequence[str] = ()) -> None:
        super().__init__()
        self.classes, self.label_names = classes, tuple(label_names)
        self._names = self.label_names or tuple(map(str, range(classes)))
        self.counts = nn.ModuleDict({split: recognition_metrics(classes) for split in SPLITS})

    def metrics_of(self, split: Split) -> MetricCollection:
        """Return the metrics of a split: accuracy, and precision, recall and F1."""
        return cast("MetricCollection", self.counts[split])

    def check_data(
        self, method: ClassificationModule, datamodule: LightningDataModule, stage: str
    ) -> None:
        """Raise ConfigError for clips of another length, unknown classes and other class names."""
        if hasattr(datamodule, "clip_length"):
            method.check_clip(datamodule.clip_length)
        if not (hasattr(datamodule, "labels") and hasattr(datamodule, "label_names")):
            return  # the datamodule does not state its classes before the first batch
        for label, name in datamodule.labels().items():
            method.check_label(label, name)
        data_names = tuple(datamodule.label_names)
        if self.label_names and data_names and data_names != self.label_names:
            raise ConfigError(
                f"model.init_args.label_names: {', '.join(self.label_names)}, but the data's "
                f"classes are {', '.join(data_names)}, in this order; set them to the data's, or "
                "choose the data that the method was made for"
            )

    def origins(self, batch: LabelledBatch) -> list[Origin]:
        """Return recording and middle plane of each clip."""
        return clip_origins(batch)

    def predict(self, method: ClassificationModule, batch: LabelledBatch) -> Tensor:
        """Return the probability of every class, ``(B, classes)``."""
        method.check_clip(batch["spikes"].shape[1])
        return method(batch["spikes"], batch["rate_scale"]).float().softmax(dim=1)

    def sample_predictions(
        self, batch: LabelledBatch, prediction: Tensor
    ) -> list[SamplePrediction]:
        """Return the three most probable classes of each clip with their probabilities."""
        best = prediction.topk(min(len(RANKS), self.classes), dim=1)
        rows = zip(clip_origins(batch), best.indices.tolist(), best.values.tolist(), strict=True)
        return [SamplePrediction(origin, values=self._ranked(*row)) for origin, *row in rows]

    def _ranked(self, labels: list[int], probabilities: list[float]) -> dict[str, float | str]:
        """Return the most probable classes of one clip as columns."""
        values: dict[str, float | str] = {"label": labels[0]}
        for rank, label, probability in zip(RANKS, labels, probabilities, strict=False):
            values |= {
                f"{rank}label_name" if not rank else f"{rank}name": self._names[label],
                f"{rank}probability": round(probability, 6),
            }
        return values

    def evaluate(
        self, method: ClassificationModule, batch: LabelledBatch, split: Split, index: int
    ) -> Evaluation:
        """Classify a batch, add it to the metrics of a split, and return its evaluation."""
        method.check_batch(batch)
        probabilities, truth = method.predict_step(batch, index), batch["label"]
        self.metrics_of(split).update(probabilities, truth)
        predicted = probabilities.argmax(dim=1)
        values = {
            "accuracy": (predicted == truth).float(),
            "truth_probability": probabilities.gather(1, truth[:, None])[:, 0],
        }
        features = method.features(batch) if split == "test" else None
        labels = Labels(truth.cpu(), predicted.cpu(), self._names, features)
        samples = [self._images(batch, probabilities)]
        return Evaluation(samples, measured_clips(batch), values, labels=labels)

    def split_means(self, split: Split) -> dict[str, Tensor]:
        """Return the metrics over all classes and, in a test, per class; reset them."""
        metrics = self.metrics_of(split)  # torchmetrics synchronises the counts
        values = class_by_class(metrics.compute(), with_classes=split == "test")
        metrics.reset()
        return {**super().split_means(split), **values}

    def _images(self, batch: LabelledBatch, probabilities: Tensor) -> CaptionedImages:
        """Return the playback of a batch's first clip, with its predicted and true class."""
        origin, spikes = clip_origins(batch)[0], batch["spikes"][0]
        predicted, truth = int(probabilities[0].argmax()), int(batch["label"][0])
        percent = 100 * probabilities[0, predicted].item()
        note = f"{self._names[predicted]} ({percent:.0f} %), truth {self._names[truth]}"
        rate = playback(spikes, batch["rate_scale"][0], len(spikes) // 2, PREVIEW_PLANES)
        times = math.ceil(PREVIEW_WIDTH / rate.shape[1])
        image = rate.repeat_interleave(times, 0).repeat_interleave(times, 1)
        return CaptionedImages(origin, {note: image}, f"{origin.name}-plane{origin.plane}", note)
