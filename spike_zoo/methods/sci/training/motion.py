"""Training module of stage ``motion``: motion estimation between neighbouring features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from spike_zoo.errors import ConfigError
from spike_zoo.media.flow import flow_image
from spike_zoo.methods.sci.features.motion_estimation import FACTORS, MotionEstimation
from spike_zoo.methods.sci.training.losses import flow_terms
from spike_zoo.methods.sci.training.options import STAGES, check_weights
from spike_zoo.methods.sci.training.stage_module import (
    FeatureBatch,
    SCIStageModule,
    arguments_of,
    check_patch,
)
from spike_zoo.metrics.collections import flow_metrics
from spike_zoo.nn import flow as flow_losses
from spike_zoo.nn.padding import pad_to_multiple
from spike_zoo.tasks import evaluation as results
from spike_zoo.tasks.base import TaskModule
from spike_zoo.tasks.batch import SceneBatch, Split
from spike_zoo.tasks.reconstruction import ReconstructionModule
from spike_zoo.tasks.scene_training import check_scenes


class FeaturePairs(NamedTuple):
    """Pairs of neighbouring features, from all scenes of a batch."""

    current: Tensor  # (P, 3, H, W)
    reference: Tensor  # the previous features, (P, 3, H, W)
    truth: Tensor | None  # backward motion, (P, 2, H, W) in pixels, NaN if unknown


class SCIMotionModule(SCIStageModule, ReconstructionModule):
    """Stage ``motion``: train motion estimation between features of the frozen FEM.

    Args:
        fem: Checkpoint of stage ``"fem"`` to start from; read at the start of a fit.
        flow_loss_weight: Weight of the end-point error at the start of the run. 0 is the paper's:
            only the error of the warped feature.
        flow_loss_weight_end: Weight at the end of the run, relative to ``flow_loss_weight``; it
            changes linearly. With 0, the errors of slow and fast motion increased again.
        cache_gib: Memory in GiB for features of the frozen FEM in half precision, if the data are
            neither cropped nor turned; 0 computes them in each epoch.
        patch: Side of square, randomly turned or flipped crops of features; None: whole scenes.
        options: Options of :class:`SCIStageModule`.

    Source: not in the paper, which does not describe how motion estimation is trained.
    """

    stage = "motion"
    monitor = "val/epe"
    monitor_mode = "min"

    def __init__(
        self,
        fem: str | None = None,
        flow_loss_weight: float = 1.0,
        flow_loss_weight_end: float = 1.0,
        cache_gib: float = 0.0,
        patch: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_weights(flow_loss_weight=flow_loss_weight, flow_loss_weight_end=flow_loss_weight_end)
        check_patch(patch, cache_gib)
        self.train_stage(STAGES["motion"], arguments_of(locals()))
        if not isinstance(self.codec.motion, MotionEstimation):
            raise ConfigError(
                "stage motion trains the network of motion estimation, and networks.estimation "
                "is 'dis', which is not trained; leave out this stage"
            )

    @property
    def flow_loss_weight(self) -> float:
        """Weight of the end-point error at the current progress of the run."""
        first, last = (float(self.hparams[f"flow_loss_weight{end}"]) for end in ("", "_end"))
        return first * (1.0 - self.progress * (1.0 - last))

    def terms(self, batch: SceneBatch) -> dict[str, Tensor]:
        """Return the error of the warped feature and the end-point errors of all levels."""
        check_scenes(batch, "stage motion")
        pairs = pairs_of(self.training_scenes(batch))
        estimation = cast("MotionEstimation", self.codec.motion)
        motions = estimation.pyramid(pairs.current, pairs.reference)
        current, reference = (pad_to_multiple(feature, FACTORS[0]) for feature in pairs[:2])
        truth = None if pairs.truth is None else flow_losses.padded_flow(pairs.truth, FACTORS[0])
        return flow_terms(motions, current, reference, truth, self.flow_loss_weight)

    def make_metrics(self) -> MetricCollection:
        """Return the end-point errors of the motion and of zero motion."""
        return flow_metrics()

    def origins(self, batch: Any) -> list[results.Origin]:  # noqa: ANN401  (scenes)
        """Return the recording and the later plane of each pair."""
        planes = batch["planes"][:, 1:] + batch["start"][:, None]
        rows = zip(batch["name"], planes.tolist(), strict=True)
        return [results.Origin(name, plane) for name, row in rows for plane in row]

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ANN401  (scenes)
        """Return the motions of all pairs, ``(P, 2, H, W)`` in pixels."""
        check_scenes(batch, "stage motion")
        pairs = pairs_of(self.feature_scenes(batch))
        return self.codec.estimate_flow(pairs.current, pairs.reference)

    def sample_predictions(
        self,
        batch: Any,  # noqa: ANN401  (scenes)
        prediction: Tensor,
    ) -> Sequence[results.SamplePrediction]:
        """Return motions as colour images, each scaled to its longest vector."""
        colours = torch.stack([flow_image(motion) for motion in prediction])
        return super().sample_predictions(batch, colours)

    def evaluate(self, batch: Any, split: Split, batch_idx: int) -> results.Evaluation:  # noqa: ANN401  (scenes)
        """Measure the motions with ground truth, and return images of them."""
        check_scenes(batch, "stage motion")
        pairs = pairs_of(self.feature_scenes(batch))
        if pairs.truth is None:
            raise ConfigError(
                "evaluation of stage motion needs ground-truth motion, and the archive has none: "
                "make an archive with 'python -m spike_zoo simulate --kind sequence'"
            )
        motions = self.codec.estimate_flow(pairs.current, pairs.reference)
        origins = self.origins(batch)
        scales = batch["rate_scale"].repeat_interleave(len(origins) // len(batch["name"])).tolist()
        rows = zip(origins, scales, strict=True)
        images = [results.MeasuredImage(origin, origin.plane, scale) for origin, scale in rows]
        inputs = {"feature before": pairs.reference, "feature": pairs.current}
        return self.flow_evaluation(split, images, motions, pairs.truth, inputs)

    def profiled_calls(self, batch: Any) -> Mapping[str, Callable[[], object]]:  # noqa: ANN401  (scenes)
        """Return the job of :class:`TaskModule` only."""
        return TaskModule.profiled_calls(self, batch)


def pairs_of(scenes: FeatureBatch) -> FeaturePairs:
    """Return pairs of each feature and its previous feature."""
    features, _, motion = scenes
    truth = None if motion is None else motion[:, 1:].flatten(0, 1)
    return FeaturePairs(features[:, 1:].flatten(0, 1), features[:, :-1].flatten(0, 1), truth)
