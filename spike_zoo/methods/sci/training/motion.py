"""Training module of stage ``motion``: motion estimation between neighbouring features."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from spike_zoo.errors import ConfigError
from spike_zoo.media import flow as flow_media
from spike_zoo.methods.sci.features.motion_estimation import FACTORS, MotionEstimation
from spike_zoo.methods.sci.training.losses import flow_terms
from spike_zoo.methods.sci.training.options import NETWORKS, STAGES, NetworkOptions, check_weights
from spike_zoo.methods.sci.training.stage_module import (
    WARMUP,
    FeatureBatch,
    StagedModule,
    check_scenes,
)
from spike_zoo.metrics.collections import flow_metrics
from spike_zoo.nn import flow as flow_losses
from spike_zoo.nn.padding import pad_to_multiple
from spike_zoo.nn.schedules import ScheduleKind
from spike_zoo.tasks import evaluation as results
from spike_zoo.tasks.batch import SceneBatch, Split
from spike_zoo.tasks.evaluators.flow import FlowEvaluator
from spike_zoo.tasks.reconstruction import ReconstructionModule


class FeaturePairs(NamedTuple):
    """Pairs of neighbouring features, from all scenes of a batch."""

    current: Tensor  # (P, 3, H, W)
    reference: Tensor  # the previous features, (P, 3, H, W)
    truth: Tensor | None  # backward motion, (P, 2, H, W) in pixels, NaN if unknown


class MotionEvaluator(FlowEvaluator):
    """Measure the motions with ground truth of pairs of features."""

    def make_metrics(self) -> MetricCollection:
        """Return the end-point errors of the motion and of zero motion."""
        return flow_metrics()

    def origins(self, batch: SceneBatch) -> list[results.Origin]:
        """Return the recording and the later plane of each pair."""
        planes = batch["planes"][:, 1:] + batch["start"][:, None]
        rows = zip(batch["name"], planes.tolist(), strict=True)
        return [results.Origin(name, plane) for name, row in rows for plane in row]

    def predict(self, method: StagedModule, batch: SceneBatch) -> Tensor:
        """Return the motions of all pairs, ``(P, 2, H, W)`` in pixels."""
        check_scenes(batch, "stage motion")
        pairs = pairs_of(method.feature_scenes(batch))
        return method.codec.estimate_flow(pairs.current, pairs.reference)

    def sample_predictions(
        self, batch: SceneBatch, prediction: Tensor
    ) -> Sequence[results.SamplePrediction]:
        """Return motions as colour images, each scaled to its longest vector."""
        colours = torch.stack([flow_media.flow_image(motion) for motion in prediction])
        return super().sample_predictions(batch, colours)

    def evaluate(
        self, method: StagedModule, batch: SceneBatch, split: Split, batch_idx: int
    ) -> results.Evaluation:
        """Measure the motions with ground truth, and return images of them."""
        check_scenes(batch, "stage motion")
        pairs = pairs_of(method.feature_scenes(batch))
        if pairs.truth is None:
            raise ConfigError(
                "evaluation of stage motion needs ground-truth motion, and the archive has none: "
                "make an archive with 'python -m spike_zoo simulate --kind sequence'"
            )
        motions = method.codec.estimate_flow(pairs.current, pairs.reference)
        has_truth = torch.isfinite(pairs.truth).all(dim=1).flatten(1).any(dim=1)
        indices = has_truth.nonzero()[:, 0].tolist()
        if not indices:
            return results.Evaluation(())
        origins = self.origins(batch)
        scales = batch["rate_scale"].repeat_interleave(len(origins) // len(batch["name"])).tolist()
        measured = [results.MeasuredImage(origins[n], origins[n].plane, scales[n]) for n in indices]
        values = self.measure(split, motions[has_truth], pairs.truth[has_truth])
        self.add_speeds(split, [image.origin.name for image in measured], values)
        samples = []
        for index, (origin, *_) in zip(indices, measured, strict=True):
            by_caption = {"feature before": pairs.reference[index], "feature": pairs.current[index]}
            by_caption |= flow_media.flow_images(motions[index], pairs.truth[index])
            samples.append(
                results.CaptionedImages(origin, by_caption, f"{origin.name}-plane{origin.plane}")
            )
        return results.Evaluation(samples, measured, values)


class SCIMotionModule(StagedModule, ReconstructionModule):
    """Stage ``motion``: train motion estimation between features of the frozen FEM.

    Args:
        fem: Checkpoint of stage ``"fem"`` to start from; read at the start of a fit.
        flow_loss_weight: Weight of the end-point error at the start of the run. With 0, the loss is
            only the error of the warped feature.
        flow_loss_weight_end: Weight at the end of the run, relative to ``flow_loss_weight``; it
            changes linearly. With 0, the errors of slow and fast motion increased again.
        cache_gib: Memory in GiB for features of the frozen FEM in half precision, if the data are
            neither cropped nor turned; 0 computes them in each epoch.
        patch: Side of square, randomly turned or flipped crops of features; None: whole scenes.
        networks: See :class:`StagedModule`.
        learning_rate: See :class:`StagedModule`.
        schedule: See :class:`StagedModule`.
        warmup: See :class:`StagedModule`.
        lpips: Not used.

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
        networks: NetworkOptions = NETWORKS,
        learning_rate: float = 2e-4,
        schedule: ScheduleKind = "cosine",
        warmup: float = WARMUP,
        lpips: str = "auto",
    ) -> None:
        super().__init__(lpips=lpips)
        check_weights(flow_loss_weight=flow_loss_weight, flow_loss_weight_end=flow_loss_weight_end)
        self.save_hyperparameters()
        self.train_stage(STAGES["motion"], networks)
        self.evaluator = MotionEvaluator()
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


def pairs_of(scenes: FeatureBatch) -> FeaturePairs:
    """Return pairs of each feature and its previous feature."""
    features, _, motion = scenes
    truth = None if motion is None else motion[:, 1:].flatten(0, 1)
    return FeaturePairs(features[:, 1:].flatten(0, 1), features[:, :-1].flatten(0, 1), truth)
