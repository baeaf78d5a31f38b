"""Lightning module that trains SSMT's motion network on scenes with ground-truth flow."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from spike_zoo.errors import ConfigError, UsageError
from spike_zoo.media.flow import flow_picture
from spike_zoo.methods.ssmt.motion import CLIP_PLANES, MotionNetwork, MotionSize, flow_loss
from spike_zoo.methods.ssmt.network import MotionInput, check_spacing, motion_input_of
from spike_zoo.metrics.collections import flow_metrics
from spike_zoo.nn.options import check_choice
from spike_zoo.nn.schedules import ScheduleKind, check_schedule
from spike_zoo.spikes import SpikeRecording
from spike_zoo.tasks.batch import SceneBatch, Split
from spike_zoo.tasks.evaluation import Evaluation, MeasuredImage, Origin, SamplePrediction
from spike_zoo.tasks.reconstruction import ReconstructionModule
from spike_zoo.tasks.scene_training import check_scenes, scene_windows


class SSMTMotionModule(ReconstructionModule):
    """Train :class:`MotionNetwork` on the true flow from each image of a scene to the previous one.

    Args:
        motion_size: Size of RAFT; this and the next two as in :class:`MotionNetwork`.
        motion_updates: Iterations of the flow.
        correlation_levels: Levels of the correlation pyramid.
        motion_input: Input of the flow estimation: ``"intervals"`` or ``"spikes"``.
        learning_rate: Learning rate of Adam, betas 0.9 and 0.999.
        schedule: Schedule of the learning rate, see :func:`schedule_factor`.
        warmup: Fraction of the run in which the learning rate rises.
        scale_input: Whether the input is scaled by the rate scale.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Dong et al., *Spike Stream Memory Transfer for Dynamic Scene Reconstruction*, AAAI 2026,
    which follows the training of Spike2Flow; the loss is RAFT's.
    """

    clip_length = CLIP_PLANES
    monitor = "val/epe"
    monitor_mode = "min"

    def __init__(
        self,
        motion_size: MotionSize = "large",
        motion_updates: int = 8,
        correlation_levels: int = 4,
        motion_input: MotionInput = "intervals",
        learning_rate: float = 3e-4,
        schedule: ScheduleKind = "milestones",
        warmup: float = 0.0,
        scale_input: bool = True,
    ) -> None:
        super().__init__(lpips="off")
        self.save_hyperparameters()
        check_schedule(schedule, learning_rate, warmup)
        check_choice("motion_input", motion_input, MotionInput)
        self.network = MotionNetwork(motion_size, motion_updates, correlation_levels)

    def make_metrics(self) -> MetricCollection:
        """Return the metrics: end-point errors of the flow and of zero flow."""
        return flow_metrics()

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Return the flow from the second of two clips to the first, in pixels per 20 planes.

        Args:
            spikes: ``(B, 61, H, W)``.
            rate_scale: Spikes per plane at white, ``(B,)``; 1 by default.

        Returns:
            ``(B, 2, H, W)``.
        """
        scale = spikes.new_ones(len(spikes)) if rate_scale is None else rate_scale
        first, second = (
            self._input(part.float(), scale)
            for part in (spikes[:, :CLIP_PLANES], spikes[:, -CLIP_PLANES:])
        )
        features = [self.network.features(planes) for planes in (second, first)]
        return self.network(second, *features).flow

    def _stream(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        raise UsageError("SSMTMotionModule estimates flow and reconstructs no images")

    def training_step(self, batch: SceneBatch, batch_idx: int) -> Tensor:
        """Return the loss of the flows between all consecutive clips of scenes.

        In half of the updates, at random, each flow is initialised by the previous clip's flow, as
        in SSMT.
        """
        is_chained = bool(torch.rand((), generator=self.generator("start")) < 0.5)
        terms = [
            flow_loss(flows, batch["flow"][:, number])
            for number, flows in self._flows(batch, is_chained=is_chained)
        ]
        loss = torch.stack(terms).mean()
        self.log("train/total", loss, batch_size=len(batch["spikes"]))
        return loss

    def origins(self, batch: Any) -> list[Origin]:  # noqa: ANN401  (scenes)
        """Return recording and plane of the later clip of each pair, in order of time."""
        planes = (batch["planes"][:, 1:] + batch["start"][:, None]).T.tolist()
        return [Origin(*pair) for row in planes for pair in zip(batch["name"], row, strict=True)]

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ANN401  (scenes)
        """Return the flows of all pairs, ``(P, 2, H, W)`` in pixels per 20 planes."""
        return torch.cat([flows[-1] for _, flows in self._flows(batch, is_chained=True)])

    def sample_predictions(self, batch: Any, prediction: Tensor) -> Sequence[SamplePrediction]:  # noqa: ANN401  (scenes)
        """Return colour-coded flows, each scaled to its longest vector."""
        pictures = torch.stack([flow_picture(flow) for flow in prediction])
        return super().sample_predictions(batch, pictures)

    def evaluate(self, batch: Any, split: Split, batch_idx: int) -> Evaluation:  # noqa: ANN401  (scenes)
        """Return metrics and pictures of the flows that have any ground truth."""
        flows = self.predict_step(batch, batch_idx)
        truth = batch["flow"][:, 1:].transpose(0, 1).flatten(0, 1)
        pairs = zip(self.origins(batch), itertools.cycle(batch["rate_scale"].tolist()))
        images = [MeasuredImage(origin, origin.plane, scale) for origin, scale in pairs]
        return self.flow_evaluation(split, images, flows, truth)

    def _flows(self, batch: SceneBatch, *, is_chained: bool) -> list[tuple[int, list[Tensor]]]:
        """Return the index and the flows of each clip after the first.

        Raises:
            ConfigError: If the data are no scenes, or have no ground-truth flow.
        """
        check_scenes(batch, "SSMT")
        check_spacing(batch)
        if "flow" not in batch:
            raise ConfigError(
                "SSMT's motion network learns from the true flow, which the archive does not "
                "have: make one with 'python -m spike_zoo simulate --planes 221 --margin 20 "
                "--stride 20 --motion true'"
            )
        pairs: list[tuple[int, list[Tensor]]] = []
        previous = start = None
        for number, clip in enumerate(scene_windows(batch, CLIP_PLANES)):
            planes = self._input(clip["spikes"], clip["rate_scale"])
            features = self.network.features(planes)
            if previous is not None:
                estimate = self.network(planes, features, previous, start)
                pairs.append((number, estimate.flows))
                start = estimate.coarse.detach() if is_chained else None
            previous = features
        return pairs

    def _input(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        scale = rate_scale if self.hparams["scale_input"] else torch.ones_like(rate_scale)
        return motion_input_of(self.hparams["motion_input"], spikes, scale)
