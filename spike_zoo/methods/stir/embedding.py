"""Hybrid spike embedding representation (HSER) of blocks of planes."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.nn import fast
from spike_zoo.nn.fast.layout import to_layer_format
from spike_zoo.nn.options import check_choice

BLOCK_PLANES = 21  # planes of one block
EMBEDDING_CHANNELS = 16  # of every kind of embedding
DILATIONS = (1, 2, 3, 4)
EmbeddingKind = Literal[
    "tfp+resnet", "tfp", "resnet", "multi_dilated", "hist", "tfp+multi_dilated", "tfp+hist"
]


def nested_windows(planes: int, step: int) -> list[tuple[int, int]]:
    """Return the half-open virtual exposure windows of a block, longest first, all centred.

    The first window is the block. Then ``step``, ``2 * step``, ... planes are removed at each end,
    fewer than half of the block in each case.
    """
    return [(cut, planes - cut) for cut in (0, *range(step, planes // 2, step))]


class NestedTFP(nn.Module):
    """Explicit embedding: texture from playback over nested windows, longest first.

    Shape:
        - block: ``(B, T, H, W)``.
        - Output: ``(B, windows, H, W)``, firing rates.
    """

    def __init__(self, step: int) -> None:
        super().__init__()
        self.windows = nested_windows(BLOCK_PLANES, step)

    def forward(self, block: Tensor) -> Tensor:
        """Average the planes of every window."""
        return torch.stack([block[:, a:b].mean(dim=1) for a, b in self.windows], dim=1)


class ResidualEmbedding(nn.Module):
    """Implicit embedding: one residual block with batch norms on the planes.

    Shape:
        - block: ``(B, 21, H, W)``.
        - Output: ``(B, channels, H, W)``, not negative.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(BLOCK_PLANES, channels, kernel_size=3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = fast.PointwiseConv2d(BLOCK_PLANES, channels)

    def forward(self, block: Tensor) -> Tensor:
        """Embed the block."""
        block = to_layer_format(self.conv1, block)  # two layers read it
        y = F.relu(fast.conv_norm(self.conv1, self.bn1, block), inplace=True)
        y = fast.conv_norm(self.conv2, self.bn2, y)
        return F.relu(y.add_(self.shortcut(block)), inplace=True)


class MultiDilatedEmbedding(nn.Module):
    """Implicit embedding: parallel convolutions of dilation 1 to 4.

    STIR's ablation names a multi-dilated embedding without a definition. This architecture is
    developed in this project.

    Shape:
        - block: ``(B, 21, H, W)``.
        - Output: ``(B, channels, H, W)``, not negative.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                nn.Conv2d(
                    BLOCK_PLANES, channels, kernel_size=3, padding=dilation, dilation=dilation
                )
                for dilation in DILATIONS
            ]
        )
        self.mix = nn.Conv2d(len(DILATIONS) * channels, channels, kernel_size=1)

    def forward(self, block: Tensor) -> Tensor:
        """Embed the block."""
        features = torch.cat([F.relu(branch(block)) for branch in self.branches], dim=1)
        return F.relu(self.mix(features))


class HierarchicalEmbedding(nn.Module):
    """Implicit embedding: hierarchical fusion in time of 7, 14 and 21 planes.

    STIR's ablation names HiST without a definition, presumably the hierarchical spatial-temporal
    fusion of Zhao et al., *Optical Flow for Spike Camera with Hierarchical Spatial-Temporal Spike
    Fusion*, AAAI 2024. This architecture is developed in this project.

    Shape:
        - block: ``(B, 21, H, W)``.
        - Output: ``(B, channels, H, W)``, not negative.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.local = nn.Conv2d(BLOCK_PLANES // 3, channels, kernel_size=3, padding=1)
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
    """Hybrid spike embedding representation: firing rates concatenated with learned channels.

    Args:
        kind: ``"tfp+resnet"`` (5 nested windows and 11 learned channels, as in the paper),
            ``"tfp"`` (10 windows mixed by a 1x1 convolution) or ``"resnet"`` (16 learned channels).
            ``resnet`` may be replaced by ``multi_dilated`` or ``hist``.

    Shape:
        - block: ``(N, 21, H, W)``. Batch norms use the statistics of one call in training, so the
          blocks of a window must be stacked along N.
        - Output: ``(N, 16, H, W)``.

    Raises:
        ValueError: If the kind is unknown.

    Source: Fan et al., *Spatio-Temporal Interactive Learning for Efficient Image Reconstruction of
    Spiking Cameras*, NeurIPS 2024.
    """

    def __init__(self, kind: EmbeddingKind = "tfp+resnet") -> None:
        super().__init__()
        check_choice("embedding", kind, EmbeddingKind)
        learned = IMPLICIT.get(kind.removeprefix("tfp+"))
        has_rates = kind.startswith("tfp")
        self.explicit = NestedTFP(step=2 if learned else 1) if has_rates else None
        rates = len(self.explicit.windows) if self.explicit else 0
        self.implicit = learned(EMBEDDING_CHANNELS - rates) if learned else None
        self.mix = None if learned else nn.Conv2d(rates, EMBEDDING_CHANNELS, kernel_size=1)

    def forward(self, block: Tensor) -> Tensor:
        """Embed a stack of blocks."""
        parts = [part(block) for part in (self.explicit, self.implicit) if part is not None]
        embedded = fast.join_channels(parts)
        return embedded if self.mix is None else self.mix(embedded)
