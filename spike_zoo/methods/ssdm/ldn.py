"""The lightweight deblur network (LDN), the student of S-SDM."""

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.checkpoints.state_dicts import WeightsSource, check_entries, read_state_dict
from spike_zoo.nn.fast.layout import set_memory_format
from spike_zoo.nn.precision import without_autocast

RATIO = 4  # image pixels per spike pixel along a side
WINDOW_LENGTH = 21  # planes, as published
CHANNELS = 64  # of the concatenated features
REDUCTION = 16  # of the channel attention


class EncodedBlur(NamedTuple):
    """Features of a blurry image that do not depend on the time.

    Shape:
        - features: ``(B, C, h, w)``; C is 32 for :class:`LDN`.
        - colours: ``(B, 3, 4h, 4w)``, contribution of the blurry image to the last layer.
    """

    features: Tensor
    colours: Tensor


class ChannelAttention(nn.Module):
    """Weights of the channels from their mean and maximum: ``(B, C, h, w)`` -> ``(B, C, 1, 1)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // REDUCTION
        self.fc = nn.Sequential(
            nn.Conv2d(channels, hidden, kernel_size=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, kernel_size=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the weights in (0, 1)."""
        mean = x.mean(dim=(2, 3), keepdim=True)
        highest = x.amax(dim=(2, 3), keepdim=True)
        return torch.sigmoid(self.fc(mean) + self.fc(highest))


class SpatialAttention(nn.Module):
    """Weights of the pixels from their channels: ``(B, C, h, w)`` -> ``(B, 1, h, w)``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the weights in (0, 1)."""
        mean, highest = x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)
        return torch.sigmoid(self.conv1(torch.cat((mean, highest), dim=1)))


class LDNBlock(nn.Module):
    """Residual block of two 3x3 convolutions with a ReLU between them and none after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.Identity(),  # keeps the published numbering
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the input ``(B, C, h, w)`` plus the residual."""
        return x + self.conv_block(x)


def downsampling_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a 5x5 convolution of stride 2 and a ReLU."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size=5, stride=2, padding=2)
    return nn.Sequential(conv, nn.ReLU(inplace=True))


def same_size_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a 3x3 convolution and a ReLU."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
    return nn.Sequential(conv, nn.ReLU(inplace=True))


def upsampling_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a 5x5 transposed convolution of stride 2 and a ReLU."""
    conv = nn.ConvTranspose2d(
        in_channels, out_channels, kernel_size=5, stride=2, padding=2, output_padding=1
    )
    return nn.Sequential(conv, nn.ReLU(inplace=True))


class LDN(nn.Module):
    """Return the sharp image at the middle of a window of spikes inside a blurry exposure.

    Entries of the state dict have the published names. Convolutions compute channels-last, which
    reduces the time on CPUs by a third. For several times of one exposure, the features of the
    blurry image are computed once by :meth:`encode_blur` and used by :meth:`decode`.

    Args:
        window_length: D, planes of the window, odd.

    Shape:
        - blur: ``(B, 3, 4h, 4w)`` in [0, 1], in the channel order of the weights (B,G,R for input
          and output of the published weights).
        - window: ``(B, D, h, w)``, float, 0 or 1.
        - Output: ``(B, 3, 4h, 4w)``, not clipped.

    Raises:
        ValueError: If the window length is even or below 1, or shapes do not fit together.

    Example:
        >>> import torch
        >>> blur, window = torch.rand(2, 3, 32, 48), torch.zeros(2, 21, 8, 12)
        >>> LDN()(blur, window).shape
        torch.Size([2, 3, 32, 48])

    Source: Chen et al., *SpikeReveal: Unlocking Temporal Sequences from Real Blurry Inputs with
    Spike Streams*, NeurIPS 2024, Sec. 3.3; layer sizes as released.
    """

    def __init__(self, window_length: int = WINDOW_LENGTH) -> None:
        super().__init__()
        check_window_length(window_length)
        self.window_length = window_length
        self.blur_enc = downsampling_block(3, 16)
        self.blur_enc2 = downsampling_block(16, 32)
        self.spike_enc = same_size_block(window_length, 16)
        self.spike_enc2 = same_size_block(16, 32)
        self.resBlock1 = LDNBlock(CHANNELS)  # the published spelling
        self.resBlock2 = LDNBlock(CHANNELS)
        self.ca = ChannelAttention(CHANNELS)
        self.sa = SpatialAttention()
        self.decoder1 = upsampling_block(CHANNELS, 32)
        self.decoder2 = upsampling_block(32, 16)
        self.pred = nn.Conv2d(3 + 16, 3, kernel_size=1)
        set_memory_format(self, torch.channels_last)

    @classmethod
    def from_official(cls, source: WeightsSource) -> Self:
        """Return the network with published weights, in evaluation mode.

        The window length is that of the weights.

        Args:
            source: A file (``.pth``, ``.safetensors``) or its state dict. The prefix ``module.``
                and an enclosing ``state_dict`` entry are accepted.

        Raises:
            WeightsError: If names or shapes differ; the message names the first of each kind.
            MissingFileError: If the file does not exist.
        """
        state = read_state_dict(source)
        network = cls(window_length_of(state))
        check_entries(state, network.state_dict(), source, "LDN")
        network.load_state_dict(state)
        return network.eval()

    def forward(self, blur: Tensor, window: Tensor) -> Tensor:
        """Deblur at the middle of the window."""
        return self.decode(self.encode_blur(blur), window[None])[0]

    def encode_blur(self, blur: Tensor) -> EncodedBlur:
        """Return the features of blurry images, which do not depend on the time.

        Args:
            blur: ``(B, 3, 4h, 4w)``.
        """
        check_blur(blur)
        return EncodedBlur(self.blur_enc2(self.blur_enc(blur)), image_share(self.pred, blur))

    def decode(self, encoded: EncodedBlur, windows: Tensor) -> Tensor:
        """Return the sharp images of N times in one pass.

        Args:
            encoded: B encoded blurry images.
            windows: ``(N, B, D, h, w)``.

        Returns:
            ``(N, B, 3, 4h, 4w)``, not clipped.
        """
        check_windows(encoded, windows, self.window_length)
        times = len(windows)
        spikes = self.spike_enc2(self.spike_enc(windows.flatten(0, 1)))
        blur = encoded.features.repeat(times, 1, 1, 1)
        x = torch.cat((blur, spikes), dim=1)  # (N * B, 64, h, w)
        x = self.ca(x) * x
        x = self.sa(x) * x
        x = self.resBlock2(self.resBlock1(x))
        x = self.decoder2(self.decoder1(x))  # (N * B, 16, 4h, 4w)
        return feature_share(self.pred, x).unflatten(0, (times, -1)) + encoded.colours


def image_share(pred: nn.Conv2d, blur: Tensor) -> Tensor:
    """Return the contribution of a blurry image to the last layer, equal for all times.

    The inputs of the layer are the image and the decoded features.
    """
    with without_autocast(blur.device.type):  # bfloat16's 8 bits would quantise the image
        return F.conv2d(blur.to(pred.weight.dtype), pred.weight[:, :3], pred.bias)


def feature_share(pred: nn.Conv2d, decoded: Tensor) -> Tensor:
    """Return the contribution of decoded features to the last layer."""
    with without_autocast(decoded.device.type):
        return F.conv2d(decoded.to(pred.weight.dtype), pred.weight[:, 3:])


def check_window_length(length: int) -> None:
    """Raise ValueError if the length of a window is even or below 1."""
    if length < 1 or length % 2 == 0:
        raise ValueError(f"window_length must be odd and positive, got {length}")


def check_blur(blur: Tensor) -> None:
    """Raise ValueError unless the shape is ``(B, 3, H, W)`` with multiples of 4 as H and W."""
    if blur.ndim != 4 or blur.shape[1] != 3 or blur.shape[2] % RATIO or blur.shape[3] % RATIO:
        raise ValueError(
            f"the student takes images (B, 3, H, W) with H and W multiples of {RATIO}, got "
            f"{tuple(blur.shape)}"
        )


def check_windows(encoded: EncodedBlur, windows: Tensor, length: int) -> None:
    """Raise ValueError with the expected shape if windows do not fit encoded blurry images."""
    expected = (len(encoded.features), length, *encoded.features.shape[-2:])
    if windows.ndim != 5 or windows.shape[1:] != expected:
        raise ValueError(
            f"the student takes {length} planes of spikes a quarter as wide and high as the image: "
            f"expected (N, {', '.join(map(str, expected))}), got {tuple(windows.shape)}"
        )


def window_length_of(state: dict[str, Tensor]) -> int:
    """Return the window length of LDN's weights, or the published length if it is unknown."""
    first = state.get("spike_enc.0.weight")
    if first is None or first.ndim != 4 or first.shape[1] % 2 == 0:
        return WINDOW_LENGTH
    return first.shape[1]
