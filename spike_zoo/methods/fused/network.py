"""The fusion network, and its inputs: averages along optical flow and at fixed pixels."""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.methods.classical.aligned import AlignedTFI
from spike_zoo.methods.classical.aligned_input import CLIP_PLANES
from spike_zoo.methods.classical.alignment import GROUP, WINDOW, PlaneAlignment
from spike_zoo.methods.classical.deblurring import deblurred, weighted_sum
from spike_zoo.methods.classical.flow import FLOW_SOURCE
from spike_zoo.methods.classical.intervals import Intervals, large_array
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.nn.padding import crop_padding, pad_to_multiple
from spike_zoo.spikes.pixel_maps import PixelMaps
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks import clips

GAIN: Final = 8.0
"""Factor of differences between images, which are small and determine the weights."""
GROUPS: Final = WINDOW // GROUP
# first and last plane of the averages at fixed pixels, relative to the image
_WINDOWS: Final = (
    *((0, 0), (-2, 2), (-4, 4), (-10, 10), (-20, 20), (-32, 32)),
    *((-28, -20), (-20, -12), (-12, -4), (4, 12), (12, 20), (20, 28)),
    *((-20, -1), (1, 20), (-1, -1), (1, 1)),
)
IMAGES: Final = 2 + GROUPS + len(_WINDOWS)
"""Images among the inputs; the first is the deblurred mean along the flow."""
MEAN_OF_NINE: Final = 2 + GROUPS + 2
"""Index of the mean of nine planes at a fixed pixel."""
INPUTS: Final = IMAGES + 3
"""The images, the speeds before and after the image, and the logarithm of the rate scale."""
_BRIGHTEST: Final = 2.0  # largest input; white is 1
_TESTED_PLANES: Final = 256  # planes in which defective pixels are detected
_MAX_LOST: Final = 0.4  # share of planes without spikes, above which they are no lost planes
_DOUBLED: Final = 0.7  # rate relative to the nearest others, below which a spike is missing
_NEAR: Final = 21  # planes around each plane whose mean is taken, and planes that it needs
_SAMPLED: Final = 7  # one of as many pixels is tested for spikes
_MIN_PLANES: Final = 48  # fewer planes do not show whether a pixel is defective
_MIN_SPIKES: Final = 10  # of the neighbours of a dead pixel, or in planes that are not lost
_MAX_ALIKE: Final = 2  # neighbours that may be defective too


class FusedInputs(AlignedTFI):
    """The averages of :class:`AlignedTFI`, and averages of rates at fixed pixels.

    Args:
        rate_scale: Spikes per plane at white.
    """

    def __init__(self, rate_scale: float) -> None:
        super().__init__()
        self.rate_scale = rate_scale

    def of(self, recording: SpikeRecording, centers: Sequence[int]) -> Iterator[Tensor]:
        """Yield the input of the network at each plane of a recording, ``(34, H, W)``.

        Images are divided by the rate scale. Dead and hot pixels are replaced by their neighbours.
        """
        for mean in self._means(with_detected_defects(recording), centers):
            yield mean.rate

    def _read(self, recording: SpikeRecording, start: int, stop: int) -> Intervals:
        return without_lost_planes(super()._read(recording, start, stop))

    def _image(
        self, intervals: Intervals, alignment: PlaneAlignment, weights: Tensor, means: Tensor
    ) -> Tensor:
        inputs = torch.from_numpy(large_array(INPUTS, *means.shape[1:]))
        mean, deblurred_image = inputs[1], inputs[0]
        mean.copy_(weighted_sum(weights, means))
        deblurred_image.copy_(deblurred(mean, intervals, alignment, weights))
        numbers = torch.arange(GROUPS) - GROUPS // 2 - alignment.offsets[0] // GROUP
        inputs[2 : 2 + GROUPS] = means[numbers.clamp(0, len(means) - 1)]  # repeats the outer groups
        planes, shares = shares_of(alignment.middle, len(intervals.rates))
        fixed = inputs[2 + GROUPS : IMAGES].flatten(1)
        torch.mm(shares, intervals.rates[planes].flatten(1), out=fixed)
        inputs[:IMAGES].div_(self.rate_scale).clamp_(0, _BRIGHTEST)
        speeds = torch.hypot(*alignment.velocity.unbind(1))  # norm(dim=1) is ten times slower
        inputs[IMAGES:-1] = speeds.clamp_(max=_BRIGHTEST)
        inputs[-1] = math.log2(self.rate_scale) / 4
        return inputs


def shares_of(center: int, count: int) -> tuple[slice, Tensor]:
    """Return the planes around one of ``count`` planes, and their shares in the 16 averages."""
    first, stop = max(center - WINDOW // 2, 0), min(center + WINDOW // 2 + 1, count)
    shares = torch.zeros(len(_WINDOWS), stop - first)
    for row, window in zip(shares, _WINDOWS, strict=True):
        low, high = (min(max(center + edge, first), stop - 1) for edge in window)
        row[low - first : high + 1 - first] = 1 / (high + 1 - low)
    return slice(first, stop), shares


def without_lost_planes(intervals: Intervals) -> Intervals:
    """Replace intervals in which a spike is missing because a plane was lost.

    A plane is lost if no pixel fires in it, but in at least 60 % of the 21 planes around it. An
    interval across a lost plane that is much longer than the pixel's others within 10 planes gets
    their mean rate.
    """
    rates, since, until = intervals.rates, intervals.since, intervals.until
    if len(rates) < _NEAR:
        return intervals
    counts = (since.flatten(1)[:, ::_SAMPLED] == 0).sum(dim=1).float()
    near, empty = (
        _mean_over_planes(x[:, None, None]).flatten() for x in (counts, 1.0 * (counts == 0))
    )
    lost = (counts == 0) & (empty <= _MAX_LOST) & (near >= _MIN_SPIKES)
    if not lost.any():
        return intervals
    earlier = F.pad(lost.long().cumsum(dim=0), (1, 0))  # lost planes before each plane
    count, is_whole = len(rates), torch.empty_like(rates)
    for plane in range(count):
        first = (plane + 1 - since[plane].long()).clamp(min=0)  # after the last spike
        last = (plane + until[plane].long()).clamp(max=count)  # the next spike
        is_whole[plane] = earlier[last] == earlier[first]
    rate, share = (_mean_over_planes(each) for each in (rates * is_whole, is_whole))
    others = torch.where(share > 0, rate / share, rates)
    is_doubled = (is_whole == 0) & (rates < _DOUBLED * others)
    rates = torch.where(is_doubled, others, rates)
    return replace(intervals, rates=rates, until=until.masked_fill(is_doubled, 255))


def _mean_over_planes(values: Tensor) -> Tensor:
    """Return the mean over 21 planes around each plane, ``(T, H, W)``."""
    window, padding = (_NEAR, 1, 1), (_NEAR // 2, 0, 0)
    return F.avg_pool3d(values[None], window, 1, padding, count_include_pad=False)[0]


def with_detected_defects(recording: SpikeRecording) -> SpikeRecording:
    """Add a map of dead and hot pixels to a recording without maps of its camera."""
    if recording.maps is not None or recording.cfa is not None:
        return recording
    first = max((len(recording) - _TESTED_PLANES) // 2, 0)
    defective = defective_pixels(recording.read(first, min(first + _TESTED_PLANES, len(recording))))
    if not defective.any():
        return recording
    recording = copy.copy(recording)
    gain = np.ones(defective.shape, np.float32)
    recording.maps = PixelMaps(gain, np.zeros_like(gain), defective)
    return recording


def defective_pixels(planes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Detect isolated pixels that fire in every plane, or never although their neighbours fire.

    From planes ``(T, H, W)`` the result is ``(H, W)``; False everywhere for fewer than 48 planes.
    """
    if len(planes) < _MIN_PLANES:
        return np.zeros(planes.shape[1:], np.bool_)
    counts = torch.from_numpy(planes.sum(axis=0, dtype=np.float32))[None, None]
    hot, dead, dark = counts == len(planes), counts == 0, counts < _MIN_SPIKES
    alike = [
        F.avg_pool2d(F.pad(each.float(), (1, 1, 1, 1)), 3, 1) * 9 < _MAX_ALIKE + 1.5
        for each in (hot, dark)
    ]
    return ((hot & alike[0]) | (dead & alike[1]))[0, 0].numpy()


class Fused(nn.Module):
    """Fuse averages of rates by predicted weights, and add predicted residuals.

    The output of a pixel is the first image, the deblurred mean along the flow, plus the weighted
    differences of the other images from it, plus a residual. The mean of nine planes at a fixed
    pixel has a separate residual before it is weighted. Weights and residuals are computed at
    half resolution. With 64 channels it has 236,480 parameters.

    Args:
        channels: Channels of the hidden layers.

    Raises:
        ValueError: If there is no channel.

    Example:
        >>> import torch
        >>> Fused(channels=8)(torch.rand(1, 34, 17, 33)).shape
        torch.Size([1, 1, 17, 33])
    """

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels must be at least 1, got {channels}")
        self.first = nn.Conv2d(4 * INPUTS, channels, 3, padding=1)
        self.hidden = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
            for dilation in (1, 2, 2, 1)
        )
        self.residual = nn.Conv2d(channels, 4, 3, padding=1)
        self.weights = nn.Conv2d(channels, 4 * IMAGES, 1)
        for parameter in (*self.residual.parameters(), *self.weights.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return images ``(B, 1, H, W)``, not clamped, from ``(B, 34, H, W)``."""
        x, size = inputs.clone(), inputs.shape[-2:]
        draft, others = x[:, :1], x[:, 1:IMAGES]
        others.sub_(draft).mul_(GAIN)
        x = F.relu(self.first(F.pixel_unshuffle(pad_to_multiple(x, 2), 2)))
        for layer in self.hidden:
            x = F.relu(layer(x))
        residual, weights = (
            crop_padding(F.pixel_shuffle(layer(x), 2), *size)
            for layer in (self.residual, self.weights)
        )
        fused = (weights[:, 1:] * others).sum(dim=1, keepdim=True) / GAIN
        of_nine = weights[:, MEAN_OF_NINE, None] * residual
        return draft + weights[:, :1] + fused + of_nine


class FusedReconstruction(clips.ClipReconstruction):
    """Reconstruct with :class:`Fused`, without training; :class:`FusedModule` does it the same way.

    Args:
        channels: Channels of the hidden layers.
    """

    clip_length = CLIP_PLANES
    margin = WINDOW // 2  #: planes on either side that an image uses
    applies_maps = True
    estimates_flow = True
    flow_source = FLOW_SOURCE
    motion = clips.motion

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hparams: dict[str, Any] = {"channels": channels}
        self.network = Fused(channels)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # true

    def forward(self: Any, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, T, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        images: Tensor = self._images(spikes, rate_scale)
        return images.clamp(0, 1)

    def _images(self: Any, spikes: Tensor, rate_scale: Tensor | None) -> Tensor:
        scales = [1.0] * len(spikes) if rate_scale is None else rate_scale.tolist()
        inputs: list[Tensor] = []
        for clip, scale in zip((spikes != 0).cpu().numpy(), scales, strict=True):
            recording = SpikeRecording.from_planes(clip)
            inputs += FusedInputs(scale).of(recording, [len(clip) // 2])
        images: Tensor = self.network(torch.stack(inputs).to(self.network.first.weight.device))
        return images

    def _stream(
        self: Any, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        device = self.network.first.weight.device
        with eval_mode(self):
            for inputs in FusedInputs(rate_scale).of(recording, centers):
                with torch.inference_mode():
                    image = self.network(inputs[None].to(device))
                yield image.clamp(0, 1)[0].float().cpu()

    def _fields(
        self: Any, recording: SpikeRecording, centers: Sequence[int], rate_scale: float | None
    ) -> Iterator[Tensor]:
        yield from AlignedTFI()._fields(recording, centers, rate_scale)
