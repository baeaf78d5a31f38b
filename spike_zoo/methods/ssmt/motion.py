"""Optical flow between clips by RAFT on spike intervals, with initial flow from the last clip."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.optical_flow import raft

from spike_zoo.nn.options import check_choice
from spike_zoo.nn.padding import crop_padding, split_evenly
from spike_zoo.nn.precision import without_autocast

MotionSize = Literal["large", "small"]

CLIP_PLANES: Final = 41
"""Planes of a clip; the middle plane is reconstructed."""

_COARSE = 8  # RAFT computes at 1/8 resolution
_RADIUS = {"large": 4, "small": 3}
_BUILD = {"large": raft.raft_large, "small": raft.raft_small}


class ClipFlow(NamedTuple):
    """Optical flow from a clip to the previous clip."""

    #: Flow after each update, ``(B, 2, H, W)`` in pixels between the middle planes of both clips;
    #: channel 0 points right, channel 1 down. Only the last flow in evaluation mode.
    flows: list[Tensor]
    #: the last flow at 1/8 resolution, ``(B, 2, h, w)`` in pixels of this resolution
    coarse: Tensor

    @property
    def flow(self) -> Tensor:
        """The last flow."""
        return self.flows[-1]


class MotionNetwork(nn.Module):
    """RAFT with all planes of a clip as input and an initial flow (eq. 9).

    Args:
        size: ``"large"`` (as published) or ``"small"``, see ``torchvision.models.optical_flow``.
        updates: Iterations, 8 as published.
        levels: Levels of the correlation pyramid, 4 as published. Planes are padded to at least
            ``8 * 2 ** levels`` pixels.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Teed and Deng, *RAFT: Recurrent All-Pairs Field Transforms for Optical Flow*, ECCV 2020;
    the implementation is torchvision's.
    """

    def __init__(self, size: MotionSize = "large", updates: int = 8, levels: int = 4) -> None:
        super().__init__()
        check_choice("motion_size", size, MotionSize)
        if updates < 1 or levels < 1:
            raise ValueError(
                f"motion_updates and correlation_levels must be at least 1, got {updates} and "
                f"{levels}"
            )
        self.updates, self.smallest = updates, _COARSE * 2**levels
        correlation = raft.CorrBlock(num_levels=levels, radius=_RADIUS[size])
        self.raft = _BUILD[size](weights=None, progress=False, corr_block=correlation)
        for encoder in (self.raft.feature_encoder, self.raft.context_encoder):
            encoder.convnormrelu[0] = _first_layer(encoder.convnormrelu[0].out_channels)

    def features(self, planes: Tensor) -> Tensor:
        """Return the features of a clip for the correlation.

        Args:
            planes: ``(B, 41, H, W)``.

        Returns:
            ``(B, F, h, w)``, at 1/8 of the padded size.
        """
        with without_autocast(planes.device.type):
            return self.raft.feature_encoder(self._padded(planes).float())

    def forward(
        self, planes: Tensor, features: Tensor, previous: Tensor, start: Tensor | None = None
    ) -> ClipFlow:
        """Estimate the flow from a clip to the previous clip, at the pixels of the later clip.

        Args:
            planes: Planes of the clip, ``(B, 41, H, W)``.
            features: :meth:`features` of the clip.
            previous: :meth:`features` of the previous clip.
            start: Initial coarse flow; 0 by default.
        """
        with without_autocast(planes.device.type):
            return self._estimate(planes.float(), features, previous, start)

    def _estimate(
        self, planes: Tensor, features: Tensor, previous: Tensor, start: Tensor | None
    ) -> ClipFlow:
        height, width = planes.shape[-2:]
        parts = self.raft
        parts.corr_block.build_pyramid(features, previous)
        context = parts.context_encoder(self._padded(planes))
        channels = parts.update_block.hidden_state_size
        hidden, context = context[:, :channels].tanh(), context[:, channels:].relu()
        grid = raft.make_coords_grid(len(planes), *features.shape[-2:], device=str(planes.device))
        position = grid if start is None else grid + start
        flows: list[Tensor] = []
        for update in range(self.updates):
            position = position.detach()
            correlation = parts.corr_block.index_pyramid(position)
            hidden, change = parts.update_block(hidden, context, correlation, position - grid)
            position = position + change
            if self.training or update == self.updates - 1:
                predictor = parts.mask_predictor
                mask = None if predictor is None else predictor(hidden)
                flow = raft.upsample_flow(position - grid, mask)
                flows.append(crop_padding(flow, height, width))
        return ClipFlow(flows, position - grid)

    def _padded(self, planes: Tensor) -> Tensor:
        sides = [max(self.smallest, side + -side % _COARSE) for side in planes.shape[-2:]]
        rows, columns = (
            split_evenly(padded - side)
            for padded, side in zip(sides, planes.shape[-2:], strict=True)
        )
        return F.pad(planes, (*columns, *rows), mode="replicate")


def _first_layer(channels: int) -> nn.Conv2d:
    """Return a layer like the first layer of RAFT, with the planes of a clip as input."""
    layer = nn.Conv2d(CLIP_PLANES, channels, 7, stride=2, padding=3)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


def flow_loss(flows: list[Tensor], truth: Tensor) -> Tensor:
    """Return the sum of the L1 distances of all updates; n updates before the last: weight 0.8^n.

    Flows, in order of the updates, and truth are ``(B, 2, H, W)``; the truth is NaN where unknown.
    """
    is_known = torch.isfinite(truth)
    target, count = truth.nan_to_num(), is_known.sum().clamp(min=1)
    terms = [
        0.8 ** (len(flows) - 1 - number) * ((flow - target).abs() * is_known).sum() / count
        for number, flow in enumerate(flows)
    ]
    return torch.stack(terms).sum()
