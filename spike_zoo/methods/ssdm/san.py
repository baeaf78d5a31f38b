"""The larger student (SAN) that the S-SDM paper compares with LDN."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.methods.ssdm.ldn import (
    WINDOW_LENGTH,
    ChannelAttention,
    EncodedBlur,
    LDNBlock,
    SpatialAttention,
    check_blur,
    check_window_length,
    check_windows,
    downsampling_block,
    feature_share,
    image_share,
    same_size_block,
    upsampling_block,
)
from spike_zoo.nn.fast.layout import set_memory_format

FINE = 20  # channels at full and half size of the image
BRANCH = 60  # channels of each input at the spikes' resolution
COARSE = 192  # channels at half the spikes' resolution
BLOCKS = 2  # residual blocks at each of the two scales


class SAN(nn.Module):
    """Return the sharp image at the middle of a window, from features at two scales of the spikes.

    **The architecture is an assumption.** The paper compares LDN with the scale-aware network of
    GEM (Zhang et al., *Generalizing Event-Based Motion Deblurring in Real-World Scenarios*, ICCV
    2023). It states that LDN mirrors this network, which has 2.36 M parameters and needs 107.84 G
    at 720 x 1280. Neither layers nor weights are published with S-SDM. This network has LDN's
    structure (two encoders, both attentions on the concatenated features, residual blocks, a
    decoder, and the image as an additional input of the last layer). It adds a coarser scale with
    residual blocks, whose result is fused with the finer scale. The widths reproduce the published
    size and cost: 2.364 M parameters and 107.99 G, counted as by the paper's profiler.

    Args:
        window_length: Planes of the window, odd.

    Shape:
        - blur: ``(B, 3, 4h, 4w)`` in [0, 1].
        - window: ``(B, window_length, h, w)``, float, 0 or 1.
        - Output: ``(B, 3, 4h, 4w)``, not clipped.

    Raises:
        ValueError: If the window length is even or below 1, or shapes do not fit together.

    Source: Chen et al., *SpikeReveal: Unlocking Temporal Sequences from Real Blurry Inputs with
    Spike Streams*, NeurIPS 2024, Table 2.
    """

    def __init__(self, window_length: int = WINDOW_LENGTH) -> None:
        super().__init__()
        check_window_length(window_length)
        joined = 2 * BRANCH
        self.window_length = window_length
        self.blur_enc = nn.Sequential(downsampling_block(3, FINE), downsampling_block(FINE, BRANCH))
        self.spike_enc = nn.Sequential(
            same_size_block(window_length, FINE), same_size_block(FINE, BRANCH)
        )
        self.ca = ChannelAttention(joined)
        self.sa = SpatialAttention()
        self.fine = nn.Sequential(*(LDNBlock(joined) for _ in range(BLOCKS)))
        self.down = nn.Conv2d(joined, COARSE, kernel_size=3, stride=2, padding=1)
        self.coarse = nn.Sequential(*(LDNBlock(COARSE) for _ in range(BLOCKS)))
        self.up = nn.ConvTranspose2d(COARSE, joined, kernel_size=2, stride=2)
        self.fuse = nn.Conv2d(2 * joined, joined, kernel_size=1)
        self.decoder = nn.Sequential(
            upsampling_block(joined, 2 * FINE), upsampling_block(2 * FINE, FINE)
        )
        self.pred = nn.Conv2d(3 + FINE, 3, kernel_size=1)
        set_memory_format(self, torch.channels_last)

    def forward(self, blur: Tensor, window: Tensor) -> Tensor:
        """Deblur at the middle of the window."""
        return self.decode(self.encode_blur(blur), window[None])[0]

    def encode_blur(self, blur: Tensor) -> EncodedBlur:
        """Return the features of blurry images, see :meth:`LDN.encode_blur`."""
        check_blur(blur)
        return EncodedBlur(self.blur_enc(blur), image_share(self.pred, blur))

    def decode(self, encoded: EncodedBlur, windows: Tensor) -> Tensor:
        """Return the sharp images of N times in one pass; see :meth:`LDN.decode`."""
        check_windows(encoded, windows, self.window_length)
        times = len(windows)
        blur = encoded.features.repeat(times, 1, 1, 1)
        x = torch.cat((blur, self.spike_enc(windows.flatten(0, 1))), dim=1)
        x = self.ca(x) * x
        x = self.fine(self.sa(x) * x)
        height, width = x.shape[-2:]
        coarse = self.up(self.coarse(F.relu(self.down(x))))[..., :height, :width]
        x = x + self.fuse(torch.cat((x, coarse), dim=1))
        x = self.decoder(x)  # (N * B, 20, 4h, 4w)
        return feature_share(self.pred, x).unflatten(0, (times, -1)) + encoded.colours
