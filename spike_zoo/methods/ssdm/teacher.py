"""The teacher of S-SDM: cascade of denoising, enlarging and spike-guided deblurring."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spike_zoo.methods.classical.aligned import AlignedTFI
from spike_zoo.methods.ssdm.sdm import mean_rate, spike_guided_deblur
from spike_zoo.spikes.windows import centred_window, planes_inside

SHORT_WINDOW = 9  # planes
WORK_PER_PIXEL = 950  # bytes of features per image pixel, measured at 16:9
GIB = 2**30
CPU_GIB = 0.125  # larger batches exceed the CPU caches: 1/7 slower at 720 x 1280
ACCELERATOR_GIB = 4.0


def images_at_once(work: int, memory_gib: float | None, device: torch.device) -> int:
    """Return the number of images to compute together, at least one.

    ``work`` is the bytes of features of one image at the largest layer. The memory limit is by
    default 0.125 GiB on CPUs and 4 GiB on other devices; ValueError if it is not above 0.
    """
    if memory_gib is None:
        memory_gib = CPU_GIB if device.type == "cpu" else ACCELERATOR_GIB
    if not memory_gib > 0:
        raise ValueError(f"memory_gib must be above 0, got {memory_gib}")
    return max(1, int(memory_gib * GIB / work))


class SSDMTeacher(nn.Module):
    """Compute pseudo-labels: sharp images at several times of a blurry image from its spikes.

    The mean rate of the exposure is enlarged once. The rates around each time are denoised and
    enlarged, for as many times per batch as memory allows. No gradients are computed.

    Args:
        bsn: Denoises rates ``(B, 1, h, w)``; ``nn.Identity()`` for no denoising.
        edsr: Enlarges rates by four: a network, or e.g.
            ``nn.Upsample(scale_factor=4, mode="bilinear")``.
        short_window: Planes around a time that are averaged, odd.
        memory_gib: Approximate memory limit of the features; at least one time is computed. By
            default 0.125 on CPUs, where more is slower, and 4 on other devices.
        align_input: Whether the rates around a time are means along the optical flow
            (:class:`AlignedTFI`) instead of denoised means of the short window.
        rate_gain: Factor of the rates before the networks. With 2, white has the same rate if the
            camera has twice the threshold of the camera of the training data.

    Shape:
        - blur: ``(B, 3, 4h, 4w)`` in [0, 1], any order of channels.
        - spikes: ``(B, T, h, w)``, 0 or 1, of any type.
        - Output: ``(len(times), B, 3, 4h, 4w)`` in [0, 1].

    Raises:
        ValueError: If there is no time, a window around a time leaves the stream, or ``rate_gain``
            is not a finite number above 0.

    Source: Chen et al., *SpikeReveal: Unlocking Temporal Sequences from Real Blurry Inputs with
    Spike Streams*, NeurIPS 2024, Sec. 3.3.
    """

    def __init__(
        self,
        bsn: nn.Module,
        edsr: nn.Module,
        short_window: int = SHORT_WINDOW,
        memory_gib: float | None = None,
        *,
        align_input: bool = False,
        rate_gain: float = 1.0,
    ) -> None:
        super().__init__()
        if short_window < 1 or short_window % 2 == 0:
            raise ValueError(f"short_window must be odd and positive, got {short_window}")
        check_gain(rate_gain)
        self.bsn = bsn
        self.edsr = edsr
        self.short_window = short_window
        self.memory_gib = memory_gib
        self.align_input = align_input
        self.rate_gain = rate_gain

    def extra_repr(self) -> str:
        """Return the settings that determine the images in addition to the networks."""
        names = ("short_window", "align_input", "rate_gain")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)

    @torch.no_grad()
    def forward(
        self,
        blur: Tensor,
        spikes: Tensor,
        times: Sequence[int],
        exposure: tuple[int, int] | None = None,
    ) -> Tensor:
        """Return the pseudo-labels at some planes.

        Args:
            blur: The blurry images.
            spikes: The spikes of the exposures.
            times: Planes, as indexes into ``spikes``.
            exposure: First and past-the-last plane of the exposure; by default all planes except
                for 20 at either end, as published.
        """
        if not times:
            raise ValueError("the teacher needs at least one time")
        span = planes_inside(spikes.shape[1]) if exposure is None else exposure
        long = self.long_exposure(spikes, span)
        count = self.times_at_once(blur)
        parts = [times[first : first + count] for first in range(0, len(times), count)]
        return torch.cat([self.labels(blur, long, spikes, part) for part in parts])

    @torch.no_grad()
    def long_exposure(self, spikes: Tensor, span: tuple[int, int]) -> Tensor:
        """Return the enlarged mean rate of an exposure, ``(B, 1, 4h, 4w)``."""
        return self.edsr(self.rate(spikes, *span)).clamp(0.0, 1.0)

    @torch.no_grad()
    def labels(self, blur: Tensor, long: Tensor, spikes: Tensor, times: Sequence[int]) -> Tensor:
        """Return the pseudo-labels at some planes in one pass.

        Args:
            blur: The blurry images.
            long: Result of :meth:`long_exposure`.
            spikes: The spikes of the exposures.
            times: Planes, as indexes into ``spikes``.
        """
        rates = torch.cat([self.short_exposure(spikes, time) for time in times])  # (N * B, 1, h, w)
        short = self.edsr(rates).clamp(0.0, 1.0).unflatten(0, (len(times), -1))
        return spike_guided_deblur(blur, long, short).clamp(0.0, 1.0)

    def short_exposure(self, spikes: Tensor, time: int) -> Tensor:
        """Return the denoised or flow-aligned rate around a plane, ``(B, 1, h, w)``."""
        if self.align_input:
            method = AlignedTFI(fills_ends=False)
            rate = method.rate(spikes, time)[:, None]
            return (rate * self.rate_gain).clamp(0.0, 1.0)
        rate = self.rate(spikes, *centred_window(time, self.short_window))
        return self.bsn(rate).clamp(0.0, 1.0)

    def rate(self, spikes: Tensor, start: int, stop: int) -> Tensor:
        """Return the networks' input: mean rate of planes ``[start, stop)`` times ``rate_gain``."""
        return mean_rate(spikes, start, stop) * self.rate_gain

    def times_at_once(self, blur: Tensor, memory_gib: float | None = None) -> int:
        """Return the number of times per pass for a memory limit, by default ``memory_gib``."""
        work = WORK_PER_PIXEL * len(blur) * blur.shape[-2] * blur.shape[-1]
        limit = self.memory_gib if memory_gib is None else memory_gib
        return images_at_once(work, limit, blur.device)


def check_gain(rate_gain: float) -> None:
    """Raise ValueError if the option ``rate_gain`` is not a finite number above 0."""
    if not 0.0 < rate_gain < math.inf:
        raise ValueError(f"rate_gain must be a number above 0, got {rate_gain}")
