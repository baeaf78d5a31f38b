"""Classical reconstruction in colour for spike cameras with Bayer filters."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.errors import UsageError
from spike_zoo.methods.classical.aligned import AlignedTFI, read_intervals
from spike_zoo.methods.classical.alignment import WINDOW, PlaneAlignment
from spike_zoo.methods.classical.deblurring import blur_clip, trusted_excess
from spike_zoo.methods.classical.demosaicking import Demosaicking, demosaicked
from spike_zoo.methods.classical.flow import displacements_at, warp_planes
from spike_zoo.methods.classical.intervals import Intervals
from spike_zoo.methods.classical.methods import TFI, TFP, ClassicalMethod
from spike_zoo.spikes.cfa import Cfa, cfa_masks
from spike_zoo.spikes.recording import SpikeRecording, stated_cfa

_ROUNDS: Final = 4
_MIN_SIDE: Final = 3  # pixels of a side: borders are mirrored by two pixels
_CAUTION: Final = 0.1  # added to the share of samples: less correction if a colour has few samples
_FILLED_WINDOW: Final = 27  # planes that SSL-CSC averages
_MIN_COUNT: Final = 1e-3  # sum of the weights of samples
_FILLED_SEARCH: Final = 41  # planes in which SSL-CSC searches for a spike


class ColourMethod(ClassicalMethod):
    """A method without weights for recordings of a sensor with Bayer filters.

    A subclass defines :meth:`colour` for clips and :meth:`colours` for recordings.

    Args:
        settings: Arguments of the method's constructor.
    """

    channels = 3

    def colour(self, spikes: Tensor, center: int, cfa: Cfa) -> Tensor:
        """Return spikes per plane ``(3, H, W)`` at one plane of a clip ``(T, H, W)``."""
        raise NotImplementedError

    def colours(self, recording: SpikeRecording, centers: Sequence[int]) -> Iterable[Tensor]:
        """Yield spikes per plane ``(3, H, W)`` at planes of a recording, in their order."""
        raise NotImplementedError

    def _stream(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        if min(recording.shape[1:]) < _MIN_SIDE:
            height, width = recording.shape[1:]
            raise UsageError(
                f"a recording of {height} x {width} pixels is too small for colour: demosaicking "
                f"needs at least {_MIN_SIDE} x {_MIN_SIDE}"
            )
        for image in self.colours(recording, centers):
            yield (image / rate_scale).clamp(0, 1)


class _DemosaickedMethod(ColourMethod):
    """A method for grey sensors that is applied to the Bayer mosaic and demosaicked."""

    demosaicking: Demosaicking

    def colour(self, spikes: Tensor, center: int, cfa: Cfa) -> Tensor:
        """Return the demosaicked rates ``(3, H, W)``."""
        return demosaicked(self.rate(spikes[None], center), cfa, self.demosaicking)[0]

    def colours(self, recording: SpikeRecording, centers: Sequence[int]) -> Iterator[Tensor]:
        """Yield the demosaicked rates ``(3, H, W)``."""
        cfa = stated_cfa(recording)
        for block in self.rates(recording, centers):
            for mosaic in block:
                yield demosaicked(mosaic[None], cfa, self.demosaicking)[0]


class ColourTFP(_DemosaickedMethod, TFP):
    """:class:`TFP` of a Bayer sensor, demosaicked.

    Args:
        window: Planes of the window, cut to the clip.
        demosaicking: ``"malvar"`` or ``"bilinear"``.

    Raises:
        ValueError: If the window is empty.
    """

    def __init__(self, window: int = 41, demosaicking: Demosaicking = "malvar") -> None:
        super().__init__(window)
        self.demosaicking = demosaicking
        self.hparams["demosaicking"] = demosaicking


class ColourTFI(_DemosaickedMethod, TFI):
    """:class:`TFI` of a Bayer sensor, averaged over some planes and demosaicked.

    Args:
        average: Planes to average over, cut to the clip.
        demosaicking: ``"malvar"`` or ``"bilinear"``.

    Raises:
        ValueError: If ``average`` is below 1.
    """

    def __init__(self, average: int = 9, demosaicking: Demosaicking = "malvar") -> None:
        super().__init__(average)
        self.demosaicking = demosaicking
        self.hparams["demosaicking"] = demosaicking


class ColourAlignedTFI(AlignedTFI, ColourMethod):
    """Intervals of a Bayer sensor averaged along optical flow, in colour.

    As :class:`AlignedTFI`, but flow and weights are estimated from the luminance. The first image
    is the mean of planes that are demosaicked and then aligned. The image predicts the light of
    each pixel behind the pixel's filter. The residual of intervals inside the window is aligned
    to the middle plane and added, with less weight where groups of planes differ. Pixels with few
    samples of a colour keep the first image.

    Args:
        window: Planes to average over, cut to the clip; 5 or more.
        demosaicking: ``"malvar"`` or ``"bilinear"``.
        unblurs: Whether the residual is added, which also removes the motion blur.

    Raises:
        ValueError: If the window is below 5.

    Source: developed in this project. Dong et al., *Self-Supervised Learning for Color Spike
    Camera Reconstruction*, CVPR 2025, average the samples of a colour along the flow, see
    :class:`FilledColour`.

    Example:
        >>> from spike_zoo.testing import pattern_take
        >>> recording = pattern_take(0).recording
        >>> recording.cfa = "RGGB"
        >>> ColourAlignedTFI().reconstruct(recording, [40]).shape
        torch.Size([1, 3, 40, 48])
    """

    def __init__(
        self, window: int = WINDOW, demosaicking: Demosaicking = "malvar", *, unblurs: bool = True
    ) -> None:
        super().__init__(window, unblurs=unblurs)
        self.hparams = {"window": window, "demosaicking": demosaicking, "unblurs": unblurs}
        self.demosaicking = demosaicking

    def colour(self, spikes: Tensor, center: int, cfa: Cfa) -> Tensor:
        """Return the mean along the flow, ``(3, H, W)``."""
        intervals = Intervals.of((spikes != 0).byte(), cfa=cfa)
        intervals.fill_ends()
        return self._mean(intervals, center).rate

    def colours(self, recording: SpikeRecording, centers: Sequence[int]) -> Iterator[Tensor]:
        """Yield the means along the flow, ``(3, H, W)`` each."""
        for mean in self._means(recording, centers):
            yield mean.rate

    def _read(self, recording: SpikeRecording, start: int, stop: int) -> Intervals:
        return read_intervals(recording, start, stop, stated_cfa(recording))

    def _image(
        self, intervals: Intervals, alignment: PlaneAlignment, weights: Tensor, means: Tensor
    ) -> Tensor:
        cfa = _cfa_of(intervals)
        image = self._first_image(intervals.rates, cfa, alignment, weights)
        if not self.unblurs:
            return image
        masks = torch.from_numpy(cfa_masks(cfa, *image.shape[1:])).to(image)
        clip = blur_clip(alignment, len(intervals.rates))
        whole = alignment.whole(intervals, clip)
        aligned = alignment.from_first
        planes = max(max(group) for group in aligned.groups) + 1
        shares = [aligned.means(mask.expand(planes, -1, -1).contiguous()) * whole for mask in masks]
        for _ in range(_ROUNDS):
            excess = alignment.excess(image, intervals, clip)
            image = torch.stack(
                [
                    colour + trusted_excess(aligned.means(mask * excess), share, weights, _CAUTION)
                    for colour, mask, share in zip(image, masks, shares, strict=True)
                ]
            ).clamp_(min=0)
        return image

    def _first_image(
        self, rates: Tensor, cfa: Cfa, alignment: PlaneAlignment, weights: Tensor
    ) -> Tensor:
        """Return the mean of planes that are demosaicked and aligned, ``(3, H, W)``."""
        image = torch.zeros(3, *weights.shape[1:], device=weights.device)
        for group, weight in zip(alignment.groups, weights, strict=True):
            first = group[0]
            planes = demosaicked(rates[first : group[-1] + 1], cfa, self.demosaicking)
            inside = [range(len(group))]
            aligned = PlaneAlignment(alignment.middle - first, inside, alignment.velocity)
            for channel in range(3):
                image[channel] += weight * aligned.means(planes[:, channel].contiguous())[0]
        return image


class FilledColour(ColourAlignedTFI):
    """The learning-free part of SSL-CSC, with the optical flow of :class:`AlignedTFI`.

    The samples of each colour are averaged along the flow over 27 planes (eq. 7). Pixels without a
    sample of a colour get the mean of tiles of 2 x 2 pixels, enlarged by bicubic interpolation.

    Source: Dong et al., *Self-Supervised Learning for Color Spike Camera Reconstruction*,
    CVPR 2025, Sec. 4.2.
    """

    def __init__(self) -> None:
        super().__init__(_FILLED_WINDOW)
        self.hparams = {}

    def _image(
        self, intervals: Intervals, alignment: PlaneAlignment, weights: Tensor, means: Tensor
    ) -> Tensor:
        height, width = weights.shape[1:]
        masks = torch.from_numpy(cfa_masks(_cfa_of(intervals), height, width)).to(weights)
        sums, counts, tiles = (torch.zeros_like(masks) for _ in range(3))
        for plane in alignment.planes:
            (shift,) = displacements_at([plane], alignment.middle, alignment.velocity)
            rates = intervals.rates[plane].clamp(min=1 / _FILLED_SEARCH)
            samples = rates * masks
            sums += warp_planes(samples, shift.expand(3, -1, -1, -1))
            counts += warp_planes(masks, shift.expand(3, -1, -1, -1))
            tiles += warp_planes(_enlarged(samples, masks), shift.expand(3, -1, -1, -1))
        filled = tiles / len(alignment.planes)
        # rounding of the sampling grid makes weights of 1e-8 where no sample is
        return torch.where(counts > _MIN_COUNT, sums / counts.clamp(min=_MIN_COUNT), filled)


def _cfa_of(intervals: Intervals) -> Cfa:
    if intervals.cfa is None:
        raise ValueError("intervals of a sensor without Bayer filters have no colours")
    return intervals.cfa


def _enlarged(samples: Tensor, masks: Tensor) -> Tensor:
    """Return the means of tiles of 2 x 2 samples, enlarged to the samples' size, ``(3, H, W)``."""
    height, width = samples.shape[1:]
    # mirrored at the border, which keeps the layout: half a tile would lack colours
    pooled = [
        F.avg_pool2d(F.pad(values[None], (0, width % 2, 0, height % 2), mode="reflect"), 2)
        for values in (samples, masks)
    ]
    means = F.interpolate(pooled[0] / pooled[1], scale_factor=2, mode="bicubic")[0]
    return means[:, :height, :width]
