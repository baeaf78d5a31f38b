"""Recognition with SCI: the same features and motion, analysed for a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from spike_zoo.methods.sci.analysis.alignment import Align
from spike_zoo.methods.sci.analysis.fam import ClassFAM
from spike_zoo.methods.sci.baselines.coded_clips import coded_clips
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.codec.frames import CodecNetworks
from spike_zoo.methods.sci.codec.inter import Context, TemporalPrior
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.features.feature_cache import CachedAnalysis
from spike_zoo.methods.sci.features.fem import FEM, Fusion, Pathway
from spike_zoo.methods.sci.features.motion_estimation import MotionEstimation
from spike_zoo.methods.sci.features.windows import CLIP
from spike_zoo.methods.sci.training.augmentation import (
    check_distort,
    distorted,
    distorted_motions,
    drawn_distortion,
)
from spike_zoo.methods.sci.training.stage_module import StagedModule
from spike_zoo.methods.sci.training.stage_table import DECODED, STAGES, without
from spike_zoo.metrics.image import MeanOfValues
from spike_zoo.metrics.rate import accuracy_decrease, bit_saving, bpp
from spike_zoo.nn.schedules import ScheduleKind, check_schedule
from spike_zoo.tasks.recognition import ClassificationModule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.batch import LabelledBatch, Split
    from spike_zoo.tasks.evaluation import Evaluation


class SCIRecognitionModule(StagedModule, ClassificationModule):
    """Train SCI's analysis of classes on frozen features: stage ``"fam"`` of another task.

    FEM and motion estimation are those that were trained on pictures; they see no label.

    Args:
        classes: How many there are.
        label_names: What they are called, by index.
        fem: Checkpoint of stage ``"fem"`` to begin from; read when a fit begins.
        motion: Checkpoint of stage ``"motion"``, likewise.
        fem_width: Width of FEM; 1 is the paper's, for all widths.
        codec_width: Width of motion estimation.
        fam_width: Width of :class:`ClassFAM`.
        pathway: See :class:`FEM`, and so up to ``binarize``.
        pfu: See there.
        attention: See there.
        binarize: See there.
        align: See :class:`FAM`.
        neighbors: See there.
        joint: Checkpoint of stage ``"joint"``: classes are told from features that went through its
            codec, at a quality that every batch draws. None, the default, has no codec.
        fam: Checkpoint of this module without a codec, to begin from; read with ``joint`` alone.
        context: See :class:`Inter`, of ``joint``, and so up to ``fmvr``.
        temporal_prior: See there.
        fmvr: Whether decoded motion is refined.
        scale_input: See :class:`SCICodec`.
        affine_augment: How much clips are turned, enlarged, sheared and moved in training, see
            :func:`drawn_distortion`; their features and motion are, not their spikes.
        label_smoothing: See :class:`ClassificationModule`.
        learning_rate: Of Adam, betas 0.9 and 0.999.
        schedule: How it moves over the run, see :func:`schedule_factor`.
        warmup: Fraction of the run in which it rises.
        cache_gib: Memory for frozen features and motion, which every epoch sees again, as half
            floats; 0 makes them anew each time.

    Raises:
        ValueError: If an argument is outside its range.

    Source: *A Joint Visual Compression and Perception Framework for Neuralmorphic Spiking Camera*,
    Sec. V; the layers of the analysis are this project's.
    """

    clip_length = CLIP

    def __init__(
        self,
        classes: int = 10,
        label_names: Sequence[str] = (),
        fem: str | None = None,
        motion: str | None = None,
        fem_width: float = 1.0,
        codec_width: float = 1.0,
        fam_width: float = 1.0,
        pathway: Pathway = "dual",
        pfu: Fusion = "pfu",
        attention: bool = True,
        binarize: bool = True,
        align: Align = "afr",
        neighbors: int = 4,
        joint: str | None = None,
        fam: str | None = None,
        context: Context = "condition",
        temporal_prior: TemporalPrior = "full",
        fmvr: bool = True,
        scale_input: bool = True,
        affine_augment: float = 0.0,
        label_smoothing: float = 0.0,
        learning_rate: float = 2e-4,
        schedule: ScheduleKind = "cosine",
        warmup: float = 0.02,
        cache_gib: float = 0.0,
    ) -> None:
        super().__init__(classes=classes, label_names=label_names, label_smoothing=label_smoothing)
        check_distort(affine_augment)
        check_schedule(schedule, learning_rate, warmup)
        self.save_hyperparameters()
        codec = SCICodec(
            FEM(fem_width, pathway, pfu, attention=attention, binarize=binarize),
            MotionEstimation(codec_width),
            ClassFAM(classes, align, neighbors, fam_width),
            CodecNetworks.of_width(codec_width, context, temporal_prior, fmvr=fmvr)
            if joint
            else None,
            scale_input=scale_input,
        )
        row = DECODED if joint else STAGES["fam"]
        if joint and not fmvr:
            row = without(row, "fmvr")
        self.train_stage("fam", row, codec)
        self._analysis = CachedAnalysis(cache_gib)
        self.coded = coded_metrics()

    def forward(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        """Return the logits of each clip: ``(B, 41, H, W)`` -> ``(B, classes)``."""
        return self.codec(spikes, rate_scale)

    def logits(self, batch: LabelledBatch) -> Tensor:
        """Return the logits of a batch to learn from, whose frozen part may be known already."""
        self.check_batch(batch)
        generator, quality = self.generator("clips"), None
        if self.codec.coding is not None:
            quality = int(torch.randint(QUALITIES, (), generator=generator))
        with torch.no_grad():
            features, motions = self._analysis(self.codec, batch, quality)
            if self.hparams["affine_augment"]:
                drawn = drawn_distortion(len(features), self.hparams["affine_augment"], generator)
                features, motions = distorted(features, drawn), distorted_motions(motions, drawn)
        return self._fam(features.clone(), motions.clone())

    def evaluate(self, batch: LabelledBatch, split: Split, batch_idx: int) -> Evaluation:
        """Classify a batch as it is and, in a test, after each quality's bits."""
        evaluation = super().evaluate(batch, split, batch_idx)
        if split == "test" and self.codec.coding is not None:
            for quality in range(QUALITIES):
                self._evaluate_coded(batch, quality)
        return evaluation

    def _evaluate_coded(self, batch: LabelledBatch, quality: int) -> None:
        spikes = batch["spikes"]
        found = coded_clips(self.codec, spikes, batch["rate_scale"], quality)
        right = (self._fam(*found.analysis).argmax(dim=1) == batch["label"]).float()
        shape = spikes.shape[1], spikes.shape[2], spikes.shape[3]
        rates = torch.tensor([bpp(count, shape) for count in found.n_bytes])
        self.coded[f"accuracy_q{quality}"].update(right.cpu())
        self.coded[f"bpp_q{quality}"].update(rates)

    def on_test_epoch_end(self) -> None:
        """Log what is known of classes and, after a codec, accuracy against bits.

        What accuracy loses is told against the same analysis on features that no codec saw.
        """
        accuracy = float(cast("MetricCollection", self.split_metrics["test"])["accuracy"].compute())
        super().on_test_epoch_end()
        if self.codec.coding is None:
            return
        found = {name: float(metric.compute()) for name, metric in self.coded.items()}
        self.coded.reset()
        for quality in range(QUALITIES):
            points, percent = accuracy_decrease(accuracy, found[f"accuracy_q{quality}"])
            found[f"accuracy_decrease_q{quality}"] = points
            if accuracy > 0:
                found[f"accuracy_decrease_percent_q{quality}"] = percent
            found[f"bit_saving_q{quality}"] = bit_saving(found[f"bpp_q{quality}"])
        self.log_dict({f"test/{name}": value for name, value in found.items()})
        pairs = [(found[f"bpp_q{q}"], found[f"accuracy_q{q}"]) for q in range(QUALITIES)]
        self.curves = {"rate_distortion/accuracy": pairs}

    def features(self, batch: LabelledBatch) -> Tensor:
        """Return what the last layer sees of each clip, ``(B, C)``."""
        return self._fam.pooled(*self.codec.analysed(batch["spikes"], batch["rate_scale"]))

    @property
    def _fam(self) -> ClassFAM:
        return cast("ClassFAM", self.codec.fam)


def coded_metrics() -> MetricCollection:
    """Return the means of accuracy and bits per pixel at every quality."""
    names = [f"{name}_q{q}" for name in ("accuracy", "bpp") for q in range(QUALITIES)]
    found: dict[str, Metric | MetricCollection] = {name: MeanOfValues() for name in names}
    return MetricCollection(found, compute_groups=False)
