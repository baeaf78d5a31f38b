"""Stage ``motion``: pairs of neighbouring features with the true motion between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from spike_zoo.batch import SceneBatch, Split
from spike_zoo.errors import ConfigError
from spike_zoo.media.flow import flow_picture, longest
from spike_zoo.methods.sci.features.motion_estimation import FACTORS, MotionEstimation
from spike_zoo.methods.sci.training.losses import motion_terms
from spike_zoo.methods.sci.training.options import NETWORKS, NetworkOptions, check_weights
from spike_zoo.methods.sci.training.stage_module import (
    WARMUP,
    FeatureBatch,
    SCIStageModule,
    arguments_of,
    check_patch,
)
from spike_zoo.methods.sci.training.stage_table import STAGES
from spike_zoo.metrics.collections import flow_metrics
from spike_zoo.nn.flow import padded_motion
from spike_zoo.nn.padding import pad_to_multiple
from spike_zoo.nn.schedules import ScheduleKind
from spike_zoo.tasks.base import TaskModule
from spike_zoo.tasks.evaluation import (
    Evaluation,
    MeasuredImage,
    Origin,
    SamplePictures,
    SamplePrediction,
)
from spike_zoo.tasks.reconstruction import ReconstructionModule
from spike_zoo.tasks.scene_training import check_scenes


class FeaturePairs(NamedTuple):
    """Features of neighbouring times, from all scenes of a batch.

    Shape:
        - current, reference: ``(P, 3, H, W)``, a feature and the one before it.
        - truth: ``(P, 2, H, W)``, backward motion in pixels, NaN where unknown; None without any.
    """

    current: Tensor
    reference: Tensor
    truth: Tensor | None


class SCIMotionModule(SCIStageModule, ReconstructionModule):
    """Stage ``motion``: train motion estimation between features of the frozen FEM.

    Args:
        fem: Checkpoint of stage ``"fem"`` to start from; read when a fit begins.
        networks: Architecture, see :class:`NetworkOptions`.
        flow_loss_weight: Weight of the end-point error at the start of the run; 0 is the paper's,
            which learns from the warped feature's error alone.
        flow_loss_weight_end: The same at the end, as a share of the start; it falls linearly.
            Where it fell to 0, slow and fast motion were unlearned again.
        cache_gib: Memory for the frozen FEM's features of scenes, as half floats, which every
            epoch repeats where the data neither cut nor turn them; 0 computes them each time.
        patch: Side of the squares that are cut from features and turned; None takes whole scenes.
        learning_rate: Of Adam, betas 0.9 and 0.999.
        schedule: How the learning rate moves over the run, see :func:`schedule_factor`.
        warmup: Fraction of the run in which it rises.
        lpips: See :class:`ReconstructionModule`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: ours; the paper names no training of its motion estimation.
    """

    stage = "motion"
    monitor = "val/epe"
    monitor_mode = "min"

    def __init__(
        self,
        fem: str | None = None,
        networks: NetworkOptions = NETWORKS,
        flow_loss_weight: float = 1.0,
        flow_loss_weight_end: float = 1.0,
        cache_gib: float = 0.0,
        patch: int | None = None,
        learning_rate: float = 2e-4,
        schedule: ScheduleKind = "cosine",
        warmup: float = WARMUP,
        lpips: str = "auto",
    ) -> None:
        arguments = arguments_of(locals())
        super().__init__(lpips=lpips)
        check_weights(flow_loss_weight=flow_loss_weight, flow_loss_weight_end=flow_loss_weight_end)
        check_patch(patch, cache_gib)
        self.train_stage(STAGES["motion"], arguments)

    @property
    def flow_loss_weight(self) -> float:
        """Weight of the end-point error now."""
        first, last = (float(self.hparams[f"flow_loss_weight{end}"]) for end in ("", "_end"))
        return first * (1.0 - self.progress * (1.0 - last))

    def terms(self, batch: SceneBatch) -> dict[str, Tensor]:
        """Return the error of the warped feature, and of motion at every level."""
        check_scenes(batch, "stage motion")
        pairs = pairs_of(self.learned_scenes(batch))
        estimation = cast("MotionEstimation", self.codec.motion)
        motions = estimation.pyramid(pairs.current, pairs.reference)
        current, reference = (pad_to_multiple(one, FACTORS[0]) for one in pairs[:2])
        truth = None if pairs.truth is None else padded_motion(pairs.truth, FACTORS[0])
        return motion_terms(motions, current, reference, truth, self.flow_loss_weight)

    def make_metrics(self) -> MetricCollection:
        """Return the end-point errors of the motion and of no motion."""
        return flow_metrics()

    def origins(self, batch: Any) -> list[Origin]:  # noqa: ANN401  (scenes)
        """Return recording and later plane of each pair."""
        planes = batch["planes"][:, 1:] + batch["start"][:, None]
        named = zip(batch["name"], planes.tolist(), strict=True)
        return [Origin(name, plane) for name, row in named for plane in row]

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ANN401  (scenes)
        """Return the motions of all pairs, ``(P, 2, H, W)`` in pixels."""
        check_scenes(batch, "stage motion")
        pairs = pairs_of(self.feature_scenes(batch))
        return self.codec.moved(pairs.current, pairs.reference)

    def predicted(self, batch: Any, found: Tensor) -> Sequence[SamplePrediction]:  # noqa: ANN401  (scenes)
        """Return motions in colours, each up to its longest."""
        pictures = torch.stack([flow_picture(motion, longest(motion)) for motion in found])
        return super().predicted(batch, pictures)

    def evaluate(self, batch: Any, split: Split, batch_idx: int) -> Evaluation:  # noqa: ANN401  (scenes)
        """Measure motions where the truth is known anywhere, and show them.

        Raises:
            ConfigError: If the data have no true motion.
        """
        check_scenes(batch, "stage motion")
        pairs = pairs_of(self.feature_scenes(batch))
        if pairs.truth is None:
            raise ConfigError(
                "stage motion is measured against the true motion, and the archive has none: make "
                "one with 'python -m spike_zoo simulate --kind sequence'"
            )
        found = self.codec.moved(pairs.current, pairs.reference)
        known = torch.isfinite(pairs.truth).all(dim=1).flatten(1).any(dim=1)
        places = known.nonzero()[:, 0].tolist()
        if not places:
            return Evaluation(())
        origins = self.origins(batch)
        values = self.measure(split, found[known], pairs.truth[known])
        self.measure_speeds(split, [origins[place].name for place in places], values)
        scales = batch["rate_scale"].repeat_interleave(len(origins) // len(batch["name"]))
        shown = [_shown(pairs, found, place, origins[place]) for place in places]
        measured = [
            MeasuredImage(origins[place], origins[place].plane, float(scales[place]))
            for place in places
        ]
        return Evaluation(shown, measured, values)

    def profiled_calls(self, batch: Any) -> Mapping[str, Callable[[], object]]:  # noqa: ANN401  (scenes)
        """Return what every task measures."""
        return TaskModule.profiled_calls(self, batch)


def pairs_of(scenes: FeatureBatch) -> FeaturePairs:
    """Return each feature of scenes with the one before it."""
    features, _, motion = scenes
    truth = None if motion is None else motion[:, 1:].flatten(0, 1)
    return FeaturePairs(features[:, 1:].flatten(0, 1), features[:, :-1].flatten(0, 1), truth)


def _shown(pairs: FeaturePairs, found: Tensor, place: int, origin: Origin) -> SamplePictures:
    truth = cast("Tensor", pairs.truth)[place]
    largest = longest(truth)
    pictures = {
        "feature before": pairs.reference[place],
        "feature": pairs.current[place],
        f"motion, up to {largest:.1f} px": flow_picture(found[place], largest),
        "true motion": flow_picture(truth, largest),
    }
    return SamplePictures(origin, pictures, f"{origin.name}-plane{origin.plane}")
