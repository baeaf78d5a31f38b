"""SCI's recognition from uncoded or decoded features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric, MetricCollection

from spike_zoo.coding import rans
from spike_zoo.coding.header import file_bytes
from spike_zoo.methods.sci.analysis.fam import AnalysisInput, ClassFAM, gather_analysis_input
from spike_zoo.methods.sci.codec.bitstream import check_exact, codec_networks_of, exact_context
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.codec.frames import encode_frames, stack_frames
from spike_zoo.methods.sci.codec.networks import FeatureStream
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.codec.symbols import SymbolEncoder
from spike_zoo.methods.sci.features.fem import CLIP, STEP
from spike_zoo.methods.sci.training.options import DECODED, NETWORKS, STAGES, NetworkOptions
from spike_zoo.methods.sci.training.stage_module import StagedModule
from spike_zoo.metrics import rate as rates
from spike_zoo.metrics.image import MeanOfValues
from spike_zoo.nn.precision import fast_precision
from spike_zoo.nn.schedules import ScheduleKind
from spike_zoo.nn.tensor_cache import TensorCache
from spike_zoo.spikes.recording import SpikeRecording
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
    clip_stride = CLIP // 2 // STEP * STEP + STEP  # clips share features, which are 7 planes apart

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
        super().__init__(classes=classes, label_names=label_names, label_smoothing=label_smoothing)
        check_distort(affine_augment)
        self.save_hyperparameters()
        self.train_stage(DECODED if joint else STAGES["fam"], networks, classes)
        self._cache = TensorCache(cache_gib)
        self.coded = CodedAccuracy()

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Return the logits of each clip: ``(B, 41, H, W)`` -> ``(B, classes)``."""
        return self.codec(spikes, rate_scale)

    def logits_of_clips(
        self, recording: SpikeRecording, centers: Sequence[int], scale: float
    ) -> Iterator[Tensor]:
        """Yield the logits of each clip, in bf16 on a CPU that is faster in it."""
        stream = FeatureStream(self.codec, recording, scale)
        for center in centers:
            with fast_precision(self.device):
                logits = self._fam(*stream.analysis_input(center))
            yield logits[0].float().cpu()

    def logits(self, batch: LabelledBatch) -> Tensor:
        """Return the logits of a training batch; features and motion may come from the cache."""
        self.check_batch(batch)
        generator, quality = self.generator("clips"), None
        if self.codec.codec_networks is not None:
            quality = int(torch.randint(QUALITIES, (), generator=generator))
        with torch.no_grad():
            features, motions = self._analysed(batch, quality)
            amount = self.hparams["affine_augment"]
            if amount:
                affine = sample_affine(len(features), amount, generator)
                features = apply_affine(features, affine)
                motions = apply_affine_to_flow(motions, affine)
        return self._fam(features.clone(), motions.clone())

    def _analysed(self, batch: LabelledBatch, quality: int | None) -> AnalysisInput:
        """Return the input of the analysis, computed once for each clip and quality.

        The key of a clip is its recording and its middle plane, so clips must not be cropped or
        turned.
        """
        codec, clips = self.codec, zip(batch["name"], batch["plane"].tolist(), strict=True)

        def compute(indices: list[int]) -> Tensor:
            spikes, scales = batch["spikes"][indices], batch["rate_scale"][indices]
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
        values, spikes = dict(evaluation.values), batch["spikes"]
        is_coded = split == "test" and self.codec.codec_networks is not None
        for quality in range(QUALITIES) if is_coded else ():
            coded = coded_clips(self.codec, spikes, batch["rate_scale"], quality)
            is_correct = self._fam(*coded.analysis).argmax(dim=1) == batch["label"]
            values[f"accuracy_q{quality}"] = self.coded.add(
                quality, is_correct, coded.n_bytes, spikes
            )
        return evaluation._replace(values=values)

    def on_test_epoch_end(self) -> None:
        """Log the metrics of classes and, with a codec, accuracy and bits at each quality.

        The decrease of accuracy is relative to the same analysis of uncoded features.
        """
        evaluator: Any = self.evaluator
        accuracy = float(evaluator.metrics_of("test")["accuracy"].compute())
        super().on_test_epoch_end()
        if self.codec.codec_networks is None:
            return
        values, self.evaluator.curves = self.coded.results()
        for quality in range(QUALITIES):
            points, percent = rates.accuracy_decrease(accuracy, values[f"accuracy_q{quality}"])
            values[f"accuracy_decrease_q{quality}"] = points
            if accuracy > 0:
                values[f"accuracy_decrease_percent_q{quality}"] = percent
        self.log_dict({f"test/{name}": value for name, value in values.items()})

    def features(self, batch: LabelledBatch) -> Tensor:
        """Return the inputs of the last layer for each clip, ``(B, C)``."""
        return self._fam.pooled(*self.codec.analysis_input(batch["spikes"], batch["rate_scale"]))

    @property
    def _fam(self) -> ClassFAM:
        return cast("ClassFAM", self.codec.fam)


class CodedAccuracy(MetricCollection):
    """Accuracy and bits per pixel and plane of coded clips at each quality."""

    def __init__(self) -> None:
        names = [f"{name}_q{q}" for name in ("accuracy", "bpp") for q in range(QUALITIES)]
        means: dict[str, Metric | MetricCollection] = {name: MeanOfValues() for name in names}
        super().__init__(means, compute_groups=False)

    def add(
        self, quality: int, is_correct: Tensor, n_bytes: Sequence[int], spikes: Tensor
    ) -> Tensor:
        """Add clips ``(B, T, H, W)``; return the accuracy of each, 0 or 1, on the CPU."""
        shape = spikes.shape[1], spikes.shape[2], spikes.shape[3]
        correct = is_correct.float().cpu()
        self[f"accuracy_q{quality}"].update(correct)
        self[f"bpp_q{quality}"].update(torch.tensor([rates.bpp(count, shape) for count in n_bytes]))
        return correct

    def results(self) -> tuple[dict[str, float], dict[str, list[tuple[float, float]]]]:
        """Return the means with the saved bits, and the curve of accuracy; reset the metrics."""
        values = {name: float(metric.compute()) for name, metric in self.items()}
        self.reset()
        for quality in range(QUALITIES):
            values[f"bit_saving_q{quality}"] = rates.bit_saving(values[f"bpp_q{quality}"])
        pairs = [(values[f"bpp_q{q}"], values[f"accuracy_q{q}"]) for q in range(QUALITIES)]
        return values, {"rate_distortion/accuracy": pairs}


class CodedClips(NamedTuple):
    """A batch of clips, coded and decoded."""

    features: Tensor  # decoded, (B, N, 3, H, W)
    motion: Tensor  # decoded, from each feature to the previous one, (B, N, 2, H, W)
    n_bytes: list[int]  # of the complete file of each clip

    @property
    def analysis(self) -> AnalysisInput:
        """Input of the analysis of the middle feature."""
        return gather_analysis_input(self.features, self.motion, self.features.shape[1] // 2)


def coded_clips(codec: SCICodec, spikes: Tensor, rate_scale: Tensor, quality: int) -> CodedClips:
    """Encode and decode the features of clips ``(B, T, H, W)`` of at least 41 planes."""
    check_exact(codec)
    return coded_features(codec, clip_features(codec, spikes, rate_scale), quality)


def clip_features(codec: SCICodec, spikes: Tensor, rate_scale: Tensor) -> Tensor:
    """Return the features of clips ``(B, T, H, W)`` as an encoder computes them."""
    with exact_context(spikes.device), fast_precision(spikes.device):
        return codec.features(spikes, rate_scale).float()


def coded_features(codec: SCICodec, features: Tensor, quality: int) -> CodedClips:
    """Encode and decode features ``(B, N, 3, H, W)``, each sample as one group of pictures.

    The encoder's closed loop yields the decoded features, so the bitstreams are not read.
    """
    coding = codec_networks_of(codec)
    check_exact(codec)
    encoders = [rans.GroupEncoder() for _ in features]
    with exact_context(features.device):
        options: Any = {"estimation": codec.motion, "weight": codec.rd_weights[quality]}
        symbols = SymbolEncoder(*encoders)
        frames = encode_frames(coding, symbols, features.unbind(1), quality, **options)
        decoded, motion = stack_frames(coding, list(frames))
    return CodedClips(decoded, motion, [file_bytes([coder.finish()]) for coder in encoders])


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


def apply_affine_to_flow(motions: Tensor, distortion: Tensor) -> Tensor:
    """Transform motions ``(B, n, 2, H, W)`` in pixels together with the images of a sample.

    Vectors are multiplied by the inverse of the linear part.
    """
    inverse = torch.linalg.inv(distortion[:, :, :2]).to(motions)
    return torch.einsum("bij,bnjhw->bnihw", inverse, apply_affine(motions, distortion))
