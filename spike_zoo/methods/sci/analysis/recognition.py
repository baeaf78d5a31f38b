"""SCI's recognition from uncoded or decoded features, and its baseline on playback images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric, MetricCollection

from spike_zoo.coding import rans
from spike_zoo.coding.header import file_bytes
from spike_zoo.methods.sci.analysis.fam import AnalysisInput, ClassFAM, gather_analysis_input
from spike_zoo.methods.sci.codec.bitstream import check_exact, coding_of, exact_context
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.codec.frames import encode_frames, stack_frames
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.codec.symbols import SymbolEncoder
from spike_zoo.methods.sci.features.blocks import conv3
from spike_zoo.methods.sci.features.fem import CLIP, WINDOW
from spike_zoo.methods.sci.training.options import DECODED, NETWORKS, STAGES, NetworkOptions
from spike_zoo.methods.sci.training.stage_module import StagedModule, arguments_of
from spike_zoo.metrics import rate as rates
from spike_zoo.metrics.image import MeanOfValues
from spike_zoo.nn.precision import fast_precision
from spike_zoo.nn.schedules import ScheduleKind, check_schedule
from spike_zoo.nn.tensor_cache import TensorCache
from spike_zoo.tasks import evaluation as results
from spike_zoo.tasks.batch import LabelledBatch, Split
from spike_zoo.tasks.recognition import ClassificationModule

TURN = math.pi / 2  # largest rotation in radians, for an amount of 1
_SHIFT = 0.8  # largest translation in halves of the shorter side, for an amount of 1


class SCIRecognitionModule(StagedModule, ClassificationModule):
    """Stage ``fam`` of recognition: train :class:`ClassFAM` on frozen features and motion.

    FEM and motion estimation were trained for reconstruction, without labels.

    Args:
        classes: Number of classes.
        label_names: Names of the classes, by index.
        fem: Checkpoint of stage ``"fem"`` to start from; read at the start of a fit.
        motion: Checkpoint of stage ``"motion"``, likewise.
        networks: Architecture, see :class:`NetworkOptions`; the analysis is :class:`ClassFAM`.
        joint: Checkpoint of stage ``"joint"``. Classes are then predicted from features that its
            codec decoded, at a random quality for each batch. None has no codec.
        fam: Checkpoint of this module without a codec to start from; read only with ``joint``.
        affine_augment: Amount of rotation, scaling, shear and translation in training, see
            :func:`sample_affine`. Features and motion are transformed, not spikes.
        label_smoothing: See :class:`ClassificationModule`.
        learning_rate: Learning rate of Adam, betas 0.9 and 0.999.
        schedule: Schedule of the learning rate, see :func:`schedule_factor`.
        cache_gib: Memory in GiB for frozen features and motion in half precision, which are equal
            in every epoch; 0 computes them each time.

    Source: Sec. V of the paper; the layers are ours.
    """

    stage = "fam"
    clip_length = CLIP

    def __init__(
        self,
        classes: int = 10,
        label_names: Sequence[str] = (),
        fem: str | None = None,
        motion: str | None = None,
        networks: NetworkOptions = NETWORKS,
        joint: str | None = None,
        fam: str | None = None,
        affine_augment: float = 0.0,
        label_smoothing: float = 0.0,
        learning_rate: float = 2e-4,
        schedule: ScheduleKind = "cosine",
        cache_gib: float = 0.0,
    ) -> None:
        arguments = arguments_of(locals())
        super().__init__(classes=classes, label_names=label_names, label_smoothing=label_smoothing)
        check_distort(affine_augment)
        self.train_stage(DECODED if joint else STAGES["fam"], arguments, classes)
        self._cache = TensorCache(cache_gib)
        names = [f"{name}_q{q}" for name in ("accuracy", "bpp") for q in range(QUALITIES)]
        means: dict[str, Metric | MetricCollection] = {name: MeanOfValues() for name in names}
        self.coded = MetricCollection(means, compute_groups=False)

    def forward(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        """Return the logits of each clip: ``(B, 41, H, W)`` -> ``(B, classes)``."""
        return self.codec(spikes, rate_scale)

    def logits(self, batch: LabelledBatch) -> Tensor:
        """Return the logits of a training batch; features and motion may come from the cache."""
        self.check_batch(batch)
        generator, quality = self.generator("clips"), None
        if self.codec.coding is not None:
            quality = int(torch.randint(QUALITIES, (), generator=generator))
        with torch.no_grad():
            features, motions = self._analysed(batch, quality)
            amount = self.hparams["affine_augment"]
            if amount:
                affine = sample_affine(len(features), amount, generator)
                features = apply_affine(features, affine)
                motions = apply_affine_to_motion(motions, affine)
        return self._fam(features.clone(), motions.clone())

    def _analysed(self, batch: LabelledBatch, quality: int | None) -> AnalysisInput:
        """Return the input of the analysis, computed once for each clip and quality.

        The key of a clip is its recording and its middle plane, so clips must not be cropped or
        turned.
        """
        codec, clips = self.codec, zip(batch["name"], batch["plane"].tolist(), strict=True)

        def compute(places: list[int]) -> Tensor:
            spikes, scales = batch["spikes"][places], batch["rate_scale"][places]
            if quality is None:
                parts = codec.analysis_input(spikes, scales)
            else:
                parts = coded_clips(codec, spikes, scales, quality).analysis
            return torch.cat([part.flatten(1, 2) for part in parts], dim=1)

        keys = [(*clip, quality) for clip in clips]
        joined = self._cache(keys, compute, batch["spikes"].device)
        features, motions = joined.split([15, 8], dim=1)  # 5 x 3 and 4 x 2 channels
        return AnalysisInput(features.unflatten(1, (5, 3)), motions.unflatten(1, (4, 2)))

    def evaluate(self, batch: LabelledBatch, split: Split, batch_idx: int) -> results.Evaluation:
        """Classify a batch and, in a test, also after coding at each quality."""
        evaluation = super().evaluate(batch, split, batch_idx)
        if split == "test" and self.codec.coding is not None:
            for quality in range(QUALITIES):
                self._evaluate_coded(batch, quality)
        return evaluation

    def _evaluate_coded(self, batch: LabelledBatch, quality: int) -> None:
        spikes = batch["spikes"]
        coded = coded_clips(self.codec, spikes, batch["rate_scale"], quality)
        is_correct = (self._fam(*coded.analysis).argmax(dim=1) == batch["label"]).float()
        shape = spikes.shape[1], spikes.shape[2], spikes.shape[3]
        densities = torch.tensor([rates.bpp(count, shape) for count in coded.n_bytes])
        self.coded[f"accuracy_q{quality}"].update(is_correct.cpu())
        self.coded[f"bpp_q{quality}"].update(densities)

    def on_test_epoch_end(self) -> None:
        """Log the metrics of classes and, with a codec, accuracy and bits at each quality.

        The decrease of accuracy is relative to the same analysis of uncoded features.
        """
        accuracy = float(cast("MetricCollection", self.split_metrics["test"])["accuracy"].compute())
        super().on_test_epoch_end()
        if self.codec.coding is None:
            return
        values = {name: float(metric.compute()) for name, metric in self.coded.items()}
        self.coded.reset()
        for quality in range(QUALITIES):
            points, percent = rates.accuracy_decrease(accuracy, values[f"accuracy_q{quality}"])
            values[f"accuracy_decrease_q{quality}"] = points
            if accuracy > 0:
                values[f"accuracy_decrease_percent_q{quality}"] = percent
            values[f"bit_saving_q{quality}"] = rates.bit_saving(values[f"bpp_q{quality}"])
        self.log_dict({f"test/{name}": value for name, value in values.items()})
        pairs = [(values[f"bpp_q{q}"], values[f"accuracy_q{q}"]) for q in range(QUALITIES)]
        self.curves = {"rate_distortion/accuracy": pairs}

    def features(self, batch: LabelledBatch) -> Tensor:
        """Return the inputs of the last layer for each clip, ``(B, C)``."""
        return self._fam.pooled(*self.codec.analysis_input(batch["spikes"], batch["rate_scale"]))

    @property
    def _fam(self) -> ClassFAM:
        return cast("ClassFAM", self.codec.fam)


class CodedClips(NamedTuple):
    """A batch of clips, coded and decoded."""

    analysis: AnalysisInput  # around the decoded middle feature
    n_bytes: list[int]  # of the complete file of each clip


def coded_clips(codec: SCICodec, spikes: Tensor, rate_scale: Tensor, quality: int) -> CodedClips:
    """Encode and decode the features of clips, each as a bitstream of one group of pictures.

    The encoder's closed loop yields the decoded features, so the bitstreams are not read. Clips
    ``(B, T, H, W)`` have at least 41 planes.
    """
    coding = coding_of(codec)
    check_exact(codec)
    encoders = [rans.GroupEncoder() for _ in spikes]
    with exact_context(spikes.device):
        with fast_precision(spikes.device):  # as in bitstreams
            features = codec.features(spikes, rate_scale).float()
        options: Any = {"estimation": codec.motion, "weight": codec.lambdas[quality]}
        symbols = SymbolEncoder(*encoders)
        frames = encode_frames(coding, symbols, features.unbind(1), quality, **options)
        decoded, motion = stack_frames(coding, list(frames))
        analysis = gather_analysis_input(decoded, motion, features.shape[1] // 2)
    return CodedClips(analysis, [file_bytes([encoder.finish()]) for encoder in encoders])


def check_distort(amount: float) -> None:
    """Raise unless an amount is from 0 to 1."""
    if not 0 <= amount <= 1:
        raise ValueError(f"affine_augment must be from 0 to 1, got {amount}")


def sample_affine(count: int, amount: float, generator: torch.Generator) -> Tensor:
    """Draw a random affine transform for each sample: rotation, scaling, shear and translation.

    Args:
        count: B, number of samples.
        amount: Strength. 0.15 rotates by up to 13 degrees, scales each axis by up to 16 %, shears
            by up to 0.15 and translates by up to 6 % of the shorter side.
        generator: Random generator on the CPU.

    Returns:
        ``(B, 2, 3)``, from output to input coordinates, in units of half the shorter side with the
        origin at the centre.
    """
    values = amount * (2 * torch.rand(count, 6, generator=generator) - 1)
    turn, scale_x, scale_y, shear = (values[:, n] for n in range(4))
    cosine, sine, zeros = (TURN * turn).cos(), (TURN * turn).sin(), torch.zeros(count)
    rotation = torch.stack([cosine, -sine, sine, cosine], dim=1).view(-1, 2, 2)
    scaling = torch.stack([scale_x.exp(), shear, zeros, scale_y.exp()], dim=1).view(-1, 2, 2)
    return torch.cat([rotation @ scaling, _SHIFT * values[:, 4:, None]], dim=2)


def apply_affine(images: Tensor, distortion: Tensor) -> Tensor:
    """Apply :func:`sample_affine`'s transforms to ``(B, ..., H, W)``, replicating borders."""
    height, width = images.shape[-2:]
    # affine_grid() has coordinates in halves of each side, not of the shorter side
    halves = torch.tensor([width, height]) / min(width, height)
    linear = distortion[:, :, :2] * halves[None, None, :] / halves[None, :, None]
    translation = distortion[:, :, 2:] / halves[None, :, None]
    flat = images.flatten(1, -3)
    theta = torch.cat([linear, translation], dim=2).to(images)
    grid = F.affine_grid(theta, [len(flat), 1, height, width], align_corners=False)
    outputs = F.grid_sample(flat, grid, padding_mode="border", align_corners=False)
    return outputs.view_as(images)


def apply_affine_to_motion(motions: Tensor, distortion: Tensor) -> Tensor:
    """Transform motions ``(B, n, 2, H, W)`` in pixels together with the images of a sample.

    Vectors are multiplied by the inverse of the linear part.
    """
    inverse = torch.linalg.inv(distortion[:, :, :2]).to(motions)
    return torch.einsum("bij,bnjhw->bnihw", inverse, apply_affine(motions, distortion))


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
        if amount := self.hparams["affine_augment"]:
            affine = sample_affine(len(picture), amount, self.generator("clips"))
            picture = apply_affine(picture, affine)
        return self.network(picture)

    def features(self, batch: LabelledBatch) -> Tensor:
        """Return the inputs of the last layer for each clip."""
        return self.network.pooled(self._playback(batch["spikes"], batch["rate_scale"]))

    def _playback(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        first = spikes.shape[1] // 2 - WINDOW // 2
        rate = spikes[:, first : first + WINDOW].float().mean(dim=1, keepdim=True)
        return rate / rate_scale.to(rate).view(-1, 1, 1, 1)
