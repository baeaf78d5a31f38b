"""Feature extraction module (FEM): two pathways of binary filters, fused into one feature."""

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.features.blocks import (
    FEATURES,
    Res,
    Up,
    check_width,
    conv3,
    scale_channels,
    scale_repeats,
)
from spike_zoo.nn.fast.convolutions import PointwiseConv2d
from spike_zoo.nn.options import check_choice
from spike_zoo.nn.padding import crop_padding, pad_to_multiple
from spike_zoo.nn.precision import in_full_precision

Pathway = Literal["dual", "ventral", "dorsal"]
Fusion = Literal["pfu", "concat", "none"]

CAMERA_SCALE = 0.6  # rate scale to which spikes are normalised
WINDOW = 13
"""Planes of one feature: the span of the widest ventral filter and of the four dorsal filters."""
STEP = 7
"""Planes from one feature to the next; neighbouring windows share 6."""
NEIGHBOURS_PER_SIDE = 2
"""Neighbouring features on either side of a target that its analysis uses."""
CLIP = WINDOW + 2 * NEIGHBOURS_PER_SIDE * STEP
"""Planes that the analysis of one target uses: 41."""
MIN_SIDE = 16

VENTRAL_PLANES = tuple((6 - k // 2, 7 + k // 2) for k in (7, 9, 11, 13))
"""First and past-the-last plane of each ventral filter: symmetric growth from the centre."""
DORSAL_PLANES = tuple((3 - i, 13 - i) for i in range(4))
"""First and past-the-last plane of each dorsal filter: a window of 10 that slides backward."""

_BODY = 14  # residual blocks
_FUSED_AFTER = (3, 6, 9, 12)  # numbers of residual blocks, counted from 1


class BinaryConv2d(nn.Conv2d):
    """A convolution with two values of weights per output channel, ``-alpha`` and ``alpha``.

    ``alpha`` is the mean magnitude of the channel's float weights and has no gradient. The gradient
    of the sign is straight-through for weights in [-1, 1], and zero for others. Because spikes are
    bits, the layer needs only additions.
    """

    def binary_weight(self) -> Tensor:
        """Return the binarised weights."""
        alpha = self.weight.detach().abs().mean(dim=(1, 2, 3), keepdim=True)
        binary = torch.where(self.weight.detach() >= 0, alpha, -alpha)
        clipped = torch.where(self.weight.abs() <= 1, self.weight, self.weight.detach())
        return binary + (clipped - clipped.detach())

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with the binary weights."""
        return self._conv_forward(x, self.binary_weight(), self.bias)


class FilterAttention(nn.Module):
    """Gate the channels of all filters by self-attention between the filters.

    The maps of each filter are averaged to one token. One head of attention between the tokens
    yields the gates of the channels.

    Args:
        channels: Channels of one filter.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.qkv = nn.Linear(channels, 3 * channels)
        self.gate = nn.Linear(channels, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Gate the maps of n filters, ``(B, n C, H, W)`` -> the same shape."""
        tokens = maps.mean(dim=(-2, -1)).unflatten(1, (-1, self.channels))
        query, key, value = self.qkv(tokens).chunk(3, dim=-1)
        weights = torch.softmax(query @ key.transpose(1, 2) * self.channels**-0.5, dim=-1)
        gates = torch.sigmoid(self.gate(weights @ value))
        return maps * gates.flatten(1)[..., None, None]


class FilterBank(nn.Module):
    """Filters over different planes of a window, gated and concatenated.

    Args:
        planes: First and past-the-last plane of each filter.
        channels: Output channels of each filter.
        stride: Stride of all filters.
        attention: Whether the filters are gated by :class:`FilterAttention`.
        binarize: Whether the weights are binary.
    """

    def __init__(
        self,
        planes: Sequence[tuple[int, int]],
        channels: int,
        stride: int,
        *,
        attention: bool,
        binarize: bool,
    ) -> None:
        super().__init__()
        self.planes, self.stride = tuple(planes), stride
        layer = BinaryConv2d if binarize else nn.Conv2d
        self.filters = nn.ModuleList(
            layer(stop - start, channels, 3, stride=stride, padding=1) for start, stop in planes
        )
        self.attention = FilterAttention(channels) if attention else None

    def forward(self, window: Tensor) -> Tensor:
        """Return the maps of all filters, ``(B, 13, H, W)`` -> ``(B, n C, H', W')``."""
        # one convolution for all filters, whose weights are zero for planes that they do not take
        weights, count = [], window.shape[1]
        for layer, (start, stop) in zip(self.filters, self.planes, strict=True):
            weight = cast("nn.Conv2d", layer).weight
            taps = layer.binary_weight() if isinstance(layer, BinaryConv2d) else weight
            weights.append(F.pad(taps, (0, 0, 0, 0, start, count - stop)))
        bias = torch.cat([cast("Tensor", layer.bias) for layer in self.filters])
        maps = F.conv2d(window, torch.cat(weights), bias, self.stride, padding=1).relu_()
        return maps if self.attention is None else self.attention(maps)


class PFU(nn.Module):
    """Pathway fusing unit: add ventral content to the dorsal pathway, which gates the ventral one.

    The arguments are the channels of the ventral (full size) and of the dorsal pathway (half size).

    Source: the paper's Eq. (7). The paper does not describe the layers.
    """

    def __init__(self, ventral: int, dorsal: int) -> None:
        super().__init__()
        self.down = PointwiseConv2d(ventral, dorsal)
        self.refine = Res(dorsal)
        self.up = PointwiseConv2d(dorsal, ventral)
        self.gate = nn.Sequential(
            nn.Linear(ventral, ventral), nn.ReLU(), nn.Linear(ventral, ventral), nn.Sigmoid()
        )

    def forward(self, ventral: Tensor, dorsal: Tensor) -> tuple[Tensor, Tensor]:
        """Return both pathways, ``(B, V, H, W)`` and ``(B, D, H/2, W/2)``."""
        dorsal = self.refine(dorsal + self.down(F.avg_pool2d(ventral, 2)))
        raised = self.up(dorsal)
        gate = self.gate(raised.mean(dim=(-2, -1)))[..., None, None]
        return ventral * _doubled(1 + gate * torch.tanh(raised)), dorsal


class Concatenation(nn.Module):
    """Replacement of a PFU in the ablation: a 1x1 convolution of both pathways."""

    def __init__(self, ventral: int, dorsal: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(ventral + dorsal, ventral, 1)

    def forward(self, ventral: Tensor, dorsal: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mixed ventral pathway and the unchanged dorsal pathway."""
        return self.mix(torch.cat([ventral, _doubled(dorsal)], dim=1)), dorsal


class FEM(nn.Module):
    """Extract an image-like feature of the middle plane from 13 spike planes.

    The ventral pathway filters four windows that grow around the middle plane, at full size. The
    dorsal pathway filters four windows that slide over time, at half size. Fusing units in the
    trunk (:class:`PFU`) modulate the ventral pathway by the dorsal one.

    Args:
        width: Multiplier of channels and block counts; 1 is the paper's.
        pathway: ``"dual"``, or one of the two only.
        pfu: Fusion of the pathways: ``"pfu"``; ``"concat"``, a 1x1 convolution there;
            ``"none"``, one addition of the dorsal pathway before the tail.
        attention: Whether the filters of a pathway are gated by attention between them.
        binarize: Whether the filters' weights are binary.

    Shape:
        - planes: ``(B, 13, H, W)`` float; any H and W of at least 16.
        - Output: ``(B, 3, H, W)`` in (0, 1).

    Source: Sec. IV-A of the paper, which describes the windows of the filters and that they are
    binary. The other layers are ours, with the paper's budgets of parameters.

    Example:
        >>> planes = (torch.rand(1, 13, 24, 32) < 0.3).float()
        >>> FEM(width=0.25)(planes).shape
        torch.Size([1, 3, 24, 32])
    """

    def __init__(
        self,
        width: float = 1.0,
        pathway: Pathway = "dual",
        pfu: Fusion = "pfu",
        *,
        attention: bool = True,
        binarize: bool = True,
    ) -> None:
        super().__init__()
        check_width("fem_width", width)
        check_choice("pathway", pathway, Pathway)
        check_choice("pfu", pfu, Fusion)
        wide, half = scale_channels(64, width), scale_channels(32, width)
        filters = {"attention": attention, "binarize": binarize}
        self.ventral = self.dorsal = None
        if pathway != "dorsal":
            self.ventral = FilterBank(VENTRAL_PLANES, wide // 4, 1, **filters)
        if pathway != "ventral":
            self.dorsal = FilterBank(DORSAL_PLANES, half // 4, 2, **filters)
        self.enter = Up(half, wide) if pathway == "dorsal" else conv3(wide, wide)
        self.body = nn.ModuleList(Res(wide) for _ in range(scale_repeats(_BODY, width)))
        fuses = pathway == "dual" and pfu != "none"
        positions = tuple(number for number in _FUSED_AFTER if number <= len(self.body)) or (1,)
        self.fused_after = positions if fuses else ()
        unit = PFU if pfu == "pfu" else Concatenation
        self.fusion = nn.ModuleList(unit(wide, half) for _ in self.fused_after)
        adds = pathway == "dual" and pfu == "none"
        self.add = nn.Conv2d(half, wide, 1) if adds else None
        self.tail = nn.Sequential(conv3(wide, wide), conv3(wide, FEATURES), nn.Sigmoid())

    def forward(self, planes: Tensor) -> Tensor:
        """Extract the feature of plane 6: ``(B, 13, H, W)`` -> ``(B, 3, H, W)`` in (0, 1)."""
        _check_planes(planes)
        height, width = planes.shape[-2:]
        planes = pad_to_multiple(planes, 2)
        # bfloat16 would round binary weights and features, with the same sign in a whole channel
        dorsal = None if self.dorsal is None else in_full_precision(self.dorsal, planes)
        ventral = None if self.ventral is None else in_full_precision(self.ventral, planes)
        features = self.enter(dorsal if ventral is None else ventral)
        for number, block in enumerate(self.body, start=1):
            features = block(features)
            if number in self.fused_after:
                unit = self.fusion[self.fused_after.index(number)]
                features, dorsal = unit(features, dorsal)
        if self.add is not None:
            features = features + _doubled(self.add(dorsal))
        features = in_full_precision(self.tail[1:], self.tail[0](features))
        return crop_padding(features, height, width)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _check_planes(planes: Tensor) -> None:
    if planes.ndim != 4 or planes.shape[1] != WINDOW or not planes.shape[0]:
        raise ValueError(
            f"FEM takes {WINDOW} planes of spikes, (B, {WINDOW}, H, W), got {tuple(planes.shape)}"
        )
    if min(planes.shape[-2:]) < MIN_SIDE:
        raise ConfigError(
            f"planes of at least {MIN_SIDE} x {MIN_SIDE} pixels are needed, got "
            f"{planes.shape[-1]} x {planes.shape[-2]} (W x H)"
        )
