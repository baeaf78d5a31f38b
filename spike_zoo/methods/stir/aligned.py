"""Our extension of STIR: input aligned along optical flow, oracle flow, and losses on the flow."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from lightning import LightningDataModule
from torch import Tensor

from spike_zoo.errors import ConfigError
from spike_zoo.methods.classical import aligned_input
from spike_zoo.methods.classical.flow import FLOW_SOURCE, ground_truth_flow, oracle_flow_error
from spike_zoo.methods.stir.module import STIRModule
from spike_zoo.methods.stir.network import STIRPyramid
from spike_zoo.methods.stir.streaming import AlignedStream
from spike_zoo.nn import flow as flow_losses
from spike_zoo.nn.options import check_choice, options_of
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks.batch import ReconstructionBatch

FlowSchedule: TypeAlias = Literal["constant", "fading"]


@dataclass(frozen=True)
class FlowOptions:
    """Use of optical flow in :class:`AlignedSTIRModule`.

    Attributes:
        align_input: Whether the input is spike intervals aligned along the optical flow instead of
            spikes, and the network corrects their mean, see :func:`aligned_window`. If data
            provide ground-truth flow, training uses this flow with errors.
        oracle: Whether the planes (without ``align_input``, the features) are aligned by the
            ground-truth flow in training and test, as an upper bound. Needs data with flow.
        weight: Weight of the flow error at every level, against the ground truth that data
            provide with ``flow_offset: 20``. Not with ``align_input``.
        schedule: Whether that weight is ``"constant"``, or ``"fading"`` to 0 over the run.
        start_from_doubled: Initialise each level's flow as twice the coarser level's flow.

    Raises:
        ValueError: If an option is outside its range, or contradicts another option.
    """

    align_input: bool = True
    oracle: bool = False
    weight: float = 0.0
    schedule: FlowSchedule = "constant"
    start_from_doubled: bool = False

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError(f"flow.weight must be 0 or more, got {self.weight}")
        check_choice("flow.schedule", self.schedule, FlowSchedule)
        if self.weight and (self.oracle or self.align_input):
            option = "oracle" if self.oracle else "align_input"
            raise ValueError(f"flow.weight: not with {option}, which replaces the predicted flow")

    @property
    def needs_prediction(self) -> str:
        """Option that needs a network with flow; empty if there is none."""
        if self.weight:
            return "weight"
        return "oracle" if self.oracle and not self.align_input else ""


FLOW = FlowOptions()


class AlignedSTIRModule(STIRModule):
    """Train :class:`STIR` with optical flow from outside of the network.

    Args:
        flow: Use of the optical flow.
        options: Arguments of :class:`STIRModule`.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(self, flow: FlowOptions = FLOW, **options: Any) -> None:
        super().__init__(**options)
        self.flow = options_of(FlowOptions, flow)
        if (option := self.flow.needs_prediction) and not self.network.predicts_flow:
            raise ValueError(f"flow.{option}: interaction synthesis_only predicts no flow")
        # Fields of a network trained only with image losses differ strongly from the flow.
        is_flow = self.flow.align_input or self.flow.weight > 0
        self.estimates_flow = is_flow and not self.flow.oracle
        if self.flow.start_from_doubled:
            self.network.start_from_doubled_flows()
        if self.flow.align_input:
            if not self.scale_input:
                raise ValueError("flow.align_input: requires scale_input: true")
            self.clip_length, self.takes_seconds = aligned_input.CLIP_PLANES, True
            self.flow_source = "" if self.flow.oracle else FLOW_SOURCE
            self.stream = AlignedStream
            self.network.start_from_drafts()

    def check_data(self, datamodule: LightningDataModule, stage: str) -> None:
        """Raise ConfigError also for targets that are not better than the network's own input."""
        super().check_data(datamodule, stage)
        if stage == "fit" and self.flow.align_input and getattr(datamodule, "targets", None):
            raise ConfigError(
                "data.init_args.targets: the input of a network with flow.align_input, such as "
                "stir, contains the image of tfi-aligned, and it would only learn to repeat this "
                "image. Adapt plain (--config finetune) instead"
            )

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, T, H, W)`` -> ``(B, 1, H, W)`` in [0, 1].

        Raises:
            UsageError: If the module needs the oracle flow.
        """
        if self.flow.oracle:
            raise oracle_flow_error("flow.oracle")
        if not self.flow.align_input:
            return super().forward(spikes, rate_scale)
        window = aligned_input.aligned_windows(spikes, rate_scale)
        return self.network(window.planes, window.draft)

    def predict_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        """Return the reconstruction, ``(B, 1, H, W)``, along the oracle flow if configured."""
        if self.flow.oracle:
            return self.pyramid(batch)[0].image.float()
        return super().predict_step(batch, batch_idx)

    def loss_terms(self, pyramid: STIRPyramid, batch: ReconstructionBatch) -> dict[str, Tensor]:
        """Return the terms of the loss, with the error of the flow as ``"flow"`` if it has one."""
        terms = super().loss_terms(pyramid, batch)
        if self.flow.weight:
            terms["flow"] = field_loss(pyramid, ground_truth_flow(batch, "flow.weight"))
            share = 1.0 - self.progress if self.flow.schedule == "fading" else 1.0
            terms["total"] = terms["total"] + self.flow.weight * share * terms["flow"]
        return terms

    def pyramid(
        self, batch: ReconstructionBatch, flows: Mapping[int, Tensor] | None = None
    ) -> tuple[STIRPyramid, Sequence[Tensor]]:
        """Return the network's output for a batch, and the fields of the alignment."""
        self.check_clip(batch["spikes"].shape[1])
        truth = self._true_flow(batch)
        if self.flow.align_input:
            window = aligned_input.aligned_windows(batch["spikes"], batch["rate_scale"], truth)
            return self.network.pyramid(window.planes, draft=window.draft), [window.fields]
        if truth is not None:
            flows = oracle_flow_pyramid(truth, self.network.pyramid_levels)
        return super().pyramid(batch, flows)

    def _true_flow(self, batch: ReconstructionBatch) -> Tensor | None:
        """Return the oracle flow, or in training the true flow with errors; None to estimate it."""
        if self.flow.oracle:
            return ground_truth_flow(batch, "flow.oracle")
        if not (self.flow.align_input and self.training and "flow" in batch):
            return None
        errors = torch.Generator().manual_seed(self.global_step)
        return aligned_input.with_errors(batch["flow"], errors)

    def _stream(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        if self.flow.oracle:
            raise oracle_flow_error("flow.oracle")
        yield from super()._stream(recording, centers, rate_scale)

    def _fields(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float | None
    ) -> Iterator[Tensor]:
        if self.flow.oracle:
            raise ValueError("a network with the oracle flow estimates no motion")
        if not self.flow.align_input:
            yield from super()._fields(recording, centers, rate_scale)
            return
        with torch.inference_mode():
            for center in centers:
                yield aligned_input.flow_at(recording, center, self.device).cpu()


def field_loss(pyramid: STIRPyramid, truth: Tensor) -> Tensor:
    """Return the flow loss over all levels, averaged over both directions.

    The flow of a level is the refined flow; at level 1, which has no refinement, the up-sampled
    flow of level 2. ``truth`` is the flow from the middle to the first and the last block,
    ``(B, 2, 2, H, W)``.
    """
    count = len(pyramid.levels)
    padded = flow_losses.padded_flow(truth, 2 ** (count - 1)).flatten(0, 1)
    flows = {}
    for number, level in pyramid.levels.items():
        flow = level.upflow if number == 1 else level.flow
        if flow is not None:
            # (B, 4, h, w) is x, y to the first, then x, y to the last block
            flows[2 ** (number - 1)] = flow.float().unflatten(1, (2, 2)).flatten(0, 1)
    return flow_losses.flow_loss(flows, padded)


def oracle_flow_pyramid(truth: Tensor, pyramid_levels: int) -> dict[int, Tensor]:
    """Return ground-truth flow as flows that align the features of every level; unknown flow is 0.

    ``truth`` is that of :func:`field_loss`. The result is level -> flow ``(B, 4, h, w)`` in pixels
    of the level, for all levels but the coarsest.
    """
    padded = flow_losses.padded_flow(truth, 2 ** (pyramid_levels - 1)).flatten(0, 1)
    flows = {}
    for level in range(1, pyramid_levels):
        pooled = flow_losses.pooled_flow(padded, 2 ** (level - 1)).nan_to_num(nan=0.0)
        flows[level] = pooled.unflatten(0, (-1, 2)).flatten(1, 2)  # x, y to the first, to the last
    return flows
