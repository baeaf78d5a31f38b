"""Recognition with SCI: the same features and motion, analysed for a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from spike_zoo.methods.sci.alignment import Align
from spike_zoo.methods.sci.fam import ClassFAM
from spike_zoo.methods.sci.fem import FEM, Fusion, Pathway
from spike_zoo.methods.sci.motion import MotionEstimation
from spike_zoo.methods.sci.network import SCICodec
from spike_zoo.methods.sci.remembered import RememberedAnalysis
from spike_zoo.methods.sci.staged import StagedModule
from spike_zoo.methods.sci.stages import STAGES
from spike_zoo.methods.sci.windows import CLIP
from spike_zoo.nn.schedules import ScheduleKind, check_schedule
from spike_zoo.tasks.recognition import ClassificationModule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.batch import LabelledBatch


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
        scale_input: See :class:`SCICodec`.
        learning_rate: Of Adam, betas 0.9 and 0.999.
        schedule: How it moves over the run, see :func:`factor_of`.
        warmup: Fraction of the run in which it rises.
        remember_gib: Memory for frozen features and motion, which every epoch sees again, as half
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
        scale_input: bool = True,
        learning_rate: float = 2e-4,
        schedule: ScheduleKind = "cosine",
        warmup: float = 0.02,
        remember_gib: float = 0.0,
    ) -> None:
        super().__init__(classes=classes, label_names=label_names)
        check_schedule(schedule, learning_rate, warmup)
        self.save_hyperparameters()
        codec = SCICodec(
            FEM(fem_width, pathway, pfu, attention=attention, binarize=binarize),
            MotionEstimation(codec_width),
            ClassFAM(classes, align, neighbors, fam_width),
            scale_input=scale_input,
        )
        self.train_stage("fam", STAGES["fam"], codec)
        self._analysis = RememberedAnalysis(remember_gib)

    def forward(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        """Return the logits of each clip: ``(B, 41, H, W)`` -> ``(B, classes)``."""
        return self.codec(spikes, rate_scale)

    def logits(self, batch: LabelledBatch) -> Tensor:
        """Return the logits of a batch to learn from, whose frozen part may be known already."""
        self.check_batch(batch)
        with torch.no_grad():
            features, motions = self._analysis(self.codec, batch)
        return self._fam(features, motions)

    def features(self, batch: LabelledBatch) -> Tensor:
        """Return what the last layer sees of each clip, ``(B, C)``."""
        return self._fam.pooled(*self.codec.analysed(batch["spikes"], batch["rate_scale"]))

    @property
    def _fam(self) -> ClassFAM:
        return cast("ClassFAM", self.codec.fam)
