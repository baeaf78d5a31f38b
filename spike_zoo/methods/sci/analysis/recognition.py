"""Recognition with SCI: the same features and motion, analysed for a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from spike_zoo.batch import LabelledBatch, Split
from spike_zoo.coding.sci.chunks import HEAD_BYTES
from spike_zoo.coding.sci.header import HEADER_BYTES
from spike_zoo.coding.sci.rans import GroupEncoder
from spike_zoo.methods.sci.analysis.fam import AnalysisInput, ClassFAM, surroundings
from spike_zoo.methods.sci.codec.bitstream import check_exact, coding_of, exact_context
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.codec.frames import encode_frames, in_time
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.codec.symbols import SymbolEncoder
from spike_zoo.methods.sci.features.fem import CLIP
from spike_zoo.methods.sci.training.augmentation import (
    check_distort,
    distorted,
    distorted_motions,
    drawn_distortion,
)
from spike_zoo.methods.sci.training.options import NETWORKS, NetworkOptions
from spike_zoo.methods.sci.training.stage_module import StagedModule, arguments_of
from spike_zoo.methods.sci.training.stage_table import DECODED, STAGES, with_part
from spike_zoo.metrics.image import MeanOfValues
from spike_zoo.metrics.rate import accuracy_decrease, bit_saving, bpp
from spike_zoo.nn.schedules import ScheduleKind
from spike_zoo.nn.tensor_cache import TensorCache
from spike_zoo.tasks.evaluation import Evaluation
from spike_zoo.tasks.recognition import ClassificationModule


class SCIRecognitionModule(StagedModule, ClassificationModule):
    """Train SCI's analysis of classes on frozen features: stage ``"fam"`` of another task.

    FEM and motion estimation are those that were trained on pictures; they see no label.

    Args:
        classes: How many there are.
        label_names: What they are called, by index.
        fem: Checkpoint of stage ``"fem"`` to begin from; read when a fit begins.
        motion: Checkpoint of stage ``"motion"``, likewise.
        networks: Architecture, see :class:`NetworkOptions`; the analysis is :class:`ClassFAM`.
        joint: Checkpoint of stage ``"joint"``: classes are predicted from features that passed its
            codec, at a quality that every batch draws. None, the default, has no codec.
        fam: Checkpoint of this module without a codec, to begin from; read with ``joint`` alone.
        affine_augment: How much clips are turned, enlarged, sheared and moved in training, see
            :func:`drawn_distortion`; their features and motion are, not their spikes.
        label_smoothing: See :class:`ClassificationModule`.
        learning_rate: Of Adam, betas 0.9 and 0.999.
        schedule: How it moves over the run, see :func:`schedule_factor`.
        cache_gib: Memory for frozen features and motion, which every epoch sees again, as half
            floats; 0 computes them each time.

    Raises:
        ValueError: If an argument is outside its range.

    Source: *A Joint Visual Compression and Perception Framework for Neuralmorphic Spiking Camera*,
    Sec. V; the layers of the analysis are this project's.
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
        row = DECODED if joint else STAGES["fam"]
        if joint and not NetworkOptions.of(networks).fmvr:
            row = with_part(row, "fmvr", "absent")
        self.train_stage(row, arguments, classes)
        self._cache = TensorCache(cache_gib)
        names = [f"{name}_q{q}" for name in ("accuracy", "bpp") for q in range(QUALITIES)]
        means: dict[str, Metric | MetricCollection] = {name: MeanOfValues() for name in names}
        self.coded = MetricCollection(means, compute_groups=False)

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
            features, motions = self._analysed(batch, quality)
            if self.hparams["affine_augment"]:
                drawn = drawn_distortion(len(features), self.hparams["affine_augment"], generator)
                features, motions = distorted(features, drawn), distorted_motions(motions, drawn)
        return self._fam(features.clone(), motions.clone())

    def _analysed(self, batch: LabelledBatch, quality: int | None) -> AnalysisInput:
        """Return what the analysis takes of clips, computed once for each clip and quality.

        A clip is known by its recording and its middle plane, so it must come whole and unturned.
        """
        codec, named = self.codec, zip(batch["name"], batch["plane"].tolist(), strict=True)

        def compute(places: list[int]) -> Tensor:
            clips = batch["spikes"][places], batch["rate_scale"][places]
            if quality is None:
                parts = codec.analysed(*clips)
            else:
                parts = coded_clips(codec, *clips, quality).analysis
            return torch.cat([part.flatten(1, 2) for part in parts], dim=1)

        keys = [(*one, quality) for one in named]
        joined = self._cache(keys, compute, batch["spikes"].device)
        features, motions = joined.split([15, 8], dim=1)  # 5 x 3 and 4 x 2 channels
        return AnalysisInput(features.unflatten(1, (5, 3)), motions.unflatten(1, (4, 2)))

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

        The loss of accuracy is relative to the same analysis on uncoded features.
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


class CodedClips(NamedTuple):
    """A batch of clips, coded and decoded.

    Attributes:
        analysis: What an analysis takes of the decoded middle feature.
        n_bytes: Length of the whole file of each clip.
    """

    analysis: AnalysisInput
    n_bytes: list[int]


def coded_clips(codec: SCICodec, spikes: Tensor, rate_scale: Tensor, quality: int) -> CodedClips:
    """Code the features of clips, each clip a stream of one group of pictures.

    A closed loop decodes what it codes, so streams are not read again.

    Args:
        codec: Final, with a coder.
        spikes: ``(B, T, H, W)``, T at least 41.
        rate_scale: Spikes per plane at white, ``(B,)``.
        quality: 0 to 3.
    """
    coding = coding_of(codec)
    check_exact(codec)
    encoders = [GroupEncoder() for _ in spikes]
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
        decoded, motion = in_time(coding, list(frames))
        analysis = surroundings(decoded, motion, features.shape[1] // 2)
    sizes = [HEADER_BYTES + HEAD_BYTES + len(encoder.finish()) for encoder in encoders]
    return CodedClips(analysis, sizes)
