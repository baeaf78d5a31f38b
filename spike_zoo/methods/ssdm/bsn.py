"""The blind-spot network (BSN) of the teacher: denoises firing rates without clean examples."""

from __future__ import annotations

from itertools import pairwise
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.checkpoints.state_dicts import WeightsSource, check_entries, read_state_dict
from spike_zoo.nn.fast import lay_out
from spike_zoo.nn.padding import crop_padding, pad_to_square, split_evenly
from spike_zoo.nn.precision import in_full_precision

CHANNELS = 48
SLOPE = 0.1  # of the leaky activations
FEATURES_SHARE = 0.01  # of the last layer, where the network starts as a mean of neighbours


def shift_down(x: Tensor) -> Tensor:
    """Return ``(B, C, H, W)`` moved down by one row, zeros on top."""
    return F.pad(x[..., :-1, :], (0, 0, 1, 0))


class BlindConv(nn.Module):
    """A 3x3 convolution of each row with the two above it, then a leaky activation.

    Left and right the border is repeated, above the image it is dark. The published form (a row of
    zeros, all sides repeated, the last row dropped) has the same result.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and activate: ``(B, in, H, W)`` -> ``(B, out, H, W)``."""
        sides = F.pad(x, (1, 1, 0, 0), mode="replicate")
        return F.leaky_relu(self.conv(F.pad(sides, (0, 0, 2, 0))), SLOPE, inplace=True)


class BlindStage(nn.Module):
    """Blind convolutions one after the other, and a pooling of 2x2 that sees no row below.

    Args:
        channels: Of the input and after every convolution.
        pools: Whether the result is halved.
    """

    def __init__(self, *channels: int, pools: bool = False) -> None:
        super().__init__()
        self.pools = pools
        for number, pair in enumerate(pairwise(channels), start=1):
            self.add_module(f"conv{number}", BlindConv(*pair))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, C, H, W)``, or half of the size where the stage pools."""
        for conv in self.children():
            x = conv(x)
        return F.max_pool2d(shift_down(x), kernel_size=2) if self.pools else x


class BlindUNet(nn.Module):
    """A U-Net in which every row depends on itself and the rows above it only.

    The skips are the pooled features of the first stage and the input itself.

    Shape:
        - Input: ``(B, 1, H, W)``, H and W at least 4.
        - Output: ``(B, 96, H, W)``.
    """

    def __init__(self) -> None:
        super().__init__()
        c, wide = CHANNELS, 2 * CHANNELS
        self.enc1 = BlindStage(1, c, c, c, pools=True)
        self.enc2 = BlindStage(c, c, c, c, pools=True)
        self.enc3 = BlindStage(c, wide, wide, c)
        self.dec2 = BlindStage(2 * c, wide, wide, wide, wide)
        self.dec1 = BlindStage(wide + 1, wide, wide, wide, wide)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of every pixel."""
        half = self.enc1(x)
        quarter = self.enc3(self.enc2(half))
        return self.dec1(_joined(self.dec2(_joined(quarter, half)), x))


class BSN(nn.Module):
    """Denoise an image of firing rates, each pixel from all others but itself.

    Four rotations of the image go through one U-Net that sees no row below; moved down by one row,
    turned back and joined, they see everything but the pixel. Trained to give its own noisy input
    it can only output what neighbours predict, and noise that is independent between pixels is not
    among that. There is no bias anywhere, so ``BSN(a x) = a BSN(x)`` for a > 0.

    The pixel is unseen on **square** images only. Others are made square by mirroring, as
    published, and then a pixel nearer to the mirror than half of the difference is seen in it.
    Training crops are square.

    Entries of the state dict have the published names. Convolutions compute channels-last, which
    is faster on CPUs.

    Shape:
        - Input: ``(B, 1, H, W)``, each side at least 4, and the longer one less than three times
          the shorter one.
        - Output: ``(B, 1, H, W)``, not clipped.

    Raises:
        ValueError: If the input is of another shape.

    Source: Laine et al., *High-Quality Self-Supervised Deep Image Denoising*, NeurIPS 2019, as used
    by Chen et al., *SpikeReveal*, NeurIPS 2024, Sec. 3.3.

    Example:
        >>> rates = torch.rand(1, 1, 16, 16)
        >>> BSN()(rates).shape
        torch.Size([1, 1, 16, 16])
    """

    def __init__(self) -> None:
        super().__init__()
        joined = 4 * 2 * CHANNELS
        self.unet = BlindUNet()
        self.nin_A = nn.Conv2d(joined, joined, kernel_size=1, bias=False)
        self.nin_B = nn.Conv2d(joined, joined // 4, kernel_size=1, bias=False)
        self.nin_C = nn.Conv2d(joined // 4, 1, kernel_size=1, bias=False)
        lay_out(self, torch.channels_last)

    @classmethod
    def from_official(cls, source: WeightsSource) -> Self:
        """Return the network with published weights, in evaluation mode.

        Args:
            source: A file or a state dict, see :meth:`LDN.from_official`.

        Raises:
            WeightsError: If names or shapes differ; the message names the first of each kind.
            MissingFileError: If there is no such file.
        """
        network, state = cls(), read_state_dict(source)
        check_entries(state, network.state_dict(), source, "BSN")
        network.load_state_dict(state)
        return network.eval()

    @torch.no_grad()
    def start_from_neighbours(self) -> None:
        """Initialise as the mean of a pixel's four neighbours, with little of random features.

        The input goes through the last stage untouched in one channel, in each rotation to the
        pixel below. All other weights keep the variance of what goes through them; framework
        defaults divide it by three in each of up to twenty layers.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=SLOPE)
        source = 2 * CHANNELS  # where the last stage sees the input
        for conv in self.unet.dec1.children():
            kernel = cast(BlindConv, conv).conv.weight
            kernel[0] = 0.0
            kernel[0, source, 2, 1] = 1.0  # the last row: the pixel itself, above are those before
            source = 0
        seen = range(0, self.nin_A.in_channels, 2 * CHANNELS)  # its channel of each rotation
        self.nin_A.weight[seen] = 0.0
        self.nin_B.weight[0] = 0.0
        for channel in seen:
            self.nin_A.weight[channel, channel] = 1.0
            self.nin_B.weight[0, channel] = 1.0 / len(seen)
        self.nin_C.weight *= FEATURES_SHARE
        self.nin_C.weight[0, 0] = 1.0

    def forward(self, rates: Tensor) -> Tensor:
        """Denoise ``(B, 1, H, W)``."""
        _check_shape(rates)
        half_planes = shift_down(self.unet(rotations(pad_to_square(rates))))
        seen = torch.cat(rotated_back(half_planes), dim=1)  # (B, 4 * 96, side, side)
        x = F.leaky_relu(self.nin_A(seen), SLOPE, inplace=True)
        x = F.leaky_relu(self.nin_B(x), SLOPE, inplace=True)
        x = in_full_precision(self.nin_C, x)  # 8 bits would be a step in the image
        return crop_padding(x, *rates.shape[-2:])


def rotations(x: Tensor) -> Tensor:
    """Return a square image in its four orientations along the batch: ``(4B, C, side, side)``."""
    turned = x.transpose(-2, -1)
    return torch.cat((x, turned.flip(-1), x.flip(-2, -1), turned.flip(-2)), dim=0)


def rotated_back(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the four parts of a batch of rotations, each ``(B, C, side, side)`` upright."""
    zero, one, two, three = x.chunk(4, dim=0)
    upright = one.transpose(-2, -1).flip(-2), two.flip(-2, -1), three.transpose(-2, -1).flip(-1)
    return zero, *upright


def _joined(coarse: Tensor, fine: Tensor) -> Tensor:
    """Return coarse features at double size, beside finer ones of about that size."""
    doubled = F.interpolate(coarse, scale_factor=2.0, mode="nearest")
    rows, columns = (split_evenly(fine.shape[axis] - doubled.shape[axis]) for axis in (-2, -1))
    return torch.cat((F.pad(doubled, (*columns, *rows)), fine.to(doubled.dtype)), dim=1)


def _check_shape(rates: Tensor) -> None:
    if rates.ndim != 4 or rates.shape[1] != 1:
        raise ValueError(f"BSN takes images (B, 1, H, W), got {tuple(rates.shape)}")
    short, long = sorted(rates.shape[-2:])
    missing = long - short
    if short < 4 or missing - missing // 2 >= short:
        raise ValueError(
            "BSN takes images of at least 4x4 pixels whose longer side is less than three times "
            f"the shorter one, got {rates.shape[-1]} x {rates.shape[-2]} (W x H)"
        )
