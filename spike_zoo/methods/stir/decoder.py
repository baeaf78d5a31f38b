"""Coarse-to-fine decoders of STIR that predict image and optical flow at every level."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.methods.stir.encoder import ResidualBlock
from spike_zoo.nn import fast
from spike_zoo.nn.precision import in_full_precision
from spike_zoo.nn.warp import warp

Interaction = Literal["both", "warp_only", "synthesis_only"]

_HEAD_FACTOR = 0.01  # factor of the random initial weights of an image head


class Features(NamedTuple):
    """Features of the three blocks at one level, each ``(B, C, h, w)``."""

    first: Tensor
    middle: Tensor
    last: Tensor


class Level(NamedTuple):
    """Output of the decoder of one level.

    Flows are in pixels of the level: (x, y) to the first, then (x, y) to the last block. They are
    None without warping.

    Shape:
        - image: ``(B, 1, h, w)``, not clamped.
        - hidden: ``(B, 3C, h, w)``.
        - flow: ``(B, 4, h, w)``, the flow refined at this level; None at level 1, which has no
          refinement.
        - upflow: ``(B, 4, h, w)``, up-sampled from the coarser level and used for the warps of
          this level; None at the coarsest level.
        - extra_flow: ``(B, 4(G-1), h, w)``, the additional flow fields of level 1.
    """

    image: Tensor
    hidden: Tensor
    flow: Tensor | None = None
    upflow: Tensor | None = None
    extra_flow: Tensor | None = None


def _upsampling(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1)


@torch.no_grad()
def init_bilinear(layer: nn.ConvTranspose2d) -> None:
    """Initialise a layer that up-samples flows in pixels: bilinear, with doubled values."""
    tent = torch.tensor([0.25, 0.75, 0.75, 0.25])
    one_to_one = torch.eye(layer.in_channels)[:, :, None, None]
    layer.weight.copy_(2.0 * one_to_one * torch.outer(tent, tent))
    cast("Tensor", layer.bias).zero_()


@torch.no_grad()
def init_image_head(head: fast.NarrowConv2d) -> None:
    """Initialise the image channel (the last) of a head near zero; keep the flow channels."""
    head.weight[-1:] *= _HEAD_FACTOR  # weights of 0 would pass no gradient
    cast("Tensor", head.bias)[-1:] = 0


class TopDecoder(nn.Module):
    """Decoder of the coarsest level: first estimate of image and flow.

    Shape:
        - joined: ``(B, 3C, h, w)``, output of the attention.
    """

    def __init__(self, channels: int, *, predicts_flow: bool = True) -> None:
        super().__init__()
        hidden = 3 * channels
        self.predicts_flow = predicts_flow
        self.fuse = fast.ConvPReLU(hidden, hidden)
        self.res = ResidualBlock(hidden)
        self.head = fast.NarrowConv2d(hidden, 5 if predicts_flow else 1)

    def forward(self, joined: Tensor) -> Level:
        """Decode the coarsest level."""
        hidden = self.res(self.fuse(joined))
        prediction = in_full_precision(self.head, hidden)
        if not self.predicts_flow:
            return Level(prediction, hidden)
        flow, image = prediction[:, :4], prediction[:, 4:]
        return Level(image, hidden, flow=flow)


class RefiningDecoder(nn.Module):
    """Decoder of a finer level: align and fuse the features, and predict image and flow.

    Coarser levels than level 1 also refine the flow. At level 1, additional flow fields start
    from the coarser level's flow before its refinement.

    Args:
        channels: C, feature channels of this level.
        coarser_hidden: Hidden channels of the coarser level.
        interaction: ``"both"`` fuses the middle feature with the warped side features,
            ``"warp_only"`` omits the middle feature, ``"synthesis_only"`` fuses all three without
            warping and predicts no flow.
        hidden_channels: Channels that the coarser hidden state is reduced to.
        flow_fields: G of level 1, pairs of flows that align the side features; no effect
            without warping. None at other levels, which have one pair.

    Shape:
        - features: three times ``(B, C, h, w)``.
        - coarser: the level of size ``h/2 x w/2``.
        - flow_override: ``(B, 4, h, w)``, flow for the alignment that replaces the up-sampled
          coarser flow.
        - draft: ``(B, 1, h, w)``, an image that all levels correct; None in the paper.
    """

    def __init__(
        self,
        channels: int,
        coarser_hidden: int,
        interaction: Interaction = "both",
        hidden_channels: int = 8,
        flow_fields: int | None = None,
    ) -> None:
        super().__init__()
        self.interaction = interaction
        self.warps = interaction != "synthesis_only"
        self.corrects_flow = self.warps and flow_fields is None
        fields = flow_fields or 1 if self.warps else 1
        fused = 1 + hidden_channels + 2 * channels * fields
        fused += 4 * fields if self.warps else 0
        fused += channels if interaction != "warp_only" else 0
        if self.warps:
            self.up_flow = _upsampling(4, 4)
        self.up_hidden = _upsampling(coarser_hidden, hidden_channels)
        self.fuse1 = fast.JoiningConvPReLU(fused, fused)
        self.fuse2 = fast.ConvPReLU(fused, 3 * channels)
        self.res = ResidualBlock(3 * channels)
        self.head = fast.NarrowConv2d(3 * channels, 5 if self.corrects_flow else 1)
        self.extra_fields = fields - 1
        if self.extra_fields:
            flows = 4 * self.extra_fields
            self.extra_flow = fast.NarrowConv2d(coarser_hidden, flows)
            self.up_extra_flow = _upsampling(flows, flows)

    def forward(
        self,
        features: Features,
        coarser: Level,
        flow_override: Tensor | None = None,
        draft: Tensor | None = None,
    ) -> Level:
        """Decode this level."""
        upflow, extra = self.upflow(coarser.flow, flow_override), self.extra(coarser)
        flows = [flow for flow in (upflow, extra) if flow is not None]
        hidden = self.res(self.fuse2(self.fuse1(self._join(features, coarser, flows, draft))))
        image = in_full_precision(self.head, hidden)
        if not self.corrects_flow or upflow is None:
            return Level(image, hidden, upflow=upflow, extra_flow=extra)
        change, image = image[:, :4], image[:, 4:]
        return Level(image, hidden, flow=upflow + change, upflow=upflow)

    def upflow(self, coarser: Tensor | None, flow_override: Tensor | None) -> Tensor | None:
        """Return the flow of the alignment: ``flow_override``, or the coarser flow up-sampled."""
        if coarser is None:
            return None
        # Not doubled here, although flows are in pixels of the level: the layer learns the scale.
        return in_full_precision(self.up_flow, coarser) if flow_override is None else flow_override

    def extra(self, coarser: Level) -> Tensor | None:
        """Return the additional flow fields of level 1."""
        if coarser.upflow is None or not self.extra_fields:
            return None
        # Initialised from the flow that warped level 2. The main field is initialised from the
        # refined flow of level 2, so the additional fields can differ from it.
        start = coarser.upflow.repeat(1, self.extra_fields, 1, 1)
        change = in_full_precision(self.extra_flow, coarser.hidden)
        return in_full_precision(self.up_extra_flow, start + change)

    def align(self, features: Features, flows: Sequence[Tensor]) -> list[Tensor]:
        """Return the features to fuse: the side features warped by every flow field, and others.

        The middle feature is first, except for ``"warp_only"``. Without warping, the side features
        are returned unchanged.
        """
        aligned = [features.middle] if self.interaction != "warp_only" else []
        if not self.warps:
            return [*aligned, features.first, features.last]
        fields = [field for flow in flows for field in flow.chunk(flow.shape[1] // 4, dim=1)]
        # grid_sample would copy channels-last features for every flow
        first, last = features.first.contiguous(), features.last.contiguous()
        for field in fields:  # two flows that start at the middle block, one to each side
            to_first, to_last = field.chunk(2, dim=1)
            aligned += [warp(first, to_first), warp(last, to_last)]
        return aligned

    def _join(
        self, features: Features, coarser: Level, flows: Sequence[Tensor], draft: Tensor | None
    ) -> Tensor:
        # a separate function, so that the warped features, the largest tensors, are freed early
        image = F.interpolate(coarser.image, scale_factor=2.0, mode="bilinear")
        image = image if draft is None else image + draft
        aligned, hidden = self.align(features, flows), self.up_hidden(coarser.hidden)
        return self.fuse1.join([image, *aligned, hidden, *flows])
