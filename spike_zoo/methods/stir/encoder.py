"""Pyramid encoder of STIR, applied to every embedded block of planes."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.nn import fast


class ResidualBlock(nn.Module):
    """Residual block of two 3x3 convolutions with a ReLU between them and none after the sum.

    Weights are initialised Xavier normal, biases 0.

    Shape:
        - Input and output: ``(B, channels, H, W)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        for conv in (self.conv1, self.conv2):
            nn.init.xavier_normal_(conv.weight)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]  # it has a bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the input plus the residual."""
        return x + self.conv2(F.relu(self.conv1(x), inplace=True))


class EncoderStage(nn.Module):
    """One encoder level: a convolution, a PReLU with one slope for all channels, a residual block.

    The convolution is initialised Xavier uniform, its bias 0.

    Args:
        in_channels: Channels of the level above.
        out_channels: Channels of this level.
        halves: Whether the level has a 3x3 convolution of stride 2 and a residual block. The first
            stage (False) has a 7x7 convolution of stride 1 and no residual block.
    """

    def __init__(self, in_channels: int, out_channels: int, *, halves: bool) -> None:
        super().__init__()
        kernel, stride = (3, 2) if halves else (7, 1)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2)
        self.act = fast.PReLU()
        self.res = ResidualBlock(out_channels) if halves else nn.Identity()
        nn.init.xavier_uniform_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]  # it has a bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of this level."""
        return self.res(self.act(self.conv(x)))


class PyramidEncoder(nn.Module):
    """Encoder of the features of levels 2 and coarser, each half the size of the previous level.

    Args:
        channels: Channels of every level, beginning with the embedding's (level 1).

    Shape:
        - Input: ``(N, channels[0], H, W)`` with H and W multiples of ``2 ** (levels - 1)``.
        - Output: one ``(N, channels[l - 1], H / 2**(l-1), W / 2**(l-1))`` for each l = 2, 3, ...
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        first = EncoderStage(channels[0], channels[0], halves=False)
        pairs = pairwise(channels)
        self.stages = nn.ModuleList([first, *(EncoderStage(a, b, halves=True) for a, b in pairs)])

    def forward(self, embedded: Tensor) -> list[Tensor]:
        """Encode a stack of embedded blocks."""
        features: list[Tensor] = []
        x = embedded
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features[1:]  # the first stage's output is only the input of the second
