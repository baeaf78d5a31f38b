"""Training and evaluation of SCI's recognition, from uncoded or decoded features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from spike_zoo.coding import rans
from spike_zoo.coding.header import file_bytes
from spike_zoo.methods.sci.analysis.fam import AnalysisInput, ClassFAM, gather_analysis_input
from spike_zoo.methods.sci.codec.bitstream import check_exact, coding_of, exact_context
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.codec.frames import encode_frames, stack_frames
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.codec.symbols import SymbolEncoder
from spike_zoo.methods.sci.features.fem import CLIP
from spike_zoo.methods.sci.training.augmentation import (
    apply_affine,
    apply_affine_to_motion,
    check_distort,
    sample_affine,
)
from spike_zoo.methods.sci.training.options import NETWORKS, NetworkOptions
from spike_zoo.methods.sci.training.stage_module import StagedModule, arguments_of
from spike_zoo.methods.sci.training.stage_table import DECODED, STAGES
from spike_zoo.metrics import rate as rates
from spike_zoo.metrics.image import MeanOfValues
from spike_zoo.nn.schedules import ScheduleKind
from spike_zoo.nn.tensor_cache import TensorCache
from spike_zoo.tasks.batch import LabelledBatch, Split
from spike_zoo.tasks.evaluation import Evaluation
from spike_zoo.tasks.recognition import ClassificationModule


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
            :func:`sample_affine`. Features and motion are apply_affine, not spikes.
        label_smoothing: See :class:`ClassificationModule`.
        learning_rate: Learning rate of Adam, betas 0.9 and 0.999.
        schedule: Schedule of the learning rate, see :func:`schedule_factor`.
        cache_gib: Memory in GiB for frozen features and motion in half precision, which are equal
            in every epoch; 0 computes them each time.

    Source: *A Joint Visual Compression and Perception Framework for Neuralmorphic Spiking Camera*,
    Sec. V; the layers of the analysis are ours.
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
                features, motions = (
                    apply_affine(features, affine),
                    apply_affine_to_motion(motions, affine),
                )
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

    def evaluate(self, batch: LabelledBatch, split: Split, batch_idx: int) -> Evaluation:
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
    """A batch of clips, coded and decoded.

    Attributes:
        analysis: Input of the analysis, around the decoded middle feature.
        n_bytes: Size of the complete file of each clip.
    """

    analysis: AnalysisInput
    n_bytes: list[int]


def coded_clips(codec: SCICodec, spikes: Tensor, rate_scale: Tensor, quality: int) -> CodedClips:
    """Encode and decode the features of clips, each as a bitstream of one group of pictures.

    The encoder's closed loop yields the decoded features, so the bitstreams are not read.

    Args:
        codec: Finalised, with a coder.
        spikes: ``(B, T, H, W)``, T at least 41.
        rate_scale: Spikes per plane at white, ``(B,)``.
        quality: 0 to 3.
    """
    coding = coding_of(codec)
    check_exact(codec)
    encoders = [rans.GroupEncoder() for _ in spikes]
    with exact_context(spikes.device):
        features = codec.features(spikes, rate_scale).float()
        frames = encode_frames(
            coding,
            SymbolEncoder(*encoders),
            features.unbind(1),
            quality,
            estimation=codec.motion,
            weight=codec.lambdas[quality],
        )
        decoded, motion = stack_frames(coding, list(frames))
        analysis = gather_analysis_input(decoded, motion, features.shape[1] // 2)
    return CodedClips(analysis, [file_bytes([encoder.finish()]) for encoder in encoders])
