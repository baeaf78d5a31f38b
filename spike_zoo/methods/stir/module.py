"""Lightning module of STIR."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Self, cast

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from spike_zoo.checkpoints.state_dicts import WeightsSource
from spike_zoo.methods.stir.aligned_input import (
    CLIP_PLANES,
    aligned_windows,
    motion_at,
    with_errors,
)
from spike_zoo.methods.stir.attention import AttentionKind
from spike_zoo.methods.stir.decoder import Interaction
from spike_zoo.methods.stir.embedding import EmbeddingKind
from spike_zoo.methods.stir.flow_targets import (
    MotionSchedule,
    check_motion_options,
    field_loss,
    fields_of,
    flow_of,
    oracle_flow_pyramid,
)
from spike_zoo.methods.stir.losses import STIRLoss, loss_weights, vgg19_features
from spike_zoo.methods.stir.network import PLANES, STIR, STIRPyramid
from spike_zoo.methods.stir.official import read_official
from spike_zoo.methods.stir.streaming import (
    AlignedStream,
    Precision,
    WindowStream,
    check_precision,
)
from spike_zoo.methods.stir.tiling import check_side
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.nn.optimizers import scheduled_adam
from spike_zoo.nn.schedules import ScheduleKind, check_schedule, total_updates
from spike_zoo.spikes.packing import unpack_tensor
from spike_zoo.spikes.recording import check_recording
from spike_zoo.spikes.windows import wanted_planes
from spike_zoo.tasks.clips import known_rate_scale, read_clip
from spike_zoo.tasks.flow import FLOW_OFFSET, FlowPrediction, ground_truth_flow, reject_oracle_flow
from spike_zoo.tasks.reconstruction import ReconstructionModule
from spike_zoo.tasks.scene_training import loss_scale_of, scene_terms

if TYPE_CHECKING:
    from spike_zoo.batch import ReconstructionBatch, SceneBatch
    from spike_zoo.spikes import SpikeRecording
    from spike_zoo.spikes.windows import Planes

SREDS_RATE_SCALE = 0.4  # spikes per plane at white in the data of the published weights


class STIRModule(ReconstructionModule):
    """Train :class:`STIR` on clips with ground truth images, and reconstruct with it.

    Args:
        pyramid_levels: Levels of the feature pyramid; this and the next six as in :class:`STIR`.
        motion_fields: Flow fields that align the features at full size.
        interaction: ``"both"``, ``"warp_only"`` or ``"synthesis_only"``.
        attention: ``"cross"``, ``"self"`` or ``"none"``.
        embedding: Features of a block of planes.
        width: Factor of the number of channels.
        hidden_channels: Channels of the hidden state that a decoder passes to the finer level.
        learning_rate: Learning rate of Adam, betas 0.9 and 0.999.
        weight_decay: L2 penalty on every parameter; 4e-4 in the paper.
        schedule: Schedule of the learning rate, see :func:`schedule_factor`.
        warmup: Fraction of the run in which the learning rate rises.
        loss_rec: Weight of the L1 of the reconstruction.
        loss_ms: Weight of the L1 of the coarser images.
        loss_per: Weight of the perceptual term; 0.2 in the paper. Needs VGG19's weights.
        loss_motion: Weight of the flow error at every level, against the ground truth that data
            provide with ``flow_offset: 20``; 0 in the paper.
        motion_schedule: Whether that weight is ``"constant"``, or ``"fading"`` to 0 over the run.
        oracle_flow: Whether the features (with ``align_input``, the planes) are aligned by the
            ground-truth flow in training and test, as an upper bound. Needs data with flow.
        align_input: Whether the input is spike intervals aligned along the optical flow instead
            of spikes, and the network corrects their mean, see :func:`aligned_window`. If data
            provide ground-truth flow, training uses this flow with errors. Not in the paper.
        start_from_doubled_flows: Initialise each level's flow as twice the coarser level's flow.
        perceptual_backbone: File of VGG19's weights; searched for by default.
        clamp_loss: Whether the loss clamps images to [0, 1], as published: no gradient outside.
        first_window_loss: Whether a scene's first window has a loss; False in the paper.
        scale_input: Whether spikes are divided by the rate scale; False in the paper.
        channels_last: Whether the network computes channels-last, which is faster on CPUs.
        lpips: See :class:`ReconstructionModule`.
        protocols: See :class:`ReconstructionModule`.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> from spike_zoo.testing import pattern_take
        >>> module = STIRModule(width=0.25, pyramid_levels=3, lpips="off").eval()
        >>> module.reconstruct(pattern_take(0).recording, [40]).shape
        torch.Size([1, 1, 40, 48])
    """

    clip_length = PLANES
    motion_planes = FLOW_OFFSET
    inference_options = ("tile", "precision", "compiled")

    def __init__(
        self,
        pyramid_levels: int = 5,
        motion_fields: int = 3,
        interaction: Interaction = "both",
        attention: AttentionKind = "cross",
        embedding: EmbeddingKind = "tfp+resnet",
        width: float = 1.0,
        hidden_channels: int = 8,
        learning_rate: float = 1e-4,
        weight_decay: float = 0.0,
        schedule: ScheduleKind = "cosine",
        warmup: float = 0.02,
        loss_rec: float = 1.0,
        loss_ms: float = 1.0,
        loss_per: float = 0.0,
        loss_motion: float = 0.0,
        motion_schedule: MotionSchedule = "constant",
        oracle_flow: bool = False,
        align_input: bool = False,
        start_from_doubled_flows: bool = False,
        perceptual_backbone: str | None = None,
        clamp_loss: bool = False,
        first_window_loss: bool = False,
        scale_input: bool = True,
        channels_last: bool = True,
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        super().__init__(lpips=lpips, protocols=protocols)
        self.save_hyperparameters()
        shape = (pyramid_levels, motion_fields, interaction, attention, embedding)
        self.network = STIR(*shape, width=width, hidden_channels=hidden_channels)
        if not channels_last:
            self.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # true
        check_schedule(schedule, learning_rate, warmup)  # raise before data are loaded
        loss_weights(loss_rec, loss_ms, loss_per)
        if not weight_decay >= 0:
            raise ValueError(f"weight_decay must be 0 or more, got {weight_decay}")
        check_motion_options(self.hparams)
        self.estimates_flow, self.flow_source = flow_of(self.hparams)
        if start_from_doubled_flows:
            self.network.start_from_doubled_flows()
        if align_input:
            self.clip_length, self.takes_seconds = CLIP_PLANES, True
            self.network.start_from_drafts()
        self.loss: STIRLoss | None = None
        self.own_rate_scale = None if scale_input else SREDS_RATE_SCALE
        self._tile: int | None = None
        self._precision: Precision = "32"
        self.compiled = False  # whether reconstruct() compiles the network first

    @classmethod
    def from_official(cls, source: WeightsSource) -> Self:
        """Return the published network with published weights and input, in evaluation mode.

        Args:
            source: Checkpoint file or state dict, see :meth:`STIR.from_official`.

        Raises:
            WeightsError: If names or shapes differ; the message names the first of each kind.
            MissingFileError: If the file does not exist.
        """
        module = cls(scale_input=False)
        module.network.load_state_dict(read_official(source, module.network.state_dict()))
        return module.eval()

    def setup(self, stage: str) -> None:
        """Create the metrics and, for training, the loss, which may need a backbone's weights."""
        super().setup(stage)
        if stage == "fit" and self.loss is None:
            self.loss = self.make_loss()

    def make_loss(self) -> STIRLoss:
        """Return the loss configured by the hyper-parameters."""
        hparams = self.hparams
        features = vgg19_features(hparams["perceptual_backbone"]) if hparams["loss_per"] else None
        return STIRLoss(
            hparams["loss_rec"],
            hparams["loss_ms"],
            hparams["loss_per"],
            features=features,
            clamp=hparams["clamp_loss"],
        )

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct plane 30: ``(B, 61, H, W)`` -> ``(B, 1, H, W)`` in [0, 1].

        Raises:
            UsageError: If the module has ``oracle_flow``.
        """
        reject_oracle_flow(oracle_flow=self.hparams["oracle_flow"])
        planes, draft, _ = self._network_input(spikes, rate_scale)
        return self.network(planes, draft)

    @property
    def tile(self) -> int | None:
        """Largest side in pixels of the tiles of :meth:`reconstruct`, see :class:`TileGrid`.

        None: 1024 for frames above a million pixels, else no tiles. 0: no tiles. Other values
        below 128 raise ValueError.
        """
        return self._tile

    @tile.setter
    def tile(self, side: int | None) -> None:
        check_side(side)
        self._tile = side

    @property
    def precision(self) -> Precision:
        """Precision of :meth:`reconstruct`: "32", or "bf16" for autocast."""
        return self._precision

    @precision.setter
    def precision(self, precision: Precision) -> None:
        check_precision(precision)
        self._precision = precision

    def predict_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        """Return the reconstruction, ``(B, 1, H, W)``, along the oracle flow if configured."""
        if self.hparams["oracle_flow"]:
            return self._pyramid(batch)[0].image.float()
        return super().predict_step(batch, batch_idx)

    def predict_with_flow(self, batch: ReconstructionBatch, batch_idx: int) -> FlowPrediction:
        """Return the reconstruction; with motion fields if the batch has ground-truth flow."""
        if "flow" not in batch and not self.hparams["oracle_flow"]:
            return super().predict_with_flow(batch, batch_idx)
        pyramid, flow = self._pyramid(batch)
        size = batch["spikes"].shape[-2], batch["spikes"].shape[-1]
        return FlowPrediction(
            pyramid.image.float(), fields_of(pyramid, size) if flow is None else [flow]
        )

    def _stream(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        reject_oracle_flow(oracle_flow=self.hparams["oracle_flow"])
        scale = rate_scale if self.hparams["scale_input"] else 1.0
        stream = AlignedStream if self.hparams["align_input"] else WindowStream
        options = {name: getattr(self, name) for name in self.inference_options}
        with eval_mode(self):
            yield from stream(self.network, recording, scale, **options).images(centers)

    @property
    def has_motion_fields(self) -> bool:
        """Whether the module estimates motion fields."""
        predicted = self.hparams["interaction"] != "synthesis_only"
        return (self.hparams["align_input"] or predicted) and not self.hparams["oracle_flow"]

    @torch.inference_mode()
    def motion(
        self,
        recording: SpikeRecording,
        centers: Planes,
        *,
        rate_scale: float | None = None,
    ) -> Tensor:
        """Return the motion fields that align the blocks before and after an image to the image.

        The fields are optical flow if ``estimates_flow`` is True. Frames are not tiled.

        Args:
            recording: The spikes.
            centers: One or several planes of images.
            rate_scale: As for :meth:`reconstruct`.

        Returns:
            float32 ``(N, 2, 2, H, W)`` for N planes, on the CPU: to 20 planes before, to 20 planes
            after; (dx, dy) in pixels.

        Raises:
            PlaneRangeError: If a centre lies outside the recording, or the recording is shorter
                than half a window.
            UsageError: If ``recording`` is not a spike recording, or a centre is not an integer.
            ValueError: If the network predicts no motion.
        """
        if not self.has_motion_fields:
            raise ValueError(
                "a network with interaction 'synthesis_only' or oracle_flow estimates no motion"
            )
        check_recording(recording)
        planes = wanted_planes(centers, len(recording))
        scale = known_rate_scale(rate_scale, recording.rate_scale, self.own_rate_scale)
        with eval_mode(self):
            return torch.cat([self._field(recording, center, scale).cpu() for center in planes])

    def _field(self, recording: SpikeRecording, center: int, rate_scale: float) -> Tensor:
        """Return the main motion field at a plane, ``(1, 2, 2, H, W)``."""
        if self.hparams["align_input"]:
            return motion_at(recording, center, self.device)
        _, height, width = recording.shape
        clip = read_clip(recording, center, self.clip_length).to(self.device)
        spikes = unpack_tensor(clip, width)[None].float()
        planes, _, _ = self._network_input(spikes, spikes.new_tensor([rate_scale]))
        return fields_of(self.network.pyramid(planes), (height, width))[0]

    def training_step(self, batch: ReconstructionBatch | SceneBatch, batch_idx: int) -> Tensor:
        """Return the loss of clips, or the mean loss over the windows of scenes; log every term."""
        if "images" in batch:
            terms = scene_terms(
                self._terms,
                cast("SceneBatch", batch),
                list(self.network.parameters()),
                length=self.clip_length,
                is_first_counted=self.hparams["first_window_loss"],
                loss_scale=loss_scale_of(self),
            )
        else:
            terms = self._terms(batch)
        logged = {f"train/{name}": value for name, value in terms.items()}
        self.log_dict(logged, batch_size=len(batch["spikes"]))
        return terms["total"]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return Adam and the schedule of the learning rate per update."""
        return scheduled_adam(self, self.network.parameters())

    def _terms(self, batch: ReconstructionBatch) -> dict[str, Tensor]:
        self.loss = self.loss or self.make_loss()
        pyramid, _ = self._pyramid(batch)
        terms = self.loss(pyramid, batch["image"])
        weight = self.hparams["loss_motion"]
        if weight:
            terms["motion"] = field_loss(pyramid, ground_truth_flow(batch, "loss_motion"))
            terms["total"] = terms["total"] + weight * self._motion_left() * terms["motion"]
        return terms

    def _pyramid(self, batch: ReconstructionBatch) -> tuple[STIRPyramid, Tensor | None]:
        """Return the network's output for a batch, and the flow that aligned its input or None."""
        self.check_clip(batch["spikes"].shape[1])
        truth = self._true_flow(batch)
        planes, draft, fields = self._network_input(batch["spikes"], batch["rate_scale"], truth)
        if truth is None or fields is not None:
            return self.network.pyramid(planes, draft=draft), fields
        flows = oracle_flow_pyramid(truth, self.hparams["pyramid_levels"])
        return self.network.pyramid(planes, flows), None

    def _true_flow(self, batch: ReconstructionBatch) -> Tensor | None:
        """Return the oracle flow, or in training the true flow with errors; None to estimate it."""
        if self.hparams["oracle_flow"]:
            return ground_truth_flow(batch, "oracle_flow")
        if not (self.hparams["align_input"] and self.training and "flow" in batch):
            return None
        return with_errors(batch["flow"], torch.Generator().manual_seed(self.global_step))

    def _motion_left(self) -> float:
        """Return the remaining fraction of the weight of the flow loss."""
        if self.hparams["motion_schedule"] == "constant" or self._trainer is None:
            return 1.0
        return 1.0 - min(1.0, self.global_step / max(1.0, total_updates(self.trainer)))

    def _network_input(
        self, spikes: Tensor, rate_scale: Tensor | None, motion: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return the input of the network and, with ``align_input``, the draft and the flow."""
        if self.hparams["align_input"]:
            return aligned_windows(spikes, rate_scale, motion)
        if rate_scale is None or not self.hparams["scale_input"]:
            return spikes, None, None
        return spikes / rate_scale.to(spikes).view(-1, 1, 1, 1), None, None
