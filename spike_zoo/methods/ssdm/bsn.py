"""Blind-spot network (BSN) of the teacher: self-supervised denoising of firing rates."""

from itertools import pairwise
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.checkpoints.state_dicts import WeightsSource, check_entries, read_state_dict
from spike_zoo.nn.fast.layout import set_memory_format
from spike_zoo.nn.padding import crop_padding, pad_to_square, split_evenly
from spike_zoo.nn.precision import in_full_precision

CHANNELS = 48
SLOPE = 0.1  # of the leaky activations
FEATURES_SHARE = 0.01  # factor of the last layer's weights in start_from_neighbours()


def shift_down(x: Tensor) -> Tensor:
    """Return ``(B, C, H, W)`` shifted down by one row, with zeros at the top."""
    return F.pad(x[..., :-1, :], (0, 0, 1, 0))


class BlindConv(nn.Module):
    """A 3x3 convolution of each row and the two rows above it, then a leaky activation.

    The left and right borders are replicated, the top is padded with zeros. The published form (a
    row of zeros, replication of all sides, the last row removed) has the same result.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and activate: ``(B, in, H, W)`` -> ``(B, out, H, W)``."""
        sides = F.pad(x, (1, 1, 0, 0), mode="replicate")
        return F.leaky_relu(self.conv(F.pad(sides, (0, 0, 2, 0))), SLOPE, inplace=True)


class BlindStage(nn.Module):
    """Sequence of blind convolutions, and 2x2 pooling that does not include rows below.

    Args:
        channels: Channels of the input and after every convolution.
        pools: Whether the result is pooled to half the size.
    """

    def __init__(self, *channels: int, pools: bool = False) -> None:
        super().__init__()
        self.pools = pools
        for number, pair in enumerate(pairwise(channels), start=1):
            self.add_module(f"conv{number}", BlindConv(*pair))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, C, H, W)``, or half of the size if the stage pools."""
        for conv in self.children():
            x = conv(x)
        return F.max_pool2d(shift_down(x), kernel_size=2) if self.pools else x


class BlindUNet(nn.Module):
    """A U-Net whose output at a row depends on this row and the rows above only.

    The skip connections are the pooled features of the first stage and the input.

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
    """Denoise an image of firing rates, each pixel from all other pixels.

    Four rotations of the image are the input of one U-Net that ignores rows below. Its outputs are
    shifted down by one row, rotated back and concatenated. The receptive field of a pixel is then
    the image without this pixel. A network trained to reproduce its noisy input can only predict a
    pixel from other pixels, which removes noise that is independent between pixels. There are no
    biases, so ``BSN(a x) = a BSN(x)`` for a > 0.

    The pixel is excluded on **square** images only. Other images are mirrored to a square, as
    published. A pixel closer to the mirror than half of the difference of the sides is then in
    the receptive field of its output. Training crops are square.

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
        set_memory_format(self, torch.channels_last)

    @classmethod
    def from_official(cls, source: WeightsSource) -> Self:
        """Return the network with published weights, in evaluation mode.

        Args:
            source: A file or a state dict, see :meth:`LDN.from_official`.

        Raises:
            WeightsError: If names or shapes differ; the message names the first of each kind.
            MissingFileError: If the file does not exist.
        """
        network, state = cls(), read_state_dict(source)
        check_entries(state, network.state_dict(), source, "BSN")
        network.load_state_dict(state)
        return network.eval()

    @torch.no_grad()
    def start_from_neighbours(self) -> None:
        """Initialise as the mean of a pixel's four neighbours plus weak random features.

        One channel of the last stage passes the input unchanged. After the shift, this channel
        holds one neighbour of the pixel for each rotation. All other weights preserve the variance
        of activations; the default initialisation divides the variance by three in each of up to
        twenty layers.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=SLOPE)
        source = 2 * CHANNELS  # channel of the input image in the last stage
        for conv in self.unet.dec1.children():
            kernel = cast(BlindConv, conv).conv.weight
            kernel[0] = 0.0
            kernel[0, source, 2, 1] = 1.0  # the kernel's last row is the pixel's row
            source = 0
        neighbours = range(0, self.nin_A.in_channels, 2 * CHANNELS)  # one channel per rotation
        self.nin_A.weight[neighbours] = 0.0
        self.nin_B.weight[0] = 0.0
        for channel in neighbours:
            self.nin_A.weight[channel, channel] = 1.0
            self.nin_B.weight[0, channel] = 1.0 / len(neighbours)
        self.nin_C.weight *= FEATURES_SHARE
        self.nin_C.weight[0, 0] = 1.0

    def forward(self, rates: Tensor) -> Tensor:
        """Denoise ``(B, 1, H, W)``."""
        _check_shape(rates)
        half_planes = shift_down(self.unet(rotations(pad_to_square(rates))))
        turned = [torch.rot90(part, k, (-2, -1)) for k, part in enumerate(half_planes.chunk(4))]
        features = torch.cat(turned, dim=1)  # (B, 4 * 96, side, side)
        x = F.leaky_relu(self.nin_A(features), SLOPE, inplace=True)
        x = F.leaky_relu(self.nin_B(x), SLOPE, inplace=True)
        x = in_full_precision(self.nin_C, x)  # the 8 bits of bfloat16 would quantise the image
        return crop_padding(x, *rates.shape[-2:])


def rotations(x: Tensor) -> Tensor:
    """Return the four rotations of square images along the batch: ``(4B, C, side, side)``."""
    return torch.cat([torch.rot90(x, -k, (-2, -1)) for k in range(4)])


def _joined(coarse: Tensor, fine: Tensor) -> Tensor:
    """Concatenate coarse features, up-sampled by two and padded, with fine features."""
    upsampled = F.interpolate(coarse, scale_factor=2.0, mode="nearest")
    rows, columns = (split_evenly(fine.shape[axis] - upsampled.shape[axis]) for axis in (-2, -1))
    return torch.cat((F.pad(upsampled, (*columns, *rows)), fine.to(upsampled.dtype)), dim=1)


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
