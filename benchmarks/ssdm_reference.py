"""Reference implementation of S-SDM in plain PyTorch: NCHW, float32, one time step after another.

It shares no code with the package, so that a comparison measures the contribution of the package.
The names of its parameters are the published ones, so that both take the same weights.

Source: Chen et al., *SpikeReveal: Unlocking Temporal Sequences from Real Blurry Inputs with Spike
Streams*, NeurIPS 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHORT, WINDOW, MARGIN = 9, 21, 20


def tfp(spikes: Tensor, start: int, stop: int) -> Tensor:
    """Return the mean of planes ``[start, stop)``: ``(B, T, h, w)`` -> ``(B, 1, h, w)``."""
    return spikes[:, start:stop].mean(dim=1, keepdim=True)


class ReferenceLDN(nn.Module):
    """The student: two encoders, two attentions, two residual blocks, a decoder."""

    def __init__(self) -> None:
        super().__init__()

        def down(ins: int, outs: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(ins, outs, 5, 2, 2), nn.ReLU())

        def same(ins: int, outs: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(ins, outs, 3, 1, 1), nn.ReLU())

        def up(ins: int, outs: int) -> nn.Sequential:
            return nn.Sequential(nn.ConvTranspose2d(ins, outs, 5, 2, 2, 1), nn.ReLU())

        self.blur_enc, self.blur_enc2 = down(3, 16), down(16, 32)
        self.spike_enc, self.spike_enc2 = same(WINDOW, 16), same(16, 32)
        self.resBlock1, self.resBlock2 = Residual(), Residual()
        self.ca, self.sa = ChannelWeights(), PixelWeights()
        self.decoder1, self.decoder2 = up(64, 32), up(32, 16)
        self.pred = nn.Conv2d(19, 3, 1)

    def forward(self, blur: Tensor, window: Tensor) -> Tensor:
        """Deblur ``(B, 3, 4h, 4w)`` at the middle of ``(B, 21, h, w)``."""
        b = self.blur_enc2(self.blur_enc(blur))
        s = self.spike_enc2(self.spike_enc(window))
        x = torch.cat([b, s], dim=1)
        x = self.ca(x) * x
        x = self.sa(x) * x
        x = self.resBlock2(self.resBlock1(x))
        x = self.decoder2(self.decoder1(x))
        return self.pred(torch.cat([blur, x], dim=1))


class Residual(nn.Module):
    """Residual block of two convolutions and a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        first, second = nn.Conv2d(64, 64, 3, 1, 1), nn.Conv2d(64, 64, 3, 1, 1)
        self.conv_block = nn.Sequential(first, nn.Identity(), nn.ReLU(), second)

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual."""
        return x + self.conv_block(x)


class ChannelWeights(nn.Module):
    """Channel attention."""

    def __init__(self) -> None:
        super().__init__()
        squeeze, excite = nn.Conv2d(64, 4, 1, bias=False), nn.Conv2d(4, 64, 1, bias=False)
        self.fc = nn.Sequential(squeeze, nn.ReLU(), excite)

    def forward(self, x: Tensor) -> Tensor:
        """Apply attention to ``(B, 64, h, w)``."""
        mean, most = F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, 1)
        return torch.sigmoid(self.fc(mean) + self.fc(most))


class PixelWeights(nn.Module):
    """Spatial attention."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 1, 7, 1, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply attention to ``(B, 64, h, w)``."""
        pooled = torch.cat([x.mean(dim=1, keepdim=True), x.max(dim=1, keepdim=True).values], dim=1)
        return torch.sigmoid(self.conv1(pooled))


class Blind(nn.Module):
    """A convolution with the published padding: zeros above, replicated sides, one row cropped."""

    def __init__(self, ins: int, outs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(ins, outs, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and activate."""
        x = F.pad(F.pad(x, (0, 0, 1, 0)), (1, 1, 1, 1), mode="replicate")
        return F.leaky_relu(self.conv(x), 0.1)[..., :-1, :]


def shift(x: Tensor) -> Tensor:
    """Shift down by one row of zeros."""
    return F.pad(x, (0, 0, 1, 0))[..., :-1, :]


def stage(*channels: int) -> nn.Sequential:
    """Return a sequence of blind convolutions."""
    layers = nn.Sequential()
    for number, (ins, outs) in enumerate(pairwise(channels), start=1):
        layers.add_module(f"conv{number}", Blind(ins, outs))
    return layers


class BlindUNet(nn.Module):
    """The U-Net whose receptive field ends at the pixel's row."""

    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2 = stage(1, 48, 48, 48), stage(48, 48, 48, 48)
        self.enc3 = stage(48, 96, 96, 48)
        self.dec2, self.dec1 = stage(96, 96, 96, 96, 96), stage(97, 96, 96, 96, 96)

    def forward(self, x: Tensor) -> Tensor:
        """Return 96 features."""
        half = F.max_pool2d(shift(self.enc1(x)), 2)
        quarter = self.enc3(F.max_pool2d(shift(self.enc2(half)), 2))
        x2 = self.dec2(torch.cat([enlarge(quarter, half), half], dim=1))
        return self.dec1(torch.cat([enlarge(x2, x), x], dim=1))


def enlarge(x: Tensor, like: Tensor) -> Tensor:
    """Upsample by 2 and pad to a size."""
    x = F.interpolate(x, scale_factor=2, mode="nearest")
    rows, columns = like.shape[-2] - x.shape[-2], like.shape[-1] - x.shape[-1]
    return F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))


class ReferenceBSN(nn.Module):
    """The denoiser, for square images."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = BlindUNet()
        self.nin_A = nn.Conv2d(384, 384, 1, bias=False)
        self.nin_B = nn.Conv2d(384, 96, 1, bias=False)
        self.nin_C = nn.Conv2d(96, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Denoise ``(B, 1, s, s)``."""
        turned = x.transpose(2, 3)
        x = torch.cat([x, turned.flip(3), x.flip(3).flip(2), turned.flip(2)], dim=0)
        one, two, three, four = shift(self.unet(x)).chunk(4, dim=0)
        upright = [two.transpose(2, 3).flip(2), three.flip(3).flip(2), four.transpose(2, 3).flip(3)]
        x = torch.cat([one, *upright], dim=1)
        x = F.leaky_relu(self.nin_A(x), 0.1)
        return self.nin_C(F.leaky_relu(self.nin_B(x), 0.1))


class EdsrBlock(nn.Module):
    """A residual block of EDSR."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(64, 64, 3, 1, 1), nn.ReLU(), nn.Conv2d(64, 64, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual."""
        return x + self.body(x)


class ReferenceEDSR(nn.Module):
    """The upscaling network."""

    def __init__(self) -> None:
        super().__init__()
        self.sub_mean, self.add_mean = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
        for layer, mean in ((self.sub_mean, -0.446), (self.add_mean, 0.446)):
            layer.weight.data.fill_(1.0)
            layer.bias.data.fill_(mean)  # type: ignore[union-attr]  # the layer has a bias
            layer.requires_grad_(False)
        self.head = nn.Sequential(nn.Conv2d(1, 64, 3, 1, 1))
        last = nn.Conv2d(64, 64, 3, 1, 1)
        self.body = nn.Sequential(*(EdsrBlock() for _ in range(16)), last)
        first, second = nn.Conv2d(64, 256, 3, 1, 1), nn.Conv2d(64, 256, 3, 1, 1)
        doubling = nn.Sequential(first, nn.PixelShuffle(2), second, nn.PixelShuffle(2))
        self.tail = nn.Sequential(doubling, nn.Conv2d(64, 1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Upscale ``(B, 1, h, w)`` by 4."""
        x = self.head(self.sub_mean(x))
        return self.add_mean(self.tail(x + self.body(x)))


@torch.no_grad()
def reference_labels(
    bsn: nn.Module, edsr: nn.Module, blur: Tensor, spikes: Tensor, times: Sequence[int]
) -> Tensor:
    """Return the teacher's images, each stage and time step separately."""
    labels = []
    for time in times:
        long = edsr(tfp(spikes, MARGIN, spikes.shape[1] - MARGIN)).clamp(0, 1)
        short = bsn(tfp(spikes, time - SHORT // 2, time + SHORT // 2 + 1)).clamp(0, 1)
        short = edsr(short).clamp(0, 1)
        quotient = torch.where(long == 0, torch.zeros_like(blur), blur / long)
        labels.append((quotient * short).clamp(0, 1))
    return torch.stack(labels)


def reference_sequence(
    ldn: nn.Module, blur: Tensor, spikes: Tensor, times: Sequence[int]
) -> Tensor:
    """Return the student's images for all time steps, ``(N, B, 3, 4h, 4w)``, not clipped."""
    half = WINDOW // 2
    return torch.stack([ldn(blur, spikes[:, time - half : time + half + 1]) for time in times])


def reference_loss(blur: Tensor, labels: Tensor, predictions: Tensor, weight: float) -> Tensor:
    """Return the Charbonnier loss against the labels plus the weighted reblur loss."""
    clipped = predictions.clamp(0, 1)
    distance = sum(
        (((one - two) ** 2 + 1e-6).sqrt() - 1e-3).mean()
        for one, two in zip(labels, clipped, strict=True)
    )
    return distance / len(labels) + weight * F.mse_loss(clipped.mean(dim=0), blur)
