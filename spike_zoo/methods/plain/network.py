"""The Plain network: from rates of 57 planes to the image at the middle plane."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, Final, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.methods.classical.functional import tfi_video
from spike_zoo.nn.cuda_graphs import replayed
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.nn.padding import crop_padding, pad_to_multiple
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks.clips import ClipReconstruction, read_clip

CLIP_PLANES: Final = 81
"""Planes of a clip; intervals may end up to 12 planes outside of the planes with a rate."""

RATE_PLANES: Final = 57
"""Planes around the image whose rates are the input of the network."""

_BASE: Final = 9  # planes of the mean that the network corrects
# first and last plane of the initial averages, relative to the image
_WINDOWS: Final = (
    *((0, 0), (-2, 2), (-4, 4), (-10, 10), (-20, 20), (-28, 28)),
    *((-28, -20), (-20, -12), (-12, -4), (4, 12), (12, 20), (20, 28)),
    *((-20, -1), (1, 20), (-1, -1), (1, 1)),
)


def interval_rates(spikes: Tensor) -> Tensor:
    """Return one over the inter-spike interval at the middle 57 planes of clips.

    An interval that is cut by an end of the clip is assumed to end just outside of the clip.

    Args:
        spikes: ``(B, 81, H, W)``, not 0 means a spike.

    Returns:
        float32 ``(B, 57, H, W)``, spikes per plane.

    Raises:
        ValueError: If the clips have another number of planes.
    """
    if spikes.shape[1] != CLIP_PLANES:
        raise ValueError(f"clips have {CLIP_PLANES} planes, got {spikes.shape[1]}")
    first = (CLIP_PLANES - RATE_PLANES) // 2
    if torch.compiler.is_exporting():
        return _rates_in_graphs(spikes, first)
    return tfi_video(spikes, range(first, first + RATE_PLANES), missing="bound")


def limit_silent(rates: Tensor, rate_scale: Tensor, smallest: float) -> Tensor:
    """Limit the rates of pixels without a spike in the clip.

    Their rate is the largest possible one, which is white at a low rate scale. Below ``smallest``
    it is multiplied by the rate scale over ``smallest``: brightness stays that at ``smallest``.

    Args:
        rates: ``(B, 57, H, W)``, result of :func:`interval_rates`.
        rate_scale: Spikes per plane at white, ``(B,)``.
        smallest: Smallest usual rate scale.
    """
    share = (rate_scale / smallest).clamp(max=1).view(-1, 1, 1, 1)
    return torch.where(rates <= 1 / (CLIP_PLANES + 1), rates * share, rates)


def _rates_in_graphs(spikes: Tensor, first: int) -> Tensor:
    """Return the rates by operations that ONNX supports."""
    planes = spikes.shape[1]
    fires = (spikes != 0).unbind(1)
    before, last = torch.full_like(spikes[:, 0], -1.0), []
    for plane, fired in enumerate(fires):
        before = torch.where(fired, float(plane), before)
        last.append(before)
    after, rates = torch.full_like(spikes[:, 0], float(planes)), []
    for plane in range(planes - 1, first - 1, -1):
        if plane < first + RATE_PLANES:
            rates.append(1 / (after - last[plane]))
        after = torch.where(fires[plane], float(plane), after)
    return torch.stack(rates[::-1], dim=1)


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


class BranchedConv(nn.Module):
    """A 3 x 3 convolution that is trained as the sum of four branches.

    The branches are 3 x 3; 1 x 1; the identity; and 3 x 3 to twice the channels followed by 1 x 1.
    All are linear, so their weights are merged before each use and one convolution is computed.

    Args:
        channels: Channels of input and output.
        dilation: Dilation of the 3 x 3 convolutions.

    Source: after Ding et al., *RepVGG: Making VGG-style ConvNets Great Again*, CVPR 2021.
    """

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.conv = nn.Conv2d(channels, channels, 3)
        self.point = nn.Conv2d(channels, channels, 1, bias=False)
        self.wide = nn.Conv2d(channels, 2 * channels, 3)
        self.narrow = nn.Conv2d(2 * channels, channels, 1, bias=False)
        nn.init.zeros_(self.point.weight)
        nn.init.zeros_(self.narrow.weight)

    def merged(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the merged convolution."""
        narrow = self.narrow.weight.flatten(1)
        weight = self.conv.weight + (narrow @ self.wide.weight.flatten(1)).view_as(self.conv.weight)
        identity = torch.eye(len(narrow), device=narrow.device, dtype=narrow.dtype)
        centre = self.point.weight[:, :, 0, 0] + identity
        weight = weight + F.pad(centre[:, :, None, None], (1, 1, 1, 1))
        return weight, _bias(self.conv) + narrow @ _bias(self.wide)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(B, C, H, W)``, zero padded."""
        return F.conv2d(x, *self.merged(), padding=self.dilation, dilation=self.dilation)


class Plain(nn.Module):
    """Reconstruct an image as the mean rate of nine planes plus a learned correction.

    The correction is computed at half resolution from learned averages of rates over time. With
    the defaults and merged, the network has 187,860 parameters and needs 4.8 GMAC at 250 x 400.

    Args:
        channels: Channels of the hidden layers.
        depth: Number of hidden layers after the first.
        averages: Number of weighted averages of the rates over time, 1 to 16.
        branched: Whether hidden layers are trained as branches, see :class:`BranchedConv`.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> Plain(channels=8, depth=2)(torch.rand(1, 57, 17, 33)).shape
        torch.Size([1, 1, 17, 33])
    """

    def __init__(
        self, channels: int = 64, depth: int = 4, averages: int = 16, *, branched: bool = True
    ) -> None:
        super().__init__()
        if channels < 1 or depth < 1:
            raise ValueError(f"channels and depth are at least 1, got {channels} and {depth}")
        if not 1 <= averages <= len(_WINDOWS):
            raise ValueError(f"averages must be 1 to {len(_WINDOWS)}, got {averages}")
        self.averages = nn.Conv2d(RATE_PLANES, averages, 1, bias=False)
        self.first = nn.Conv2d(4 * averages, channels, 3, padding=1)
        # dilation of the middle layers widens the receptive field from 26 to 42 pixels
        dilations = [2 if 0 < index < depth - 1 else 1 for index in range(depth)]
        self.hidden = nn.ModuleList(
            BranchedConv(channels, dilation)
            if branched
            else nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
            for dilation in dilations
        )
        self.last = nn.Conv2d(channels, 4, 3, padding=1)
        self._initialise()

    def _initialise(self) -> None:
        """Initialise the averages by fixed windows and the correction by 0."""
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(_bias(self.last))
        middle = RATE_PLANES // 2
        with torch.no_grad():
            self.averages.weight.zero_()
            for row, (start, stop) in zip(self.averages.weight, _WINDOWS, strict=False):
                row[middle + start : middle + stop + 1] = 1 / (stop + 1 - start)

    def forward(self, rates: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Return images ``(B, 1, H, W)``, not clamped.

        Args:
            rates: ``(B, 57, H, W)``, result of :func:`interval_rates`.
            rate_scale: Spikes per plane at white, ``(B,)``; 1 by default.
        """
        height, width = rates.shape[-2:]
        start = (RATE_PLANES - _BASE) // 2
        base = rates[:, start : start + _BASE].mean(dim=1, keepdim=True)
        averages = self.averages(rates)
        if rate_scale is not None:
            base, averages = (x / rate_scale.view(-1, 1, 1, 1) for x in (base, averages))
        x = F.pixel_unshuffle(pad_to_multiple(averages, 2), 2)
        x = F.relu(self.first(x))
        for layer in self.hidden:
            x = F.relu(layer(x))
        correction = F.pixel_shuffle(self.last(x), 2)
        return base + crop_padding(correction, height, width)

    def merged(self) -> Self:
        """Return an equivalent network with one convolution for each hidden layer."""
        merged = type(self)(
            self.last.in_channels, len(self.hidden), self.averages.out_channels, branched=False
        )
        state = self.state_dict()
        for index, layer in enumerate(self.hidden):
            if isinstance(layer, BranchedConv):
                double: Sequence[Tensor] = deepcopy(layer).double().merged()
                state = {k: v for k, v in state.items() if not k.startswith(f"hidden.{index}.")}
                for name, value in zip(("weight", "bias"), double, strict=True):
                    state[f"hidden.{index}.{name}"] = value.detach().float()
        merged.load_state_dict(state)
        return merged


class PlainReconstruction(ClipReconstruction):
    """Reconstruct with :class:`Plain`, without training; :class:`PlainModule` does it the same way.

    Args:
        channels: Channels of the hidden layers; this and the next three as in :class:`Plain`.
        depth: Number of hidden layers after the first.
        averages: Number of averages of the rates over time.
        branched: Whether hidden layers are trained as several branches.
        smallest_rate_scale: Smallest rate scale of the training recordings, see
            :func:`limit_silent`.
    """

    clip_length = CLIP_PLANES
    applies_maps = True

    def __init__(
        self, channels: int, depth: int, averages: int, branched: bool, smallest_rate_scale: float
    ) -> None:
        super().__init__()
        self.hparams: dict[str, Any] = {"channels": channels, "depth": depth, "averages": averages}
        self.hparams |= {"branched": branched, "smallest_rate_scale": smallest_rate_scale}
        self.network = Plain(channels, depth, averages, branched=branched)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # true

    def forward(self: Any, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct plane 40: ``(B, 81, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        images: Tensor = self._images(spikes, rate_scale)
        return images.clamp(0, 1)

    def _images(self: Any, spikes: Tensor, rate_scale: Tensor | None) -> Tensor:
        rates = interval_rates(spikes)
        if rate_scale is not None:
            rate_scale = rate_scale.to(rates)
            rates = limit_silent(rates, rate_scale, self.hparams["smallest_rate_scale"])
        images: Tensor = self.network(rates, rate_scale)
        return images

    def _stream(
        self: Any, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        device = self.network.last.weight.device
        scale = torch.full((1,), rate_scale, device=device)
        with eval_mode(self):
            for center in centers:
                spikes = read_clip(recording, center, CLIP_PLANES, device)[None]  # uint8
                with torch.inference_mode():
                    rates = replayed(self, interval_rates, spikes)
                    rates = limit_silent(rates, scale, self.hparams["smallest_rate_scale"])
                    rates = recording.corrected(rates)
                    image = replayed(self, self.network.forward, rates, scale)
                yield image.clamp(0, 1)[0].float().cpu()
