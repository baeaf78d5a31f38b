"""Task module of recognition: classification of clips of spikes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, cast

import torch
import torch.nn.functional as F
from lightning import LightningDataModule
from torch import Tensor
from torchmetrics import MetricCollection

from spike_zoo.errors import ConfigError
from spike_zoo.metrics.recognition import class_by_class, recognition_metrics
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.spikes.rate_scale import rate_scale_of
from spike_zoo.spikes.recording import SpikeRecording, check_recording
from spike_zoo.spikes.windows import consecutive_clips
from spike_zoo.tasks.base import ClipModule
from spike_zoo.tasks.batch import LabelledBatch, Split
from spike_zoo.tasks.clips import read_clip
from spike_zoo.tasks.evaluation import (
    CaptionedImages,
    Evaluation,
    Labels,
    SamplePrediction,
    playback,
)

PREVIEW_PLANES = 13  # moving objects are still sharp in playback over 13 planes
PREVIEW_WIDTH = 240  # pixels, wide enough for a caption
MIN_CLASSES = 2
RANKS: Final = ("", "second_", "third_")  # prefixes of the columns of predictions


class ClassificationModule(ClipModule):
    """Base class of methods that classify clips of spikes.

    A subclass sets :attr:`clip_length`, defines :meth:`forward` and ``configure_optimizers``, and
    may override :meth:`training_step` and :meth:`features`.

    Args:
        classes: Number of classes.
        label_names: Names of the classes, by index. They are not copied from the data.
        label_smoothing: Fraction of each label spread over all classes in the cross entropy.

    Raises:
        ConfigError: If there are fewer than 2 classes, another number of names than classes, or a
            smoothing outside [0, 1).
    """

    monitor = "val/accuracy"
    clip_stride: int | None = None  #: planes between clips of a recording; None: half a clip

    def __init__(
        self, *, classes: int, label_names: Sequence[str] = (), label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        if classes < MIN_CLASSES:
            raise ConfigError(f"classes: at least {MIN_CLASSES}, got {classes}")
        if label_names and len(label_names) != classes:
            raise ConfigError(
                f"label_names: {len(label_names)} names for {classes} classes; give one for each, "
                "in the order of their indices, or none"
            )
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"label_smoothing: from 0 to less than 1, got {label_smoothing}")
        self.classes, self.label_smoothing = classes, label_smoothing
        self.label_names = tuple(label_names)

    def forward(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        """Return the logits of each clip: ``(B, T, H, W)`` -> ``(B, classes)``."""
        raise NotImplementedError

    def features(self, batch: LabelledBatch) -> Tensor | None:
        """Return the features of each clip before the classifier, ``(B, F)``.

        A test draws a map of the features. None, the default, draws no map.
        """
        return None

    def name_of(self, label: int) -> str:
        """Return the name of a class, or its index if the names are unknown."""
        return self.label_names[label] if self.label_names else str(label)

    def make_metrics(self) -> MetricCollection:
        """Return accuracy, and precision, recall and F1 over all classes and per class."""
        return recognition_metrics(self.classes)

    def check_data(self, datamodule: LightningDataModule, stage: str) -> None:
        """Raise ConfigError for clips of another length, unknown classes and other class names."""
        super().check_data(datamodule, stage)
        if not (hasattr(datamodule, "labels") and hasattr(datamodule, "label_names")):
            return  # the datamodule does not state its classes before the first batch
        for label, name in datamodule.labels().items():
            self._check_label(label, name)
        data_names = tuple(datamodule.label_names)
        if self.label_names and data_names and data_names != self.label_names:
            raise ConfigError(
                f"model.init_args.label_names: {', '.join(self.label_names)}, but the data's "
                f"classes are {', '.join(data_names)}, in this order; set them to the data's, or "
                "choose the data that the method was made for"
            )

    def logits(self, batch: LabelledBatch) -> Tensor:
        """Check a batch with :meth:`check_batch` and return its logits, the input of losses."""
        self.check_batch(batch)
        return self(batch["spikes"], batch["rate_scale"])

    def check_batch(self, batch: LabelledBatch) -> None:
        """Raise ConfigError for clips of another length, and for labels of unknown classes."""
        self.check_clip(batch["spikes"].shape[1])
        for label, name in zip(batch["label"].tolist(), batch["name"], strict=True):
            self._check_label(label, name)  # on a GPU an unknown label aborts the process

    def training_step(self, batch: LabelledBatch, batch_idx: int) -> Tensor:
        """Return the cross entropy of a batch; log it (``train/total``) and ``train/accuracy``."""
        logits = self.logits(batch)
        loss = F.cross_entropy(logits, batch["label"], label_smoothing=self.label_smoothing)
        accuracy = (logits.argmax(dim=1) == batch["label"]).float().mean()
        logged = {"train/total": loss.detach(), "train/accuracy": accuracy}
        self.log_dict(logged, batch_size=len(logits))
        return loss

    def predict_step(self, batch: LabelledBatch, batch_idx: int) -> Tensor:
        """Return the probability of every class, ``(B, classes)``."""
        self.check_clip(batch["spikes"].shape[1])
        return self(batch["spikes"], batch["rate_scale"]).float().softmax(dim=1)

    def sample_predictions(
        self, batch: LabelledBatch, prediction: Tensor
    ) -> list[SamplePrediction]:
        """Return the three most probable classes of each clip with their probabilities."""
        best = prediction.topk(min(len(RANKS), self.classes), dim=1)
        rows = zip(self.origins(batch), best.indices.tolist(), best.values.tolist(), strict=True)
        return [SamplePrediction(origin, values=self._ranked(*row)) for origin, *row in rows]

    def _ranked(self, labels: list[int], probabilities: list[float]) -> dict[str, float | str]:
        """Return the most probable classes of one clip as columns."""
        values: dict[str, float | str] = {"label": labels[0]}
        for rank, label, probability in zip(RANKS, labels, probabilities, strict=False):
            values |= {
                f"{rank}label_name" if not rank else f"{rank}name": self.name_of(label),
                f"{rank}probability": round(probability, 6),
            }
        return values

    def evaluate(self, batch: LabelledBatch, split: Split, batch_idx: int) -> Evaluation:
        """Classify a batch, add it to the metrics of a split, and return its evaluation."""
        self.check_batch(batch)
        probabilities, truth = self.predict_step(batch, batch_idx), batch["label"]
        cast("MetricCollection", self.split_metrics[split]).update(probabilities, truth)
        predicted, measured = probabilities.argmax(dim=1), self.measured_clips(batch)
        values = {
            "accuracy": (predicted == truth).float(),
            "truth_probability": probabilities.gather(1, truth[:, None])[:, 0],
        }
        names = [self.name_of(label) for label in range(self.classes)]
        features = self.features(batch) if split == "test" else None
        labels = Labels(truth.cpu(), predicted.cpu(), names, features)
        return Evaluation([self._images(batch, probabilities)], measured, values, labels=labels)

    def log_epoch(self, split: Split) -> None:
        """Log the metrics over all classes and, in a test, per class."""
        super().log_epoch(split)
        metrics = cast("MetricCollection", self.split_metrics[split])
        values = class_by_class(metrics.compute(), with_classes=split == "test")
        # torchmetrics has synchronised the counts: every process has the same value already.
        self.log_dict(values, prog_bar=split == "val", sync_dist=True)
        metrics.reset()

    def classify(
        self,
        recording: SpikeRecording,
        *,
        rate_scale: float | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Classify a recording.

        A recording longer than a clip is cut into clips that start about half a clip apart, see
        :func:`spike_zoo.spikes.windows.consecutive_clips`; their logits are averaged.

        Args:
            recording: The spikes.
            rate_scale: Spikes per plane at white; by default that of the recording; if unknown, 1
                with a warning.
            progress: Called after each clip with its number and the number of clips.

        Returns:
            The probability of every class, float32 ``(classes,)``, on the CPU.
        """
        check_recording(recording)
        centers = consecutive_clips(len(recording), self.clip_length, self.clip_stride)
        scale = rate_scale_of(recording, rate_scale, estimates=False).value
        logits: list[Tensor] = []
        with eval_mode(self), torch.inference_mode():
            for one in self.logits_of_clips(recording, centers, scale):
                logits.append(one)
                if progress is not None:
                    progress(len(logits), len(centers))
        return torch.stack(logits).mean(dim=0).softmax(dim=0)

    def logits_of_clips(
        self, recording: SpikeRecording, centers: Sequence[int], scale: float
    ) -> Iterator[Tensor]:
        """Yield the logits of the clip around each plane, ``(classes,)``, on the CPU."""
        scales = torch.full((1,), scale, device=self.device)
        for center in centers:
            spikes = read_clip(recording, center, self.clip_length, self.device)[None].float()
            yield self(spikes, scales)[0].float().cpu()

    def _check_label(self, label: int, name: str) -> None:
        if not 0 <= label < self.classes:
            raise ConfigError(
                f"recording {name!r} is of class {label}, {type(self).__name__} has "
                f"{self.classes} classes, 0..{self.classes - 1}; set model.init_args.classes to "
                "the archive's, or correct the label"
            )

    def _images(self, batch: LabelledBatch, probabilities: Tensor) -> CaptionedImages:
        """Return the playback of a batch's first clip, with its predicted and true class."""
        origin, spikes = self.origins(batch)[0], batch["spikes"][0]
        predicted, truth = int(probabilities[0].argmax()), int(batch["label"][0])
        percent = 100 * probabilities[0, predicted].item()
        note = f"{self.name_of(predicted)} ({percent:.0f} %), truth {self.name_of(truth)}"
        rate = playback(spikes, batch["rate_scale"][0], len(spikes) // 2, PREVIEW_PLANES)
        times = math.ceil(PREVIEW_WIDTH / rate.shape[1])
        image = rate.repeat_interleave(times, 0).repeat_interleave(times, 1)
        return CaptionedImages(origin, {note: image}, f"{origin.name}-plane{origin.plane}", note)
