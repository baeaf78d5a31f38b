"""Baseline of recognition: a residual network on the playback image (TFP) of 13 planes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from spike_zoo.methods.sci.features.blocks import conv3
from spike_zoo.methods.sci.features.fem import CLIP, WINDOW
from spike_zoo.methods.sci.training.augmentation import apply_affine, check_distort, sample_affine
from spike_zoo.nn.schedules import ScheduleKind, check_schedule
from spike_zoo.tasks.batch import LabelledBatch
from spike_zoo.tasks.recognition import ClassificationModule


class NormalisedBlock(nn.Module):
    """A residual block of two 3x3 convolutions with batch normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv3(channels, channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            conv3(channels, channels),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return non-negative values of the same shape."""
        return (x + self.layers(x)).relu()


class PlaybackClassifier(nn.Module):
    """A residual network on one image, without motion, neighbours or pretrained stages.

    Args:
        classes: Number of classes.
        channels: Channels at full size; twice as many at half and four times at a quarter size.
        blocks: Residual blocks at each size.

    Shape:
        - picture: ``(B, 1, H, W)``.
        - Output: logits ``(B, classes)``.
    """

    def __init__(self, classes: int = 10, channels: int = 32, blocks: int = 3) -> None:
        super().__init__()
        if min(classes - 1, channels, blocks) < 1:
            raise ValueError(
                f"classes, channels and blocks must be at least 2, 1 and 1, got {classes}, "
                f"{channels} and {blocks}"
            )
        widths = [channels, 2 * channels, 4 * channels]
        layers: list[nn.Module] = []
        for before, width in zip([1, *widths], widths, strict=False):
            stride = 1 if before == 1 else 2
            layers += [conv3(before, width, stride=stride), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [NormalisedBlock(width) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(4 * channels, classes)

    def pooled(self, picture: Tensor) -> Tensor:
        """Return the pooled inputs of the last layer, ``(B, 4 channels)``."""
        return self.layers(picture).mean(dim=(-2, -1))

    def forward(self, picture: Tensor) -> Tensor:
        """Return the logits of each picture."""
        return self.head(self.pooled(picture))


class PlaybackRecognitionModule(ClassificationModule):
    """Train :class:`PlaybackClassifier` on playback, the mean of the 13 middle planes of a clip.

    Args:
        classes: Number of classes.
        label_names: Names of the classes, by index.
        channels: See :class:`PlaybackClassifier`.
        blocks: See :class:`PlaybackClassifier`.
        affine_augment: See :class:`SCIRecognitionModule`; here images are distorted.
        label_smoothing: See :class:`ClassificationModule`.
        learning_rate: Learning rate of Adam, betas 0.9 and 0.999.
        schedule: Schedule of the learning rate, see :func:`schedule_factor`.
        warmup: Fraction of the run in which the learning rate rises.
    """

    clip_length = CLIP

    def __init__(
        self,
        classes: int = 10,
        label_names: Sequence[str] = (),
        channels: int = 32,
        blocks: int = 3,
        affine_augment: float = 0.0,
        label_smoothing: float = 0.0,
        learning_rate: float = 1e-3,
        schedule: ScheduleKind = "cosine",
        warmup: float = 0.02,
    ) -> None:
        super().__init__(classes=classes, label_names=label_names, label_smoothing=label_smoothing)
        check_distort(affine_augment)
        check_schedule(schedule, learning_rate, warmup)
        self.save_hyperparameters()
        self.network = PlaybackClassifier(classes, channels, blocks)

    def forward(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        """Return the logits of each clip: ``(B, 41, H, W)`` -> ``(B, classes)``."""
        return self.network(self._playback(spikes, rate_scale))

    def logits(self, batch: LabelledBatch) -> Tensor:
        """Return the logits of a training batch, with augmentation."""
        self.check_batch(batch)
        picture = self._playback(batch["spikes"], batch["rate_scale"])
        if self.hparams["affine_augment"]:
            affine = sample_affine(
                len(picture), self.hparams["affine_augment"], self.generator("clips")
            )
            picture = apply_affine(picture, affine)
        return self.network(picture)

    def features(self, batch: LabelledBatch) -> Tensor:
        """Return the inputs of the last layer for each clip."""
        return self.network.pooled(self._playback(batch["spikes"], batch["rate_scale"]))

    def _playback(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        first = spikes.shape[1] // 2 - WINDOW // 2
        rate = spikes[:, first : first + WINDOW].float().mean(dim=1, keepdim=True)
        return rate / rate_scale.to(rate).view(-1, 1, 1, 1)
