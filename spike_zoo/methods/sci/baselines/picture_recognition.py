"""Baselines of SCI's recognition: a plain network on playback, or on decoded pictures."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from spike_zoo.checkpoints.loading import load
from spike_zoo.errors import ConfigError
from spike_zoo.media import coded_video as video
from spike_zoo.methods.sci.analysis.fam import FAM, gather_analysis_input
from spike_zoo.methods.sci.analysis.recognition import (
    CodedAccuracy,
    apply_affine,
    check_distort,
    clip_features,
    coded_features,
    sample_affine,
)
from spike_zoo.methods.sci.baselines.coded_video import QPS, THRESHOLD, WHITE, as_bytes, check_qps
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.features.blocks import conv3
from spike_zoo.methods.sci.features.fem import CLIP, STEP, WINDOW
from spike_zoo.nn.schedules import ScheduleKind, check_schedule
from spike_zoo.nn.tensor_cache import TensorCache
from spike_zoo.tasks import evaluation as results
from spike_zoo.tasks.batch import LabelledBatch, Split
from spike_zoo.tasks.recognition import ClassificationModule

Coder = Literal["features", "images", "x265", "spikes"]
CENTRES = range(WINDOW // 2, CLIP - WINDOW // 2, STEP)
"""Middle planes of the five pictures of a clip."""


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
    """A residual network on images, without motion, neighbours or pretrained stages.

    Args:
        classes: Number of classes.
        channels: Channels at full size; twice as many at half and four times at a quarter size.
        blocks: Residual blocks at each size.
        pictures: Number of images of a sample.

    Shape:
        - pictures: ``(B, pictures, H, W)``.
        - Output: logits ``(B, classes)``.
    """

    def __init__(
        self, classes: int = 10, channels: int = 32, blocks: int = 3, pictures: int = 1
    ) -> None:
        super().__init__()
        if min(classes - 1, channels, blocks) < 1:
            raise ValueError(
                f"classes, channels and blocks must be at least 2, 1 and 1, got {classes}, "
                f"{channels} and {blocks}"
            )
        widths = [channels, 2 * channels, 4 * channels]
        layers: list[nn.Module] = []
        for before, width in zip([pictures, *widths], widths, strict=False):
            stride = 1 if width == channels else 2
            layers += [conv3(before, width, stride=stride), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [NormalisedBlock(width) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(4 * channels, classes)

    def pooled(self, pictures: Tensor) -> Tensor:
        """Return the pooled inputs of the last layer, ``(B, 4 channels)``."""
        return self.layers(pictures).mean(dim=(-2, -1))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logits of each sample."""
        return self.head(self.pooled(pictures))


class PlaybackRecognitionModule(ClassificationModule):
    """Train :class:`PlaybackClassifier` on playback, the mean of the 13 middle planes of a clip.

    Args:
        classes: Number of classes.
        label_names: Names of the classes, by index.
        channels: See :class:`PlaybackClassifier`.
        blocks: See :class:`PlaybackClassifier`.
        affine_augment: See :class:`SCIRecognitionModule`; here pictures are distorted.
        label_smoothing: See :class:`ClassificationModule`.
        learning_rate: Learning rate of Adam, betas 0.9 and 0.999.
        schedule: Schedule of the learning rate, see :func:`schedule_factor`.
        warmup: Fraction of the run in which the learning rate rises.
    """

    clip_length = CLIP
    pictures = 1  #: number of pictures of a clip

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
        self.network = PlaybackClassifier(classes, channels, blocks, self.pictures)

    def training_pictures(self, batch: LabelledBatch) -> Tensor:
        """Return the pictures of a training batch, ``(B, pictures, H, W)``."""
        return self.images_of(batch["spikes"], batch["rate_scale"])

    def images_of(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        """Return the playback of clips, ``(B, 1, H, W)``."""
        return playback_at(spikes, rate_scale, [spikes.shape[1] // 2])

    def forward(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        """Return the logits of each clip: ``(B, 41, H, W)`` -> ``(B, classes)``."""
        return self.network(self.images_of(spikes, rate_scale))

    def logits(self, batch: LabelledBatch) -> Tensor:
        """Return the logits of a training batch, with augmentation."""
        self.check_batch(batch)
        pictures = self.training_pictures(batch)
        if amount := self.hparams["affine_augment"]:
            affine = sample_affine(len(pictures), amount, self.generator("clips"))
            pictures = apply_affine(pictures, affine)
        return self.network(pictures)

    def features(self, batch: LabelledBatch) -> Tensor | None:
        """Return the inputs of the last layer for each clip."""
        return self.network.pooled(self.images_of(batch["spikes"], batch["rate_scale"]))


class CodedRecognitionModule(PlaybackRecognitionModule):
    """Train :class:`PlaybackClassifier` on five pictures of a clip, which are coded together.

    Coders are thus compared by the accuracy of the same network at the same rate. In training, each
    clip is coded at one rate, which its name selects. A test measures all rates; other metrics are
    those at the highest rate.

    Args:
        coder: What is coded, and the coder. ``"features"``: features, by SCI's codec. ``"images"``:
            images of SCI's analysis, by SCI's codec. ``"x265"``: the same images, by x265.
            ``"spikes"``: planes, by x265; the pictures are playback of 13 decoded planes.
        weights: Name or path for :func:`spike_zoo.load` of SCI with a codec and an analysis of
            images.
        qps: Quantisers of x265, the coarsest first, one for each quality of SCI.
        cache_gib: Memory in GiB for decoded pictures of training; 0 codes them in each epoch.
        options: Arguments of :class:`PlaybackRecognitionModule`.
    """

    pictures = len(CENTRES)

    def __init__(
        self,
        coder: Coder = "images",
        weights: str = "sci",
        qps: Sequence[int] = QPS,
        cache_gib: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if coder not in get_args(Coder):
            raise ConfigError(f"coder: one of {', '.join(get_args(Coder))}, got {coder!r}")
        check_qps("x265", qps)
        if len(qps) != QUALITIES:
            raise ConfigError(f"qps: {QUALITIES}, one for each quality, got {list(qps)}")
        self.save_hyperparameters()
        self.coder, self.qps = coder, tuple(qps)
        self._cache = TensorCache(cache_gib)
        self.coded = CodedAccuracy()

    def setup(self, stage: str) -> None:
        """Check that x265 is available, read the weights of SCI, and check the data."""
        if self.coder in ("x265", "spikes"):
            video.codec_of("x265")
        self._codec  # noqa: B018  (an error before the first batch)
        super().setup(stage)

    @functools.cached_property
    def _codec(self) -> SCICodec:
        """SCI's networks; not a submodule, so that checkpoints do not contain them."""
        codec = getattr(load(self.hparams["weights"]), "codec", None)
        is_codec = isinstance(codec, SCICodec) and codec.codec_networks is not None
        if codec is None or not (is_codec and isinstance(codec.fam, FAM)):
            raise ConfigError(
                f"weights: {self.hparams['weights']} is not of SCI with a codec and an analysis of "
                "images; name sci, or a checkpoint of stage 'joint'"
            )
        return cast("SCICodec", codec).requires_grad_(False).eval()

    def training_pictures(self, batch: LabelledBatch) -> Tensor:
        """Return the decoded pictures of a training batch, each clip at the rate of its name."""
        points = [zlib.crc32(name.encode()) % QUALITIES for name in batch["name"]]

        def compute(places: list[int]) -> Tensor:
            clips: dict[int, Tensor] = {}
            for point in {points[place] for place in places}:
                same = [place for place in places if points[place] == point]
                pictures, _ = self.decoded(batch["spikes"][same], batch["rate_scale"][same], point)
                clips.update(zip(same, pictures, strict=True))
            return torch.stack([clips[place] for place in places])

        keys = [*zip(batch["name"], batch["plane"].tolist(), strict=True)]
        with torch.no_grad():
            return self._cache(keys, compute, batch["spikes"].device)

    def features(self, batch: LabelledBatch) -> None:
        """Return None: a map of the features would code each clip once more."""

    def images_of(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        """Return the pictures of clips after coding at the highest rate."""
        return self.decoded(spikes, rate_scale, QUALITIES - 1)[0]

    def decoded(self, spikes: Tensor, rate_scale: Tensor, point: int) -> tuple[Tensor, list[int]]:
        """Code clips ``(B, 41, H, W)`` at a rate point.

        Returns:
            The decoded pictures ``(B, 5, H, W)``, and the bytes of each clip's bitstream.
        """
        if self.coder == "spikes":
            planes, n_bytes = self._by_x265(spikes, point)
            return playback_at(planes >= THRESHOLD, rate_scale, CENTRES), n_bytes
        codec = self._codec.to(spikes.device)
        features = clip_features(codec, spikes, rate_scale)
        if self.coder != "features":  # images, in all channels
            motion, fam = codec.backward_flow(features), cast("FAM", codec.fam)
            inputs = (gather_analysis_input(features, motion, n) for n in range(self.pictures))
            images = torch.stack([fam(*parts).clamp(0.0, 1.0) for parts in inputs], dim=1)
            features = images.expand_as(features)
        if self.coder == "x265":
            pictures, n_bytes = self._by_x265(features[:, :, 0], point)
            return pictures / WHITE, n_bytes
        coded = coded_features(codec, features, point)
        return coded.features.mean(dim=2), coded.n_bytes

    def _by_x265(self, frames: Tensor, point: int) -> tuple[Tensor, list[int]]:
        """Code each sample of frames ``(B, N, H, W)`` in [0, 1]; return bytes and sizes."""
        coded = [video.encode_video(clip, "x265", self.qps[point]) for clip in as_bytes(frames)]
        decoded = torch.stack([torch.from_numpy(video.decode_video(clip)) for clip in coded])
        return decoded.to(frames.device), [clip.n_bytes for clip in coded]

    def evaluate(self, batch: LabelledBatch, split: Split, batch_idx: int) -> results.Evaluation:
        """Classify a batch at the highest rate and, in a test, at every rate."""
        evaluation = super().evaluate(batch, split, batch_idx)
        values = dict(evaluation.values)
        for point in range(QUALITIES) if split == "test" else ():
            pictures, n_bytes = self.decoded(batch["spikes"], batch["rate_scale"], point)
            is_correct = self.network(pictures).argmax(dim=1) == batch["label"]
            values[f"accuracy_q{point}"] = self.coded.add(
                point, is_correct, n_bytes, batch["spikes"]
            )
        return evaluation._replace(values=values)

    def on_test_epoch_end(self) -> None:
        """Log the metrics of classes, and accuracy and bits at each rate."""
        super().on_test_epoch_end()
        values, self.evaluator.curves = self.coded.results()
        self.log_dict({f"test/{name}": value for name, value in values.items()})


def playback_at(spikes: Tensor, rate_scale: Tensor, centres: Sequence[int]) -> Tensor:
    """Return the mean of 13 planes around each centre, ``(B, T, H, W)`` -> ``(B, n, H, W)``."""
    half = WINDOW // 2
    windows = [spikes[:, centre - half : centre + half + 1].float() for centre in centres]
    rate = torch.stack([window.mean(dim=1) for window in windows], dim=1)
    return rate / rate_scale.to(rate).view(-1, 1, 1, 1)
