"""Base class of methods that classify clips of spikes."""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from spike_zoo.errors import ConfigError
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.spikes.rate_scale import rate_scale_of
from spike_zoo.spikes.recording import SpikeRecording, check_recording
from spike_zoo.spikes.windows import consecutive_clips
from spike_zoo.tasks.base import MethodModule
from spike_zoo.tasks.batch import LabelledBatch
from spike_zoo.tasks.clips import read_clip
from spike_zoo.tasks.evaluators.recognition import RecognitionEvaluator

MIN_CLASSES = 2


class ClassificationModule(MethodModule):
    """Base class of methods that classify clips of spikes.

    A subclass sets :attr:`clip_length`, defines :meth:`forward` and ``configure_optimizers``, and
    may override :meth:`terms` and :meth:`features`.

    Args:
        classes: Number of classes.
        label_names: Names of the classes, by index. They are not copied from the data.
        label_smoothing: Fraction of each label spread over all classes in the cross entropy.

    Raises:
        ConfigError: If there are fewer than 2 classes, another number of names than classes, or a
            smoothing outside [0, 1).
    """

    evaluator_class: ClassVar[type[RecognitionEvaluator]] = RecognitionEvaluator
    monitor = "val/accuracy"
    clip_stride: int | None = None  #: planes between clips of a recording; None: half a clip

    def __init__(
        self, *, classes: int, label_names: Sequence[str] = (), label_smoothing: float = 0.0
    ) -> None:
        if classes < MIN_CLASSES:
            raise ConfigError(f"classes: at least {MIN_CLASSES}, got {classes}")
        if label_names and len(label_names) != classes:
            raise ConfigError(
                f"label_names: {len(label_names)} names for {classes} classes; give one for each, "
                "in the order of their indices, or none"
            )
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"label_smoothing: from 0 to less than 1, got {label_smoothing}")
        super().__init__(self.evaluator_class(classes, label_names))
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

    def logits(self, batch: LabelledBatch) -> Tensor:
        """Check a batch with :meth:`check_batch` and return its logits, the input of losses."""
        self.check_batch(batch)
        return self(batch["spikes"], batch["rate_scale"])

    def check_batch(self, batch: LabelledBatch) -> None:
        """Raise ConfigError for clips of another length, and for labels of unknown classes."""
        self.check_clip(batch["spikes"].shape[1])
        for label, name in zip(batch["label"].tolist(), batch["name"], strict=True):
            self.check_label(label, name)  # on a GPU an unknown label aborts the process

    def terms(self, batch: LabelledBatch) -> dict[str, Tensor]:
        """Return the cross entropy of a batch as ``"total"``, and its accuracy."""
        logits = self.logits(batch)
        loss = F.cross_entropy(logits, batch["label"], label_smoothing=self.label_smoothing)
        accuracy = (logits.argmax(dim=1) == batch["label"]).float().mean()
        return {"total": loss, "accuracy": accuracy}

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

    def check_label(self, label: int, name: str) -> None:
        """Raise ConfigError if a recording is of a class that the method does not have."""
        if not 0 <= label < self.classes:
            raise ConfigError(
                f"recording {name!r} is of class {label}, {type(self).__name__} has "
                f"{self.classes} classes, 0..{self.classes - 1}; set model.init_args.classes to "
                "the archive's, or correct the label"
            )
