"""Training and use of SCI: its stages, what they begin with, and reconstruction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from spike_zoo.media.flow import flow_picture, longest
from spike_zoo.methods.sci.alignment import Align
from spike_zoo.methods.sci.fam import FAM
from spike_zoo.methods.sci.fem import FEM, Fusion, Pathway
from spike_zoo.methods.sci.losses import extraction_terms, motion_terms, reconstruction_terms
from spike_zoo.methods.sci.motion import MotionEstimation
from spike_zoo.methods.sci.motion_training import (
    error_ratios,
    evaluate_pairs,
    failed_motion,
    feature_pairs,
    motion_metrics,
    padded_truth,
    pair_origins,
)
from spike_zoo.methods.sci.network import SCICodec
from spike_zoo.methods.sci.seen import Seen
from spike_zoo.methods.sci.smoothness import add_norms, deviation_at_rest, norm_metrics
from spike_zoo.methods.sci.staged import StagedModule
from spike_zoo.methods.sci.stages import Stage, row_of
from spike_zoo.methods.sci.streaming import FeatureStream
from spike_zoo.metrics import reconstruction_metrics
from spike_zoo.nn.schedules import ScheduleKind, check_schedule, updates_of_run
from spike_zoo.tasks.reconstruction import ReconstructionModule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torchmetrics import MetricCollection

    from spike_zoo.batch import ReconstructionBatch, SceneBatch, Split
    from spike_zoo.spikes import SpikeRecording
    from spike_zoo.tasks.evaluation import Evaluation, Origin, Predicted


class SCICodecModule(StagedModule, ReconstructionModule):
    """Train the parts of SCI stage by stage, and reconstruct with what there is.

    What a stage trains, freezes and begins with is one table,
    :data:`spike_zoo.methods.sci.stages.STAGES`. In stage ``"fem"`` and ``"motion"`` a picture is
    the feature's mean over its channels, of 13 planes; in stage ``"fam"`` it is FAM's, of 41.

    Args:
        stage: ``"fem"``, ``"motion"`` or ``"fam"``.
        fem: Checkpoint of stage ``"fem"`` to begin from; read when a fit begins.
        motion: Checkpoint of stage ``"motion"``, likewise.
        fem_width: Width of FEM; 1 is the paper's, for all widths.
        codec_width: Width of motion estimation, and of the codec.
        fam_width: Width of FAM.
        pathway: See :class:`FEM`, and so up to ``binarize``.
        pfu: See there.
        attention: See there.
        binarize: See there.
        w_lap: Weight of the smoothness constraint in stage ``"fem"``.
        w_true: Weight of the true motion at the start of stage ``"motion"``; 0 is the paper's way.
        w_true_end: What of it is left at the end, to which it falls by the same at every update.
            Where it fell to 0 the warped feature's error unlearned slow and fast motion again.
        align: See :class:`FAM`.
        neighbors: See there.
        scale_input: See :class:`SCICodec`.
        learning_rate: Of Adam, betas 0.9 and 0.999.
        schedule: How it moves over the run, see :func:`factor_of`.
        warmup: Fraction of the run in which it rises.
        lpips: See :class:`ReconstructionModule`.
        protocols: See there.

    Raises:
        ValueError: If an argument is outside its range.
        ConfigError: If the stage is one that this version does not have yet.

    Source: *A Joint Visual Compression and Perception Framework for Neuralmorphic Spiking Camera*,
    Sec. IV; schedules and weights that it leaves open are this project's.
    """

    def __init__(
        self,
        stage: Stage = "fam",
        fem: str | None = None,
        motion: str | None = None,
        fem_width: float = 1.0,
        codec_width: float = 1.0,
        fam_width: float = 1.0,
        pathway: Pathway = "dual",
        pfu: Fusion = "pfu",
        attention: bool = True,
        binarize: bool = True,
        w_lap: float = 0.05,
        w_true: float = 1.0,
        w_true_end: float = 1.0,
        align: Align = "afr",
        neighbors: int = 4,
        scale_input: bool = True,
        learning_rate: float = 2e-4,
        schedule: ScheduleKind = "cosine",
        warmup: float = 0.02,
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        super().__init__(lpips=lpips, protocols=protocols)
        row = row_of(stage)
        check_schedule(schedule, learning_rate, warmup)
        check_weights(w_lap=w_lap, w_true=w_true, w_true_end=w_true_end)
        self.save_hyperparameters()
        codec = SCICodec(
            FEM(fem_width, pathway, pfu, attention=attention, binarize=binarize),
            None if stage == "fem" else MotionEstimation(codec_width),
            FAM(align, neighbors, fam_width) if stage == "fam" else None,
            scale_input=scale_input,
        )
        self.train_stage(stage, row, codec)
        self.clip_length = row.clip_length
        if stage == "motion":
            self.monitor, self.monitor_mode = "val/epe", "min"
        self.norms = norm_metrics("test/")
        self._seen: Seen | None = None  # of the batch that was evaluated last
        self._updates = 0.0

    def on_train_start(self) -> None:
        """Tell the schedules how long the run is."""
        super().on_train_start()
        self._updates = updates_of_run(self.trainer)

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, T, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        return self.codec(spikes, rate_scale).clamp(0.0, 1.0)

    def training_step(self, batch: ReconstructionBatch | SceneBatch, batch_idx: int) -> Tensor:
        """Return the stage's loss and log every term of it."""
        terms = {"fem": self._fem, "motion": self._motion, "fam": self._fam}[self.stage](batch)
        logged = {f"train/{name}": value for name, value in terms.items()}
        self.log_dict(logged, batch_size=len(batch["spikes"]))
        return terms["total"]

    def _fem(self, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401  (the stage's batch)
        self.check_clip(batch["spikes"].shape[1])
        feature = self.codec.features(batch["spikes"], batch["rate_scale"])[:, 0]
        return extraction_terms(feature, batch["image"], self.hparams["w_lap"])

    def _motion(self, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401  (the stage's batch)
        pairs = feature_pairs(self.codec, batch)
        estimation = cast("MotionEstimation", self.codec.motion)
        motions = estimation.pyramid(pairs.current, pairs.reference)
        current, reference, truth = padded_truth(pairs)
        return motion_terms(motions, current, reference, truth, self.w_true)

    def _fam(self, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401  (the stage's batch)
        self.check_clip(batch["spikes"].shape[1])
        with torch.no_grad():
            features, motions = self.codec.analysed(batch["spikes"], batch["rate_scale"])
        fam = cast("FAM", self.codec.fam)
        return reconstruction_terms(fam.branches(features, motions), batch["image"])

    @property
    def w_true(self) -> float:
        """Weight of the true motion now: it moves from its first to its last over the run."""
        done = min(self.trainer.global_step / self._updates, 1.0) if self._updates else 0.0
        first = float(self.hparams["w_true"])
        return first * (1.0 - done * (1.0 - float(self.hparams["w_true_end"])))

    def make_metrics(self) -> MetricCollection:
        """Return the metrics of images, or of motion in the stage that estimates it."""
        if self.stage == "motion":
            return motion_metrics()
        return reconstruction_metrics(lpips=self.lpips, protocols=self.protocols)

    def origins(self, batch: Any) -> list[Origin]:  # noqa: ANN401  (the stage's batch)
        """Return recording and plane of each sample."""
        if self.stage != "motion":
            return super().origins(batch)
        return pair_origins(batch)

    def predicted(self, batch: Any, found: Tensor) -> Sequence[Predicted]:  # noqa: ANN401  (the stage's batch)
        """Return the images of a batch, or its motions in colours, each up to its longest."""
        if self.stage == "motion":
            found = torch.stack([flow_picture(motion, longest(motion)) for motion in found])
        return super().predicted(batch, found)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ANN401  (the stage's batch)
        """Return reconstructions ``(B, 1, H, W)``, or motions ``(P, 2, H, W)`` in that stage."""
        if self.stage != "motion":
            self.check_clip(batch["spikes"].shape[1])
            self._seen = Seen.of(self.codec, batch)
            return self._seen.image.float().clamp(0.0, 1.0)
        pairs = feature_pairs(self.codec, batch)
        return self.codec.moved(pairs.current, pairs.reference)

    def evaluate(self, batch: Any, split: Split, batch_idx: int) -> Evaluation:  # noqa: ANN401  (the stage's batch)
        """Add a batch to the metrics of a split and return what was found out."""
        if self.stage != "motion":
            evaluation = super().evaluate(batch, split, batch_idx)
            if split == "test" and self.stage == "fem":
                add_norms(self.norms, cast("Seen", self._seen).feature)
            return evaluation
        pairs = feature_pairs(self.codec, batch)
        found = self.codec.moved(pairs.current, pairs.reference)

        def measured(names: Sequence[str], motions: Tensor, truths: Tensor) -> dict[str, Tensor]:
            values = self.measure(split, motions, truths)
            self.measure_paces(split, names, values)
            return values

        return evaluate_pairs(pairs, found, measured)

    def on_validation_epoch_end(self) -> None:
        """Log how the errors of motion compare with those of no motion."""
        self._log_ratios()

    def on_test_epoch_end(self) -> None:
        """Log the errors of motion beside those of no motion; or smoothness, in space and time."""
        ratios = self._log_ratios()
        if failure := failed_motion(ratios):
            rank_zero_warn(failure)
        if self.stage == "fem":
            self.log_dict(self.norms.compute())
            self.norms.reset()
        if self.stage != "motion":
            self.log("test/frame_deviation", deviation_at_rest(self))

    def _log_ratios(self) -> dict[str, Tensor]:
        ratios = error_ratios(self.trainer.callback_metrics)
        self.log_dict(ratios)
        return ratios

    def pictures(self, batch: ReconstructionBatch, index: int, image: Tensor) -> dict[str, Tensor]:
        """Return what stands side by side: playback, what networks saw, the image, the truth."""
        usual = super().pictures(batch, index, image)
        first = next(iter(usual))
        seen = {} if self._seen is None else self._seen.pictures(index)
        return {first: usual.pop(first), **seen, **usual}

    def cost_jobs(self, batch: Any) -> Mapping[str, Callable[[], object]]:  # noqa: ANN401  (the stage's batch)
        """Return what is measured: all of it, one feature at the camera's side, and analysis."""
        jobs = dict(super().cost_jobs(batch))
        if self.stage == "motion":
            return jobs
        spikes, scale = batch["spikes"], batch["rate_scale"]
        middle = spikes.shape[1] // 2
        window = spikes[:, middle - 6 : middle + 7]
        jobs["extract"] = lambda: self.codec.feature(window, scale)
        if self.stage == "fam":
            fam, analysed = cast("FAM", self.codec.fam), self.codec.analysed(spikes, scale)
            jobs["analyse"] = lambda: fam(*analysed)
        return jobs

    def _stream(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        was_training = self.training
        self.eval()
        try:
            yield from FeatureStream(self.codec, recording, rate_scale).images(centers)
        finally:
            self.train(was_training)


def check_weights(**weights: float) -> None:
    """Refuse weights of losses that are negative or no numbers.

    Raises:
        ValueError: Naming the first.
    """
    for name, weight in weights.items():
        if not 0 <= weight < float("inf"):
            raise ValueError(f"{name} must be 0 or more, got {weight}")
