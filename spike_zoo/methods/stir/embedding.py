"""The hybrid spike embedding (HSER): what one block of planes looks like to the encoder."""

from __future__ import annotations

from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.nn.fast.conv_prelu import is_channels_last, join_rows
from spike_zoo.nn.fast.narrow_conv import convolve_pointwise
from spike_zoo.nn.fast.warp import fold, only_makes_pictures

BLOCK_PLANES = 21  # planes of one block
EMBEDDING_CHANNELS = 16  # of every embedding, so that the rest of the network does not change
DILATIONS = (1, 2, 3, 4)
EmbeddingKind = Literal[
    "tfp+resnet", "tfp", "resnet", "multi_dilated", "hist", "tfp+multi_dilated", "tfp+hist"
]


def nested_windows(planes: int, step: int) -> list[tuple[int, int]]:
    """Return the half-open virtual exposure windows of a block, longest first, all centred.

    The whole block, then ``step``, ``2 * step``, ... planes taken off at each end while less than
    half of the block is taken off.
    """
    return [(cut, planes - cut) for cut in (0, *range(step, planes // 2, step))]


class NestedTFP(nn.Module):
    """Explicit embedding: texture from playback over nested windows, longest first.

    Shape:
        - block: ``(B, T, H, W)``.
        - Output: ``(B, windows, H, W)``, firing rates.
    """

    def __init__(self, step: int, planes: int = BLOCK_PLANES) -> None:
        super().__init__()
        self.windows = nested_windows(planes, step)

    def forward(self, block: Tensor) -> Tensor:
        """Average the planes of every window."""
        return torch.stack([block[:, a:b].mean(dim=1) for a, b in self.windows], dim=1)


class ResidualEmbedding(nn.Module):
    """Implicit embedding: one residual block with batch norms straight on the planes.

    Shape:
        - block: ``(B, 21, H, W)``.
        - Output: ``(B, channels, H, W)``, not negative.
    """

    def __init__(self, channels: int, planes: int = BLOCK_PLANES) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(planes, channels, kernel_size=3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Conv2d(planes, channels, kernel_size=1)

    def forward(self, block: Tensor) -> Tensor:
        """Embed the block."""
        if is_channels_last(self.conv1):
            block = block.contiguous(memory_format=torch.channels_last)  # two layers read it
        if only_makes_pictures(block) and not self.training:
            return self._folded(block)
        y = F.relu(_normalise(self.bn1, self.conv1(block)), inplace=True)
        y = _normalise(self.bn2, self.conv2(y))
        return F.relu(y + self._shortcut(block), inplace=True)

    def _shortcut(self, block: Tensor) -> Tensor:
        if block.device.type == "cpu" and is_channels_last(self.conv1):
            return convolve_pointwise(block, self.shortcut.weight, self.shortcut.bias)
        return cast("Tensor", self.shortcut(block))

    def _folded(self, block: Tensor) -> Tensor:
        """Embed a block with the batch norms inside the convolutions."""
        y = F.conv2d(block, *fold(self.conv1, self.bn1), padding=1).relu_()
        y = F.conv2d(y, *fold(self.conv2, self.bn2), padding=1)
        return self._shortcut(block).add_(y).relu_()


def _normalise(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Apply a batch norm whose statistics are exact to float32.

    On processors PyTorch adds up the numbers of a channel in float32 where they lie channels-last,
    and in float64 where they lie together; the difference moves the image by 1e-5.
    """
    if not norm.training or x.device.type != "cpu" or x.dtype != torch.float32:
        return norm(x)
    normal = norm(x.contiguous())
    return normal if x.is_contiguous() else normal.contiguous(memory_format=torch.channels_last)


class MultiDilatedEmbedding(nn.Module):
    """Implicit embedding: the same planes seen by convolutions of growing dilation.

    STIR's ablation names a multi-dilated embedding and does not define it; this construction is
    ours.

    Shape:
        - block: ``(B, 21, H, W)``.
        - Output: ``(B, channels, H, W)``, not negative.
    """

    def __init__(self, channels: int, planes: int = BLOCK_PLANES) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                nn.Conv2d(planes, channels, kernel_size=3, padding=dilation, dilation=dilation)
                for dilation in DILATIONS
            ]
        )
        self.mix = nn.Conv2d(len(DILATIONS) * channels, channels, kernel_size=1)

    def forward(self, block: Tensor) -> Tensor:
        """Embed the block."""
        seen = torch.cat([F.relu(branch(block)) for branch in self.branches], dim=1)
        return F.relu(self.mix(seen))


class HierarchicalEmbedding(nn.Module):
    """Implicit embedding: thirds of the block, joined in time step by step (7, 14, 21 planes).

    STIR's ablation names HiST, presumably the hierarchical spatial-temporal fusion of Zhao et al.,
    *Optical Flow for Spike Camera with Hierarchical Spatial-Temporal Spike Fusion*, AAAI 2024, and
    does not define it; this construction is ours.

    Shape:
        - block: ``(B, 21, H, W)``.
        - Output: ``(B, channels, H, W)``, not negative.
    """

    def __init__(self, channels: int, planes: int = BLOCK_PLANES) -> None:
        super().__init__()
        self.local = nn.Conv2d(planes // 3, channels, kernel_size=3, padding=1)
        self.pair = nn.Conv2d(2 * channels, channels, kernel_size=3, padding=1)
        self.whole = nn.Conv2d(2 * channels, channels, kernel_size=3, padding=1)

    def forward(self, block: Tensor) -> Tensor:
        """Embed the block."""
        early, middle, late = (F.relu(self.local(part)) for part in block.chunk(3, dim=1))
        first = F.relu(self.pair(torch.cat((early, middle), dim=1)))
        last = F.relu(self.pair(torch.cat((middle, late), dim=1)))
        return F.relu(self.whole(torch.cat((first, last), dim=1)))


IMPLICIT = {
    "resnet": ResidualEmbedding,
    "multi_dilated": MultiDilatedEmbedding,
    "hist": HierarchicalEmbedding,
}


class HybridEmbedding(nn.Module):
    """Hybrid spike embedding representation: firing rates beside learned channels.

    Args:
        kind: ``"tfp+resnet"`` (5 nested windows and 11 learned channels, the paper's choice),
            ``"tfp"`` (10 windows mixed by a 1x1 convolution) or ``"resnet"`` (16 learned ones).
            In place of ``resnet`` also ``multi_dilated`` or ``hist``.

    Shape:
        - block: ``(N, 21, H, W)``. Training batch statistics are those of one call, so blocks that
          belong together are stacked along N.
        - Output: ``(N, 16, H, W)``.

    Raises:
        ValueError: If the kind is none of these.

    Source: Fan et al., *Spatio-Temporal Interactive Learning for Efficient Image Reconstruction of
    Spiking Cameras*, NeurIPS 2024.
    """

    def __init__(self, kind: EmbeddingKind = "tfp+resnet") -> None:
        super().__init__()
        if kind not in get_args(EmbeddingKind):
            raise ValueError(f"embedding must be one of {get_args(EmbeddingKind)}, got {kind!r}")
        learned = IMPLICIT.get(kind.removeprefix("tfp+"))
        has_rates = kind.startswith("tfp")
        self.explicit = NestedTFP(step=2 if learned else 1) if has_rates else None
        rates = len(self.explicit.windows) if self.explicit else 0
        self.implicit = learned(EMBEDDING_CHANNELS - rates) if learned else None
        self.mix = None if learned else nn.Conv2d(rates, EMBEDDING_CHANNELS, kernel_size=1)

    def forward(self, block: Tensor) -> Tensor:
        """Embed a stack of blocks."""
        parts = [part(block) for part in (self.explicit, self.implicit) if part is not None]
        is_rows = parts[-1].is_contiguous(memory_format=torch.channels_last)
        embedded = join_rows(parts) if is_rows else torch.cat(parts, dim=1)
        return embedded if self.mix is None else self.mix(embedded)
