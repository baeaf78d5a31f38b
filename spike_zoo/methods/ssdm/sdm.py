"""The spike-guided deblurring model (SDM): arithmetic on exposures and colours, nothing learned."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

ChannelOrder = Literal["rgb", "bgr"]
"""Order of colour channels in a network; outside it is R,G,B."""
GREY = (0.30, 0.59, 0.11)  # R, G, B, as published


def spike_guided_deblur(blur: Tensor, long_exposure: Tensor, short_exposure: Tensor) -> Tensor:
    """Return the blurry image times how bright the instant is beside the whole exposure.

    ``L(t) = B * short / long``: firing threshold and colour cancel, because they are the same in
    both exposures. Where the long exposure is exactly 0 the result is 0.

    Args:
        blur: ``(..., 3, H, W)`` in [0, 1], any order of channels.
        long_exposure: ``(..., 1, H, W)``, spikes per plane over the exposure, ``N_T / T``.
        short_exposure: ``(..., 1, H, W)``, spikes per plane around the instant, ``N_T' / T'``.

    Returns:
        ``(..., 3, H, W)``, not clipped.

    Example:
        >>> import torch
        >>> grey = torch.full((3, 1, 2), 0.5)
        >>> long, short = torch.tensor([[[0.2, 0.2]]]), torch.tensor([[[0.1, 0.3]]])
        >>> spike_guided_deblur(grey, long, short)[0].tolist()
        [[0.25, 0.75]]

    Source: Chen et al., *SpikeReveal: Unlocking Temporal Sequences from Real Blurry Inputs with
    Spike Streams*, NeurIPS 2024, Eq. (8).
    """
    dark = long_exposure == 0
    # dividing by 1 there: a masked quotient of 0 would send NaN backward
    ratio = blur / torch.where(dark, 1.0, long_exposure)
    return torch.where(dark, 0.0, ratio * short_exposure)


def mean_rate(spikes: Tensor, start: int, stop: int) -> Tensor:
    """Return spikes per plane over planes ``[start, stop)``: ``(B, T, h, w)`` -> ``(B, 1, h, w)``.

    Raises:
        ValueError: If the range is empty or leaves the stream.
    """
    _check_range(spikes, start, stop)
    return spikes[:, start:stop].float().mean(dim=1, keepdim=True)


def rate_of_own_times(
    spikes: Tensor, start: int, stop: int, window: int, generator: torch.Generator
) -> Tensor:
    """Return the rate of a short window for every pixel, at a time of its own.

    It is on average the rate of the whole exposure, and as noisy as that of a short window.

    Args:
        spikes: ``(B, T, h, w)``, 0 or 1.
        start: First plane of the exposure.
        stop: Its past-the-last plane.
        window: Planes that are averaged.
        generator: Draws the times, on the CPU.

    Returns:
        ``(B, 1, h, w)``.

    Raises:
        ValueError: If the exposure leaves the stream, or the window is longer than it.
    """
    _check_range(spikes, start, stop)
    if not 0 < window <= stop - start:
        raise ValueError(f"a window of {window} planes does not fit into planes {start}..{stop}")
    counts = F.pad(spikes[:, start:stop].float().cumsum(dim=1), (0, 0, 0, 0, 1, 0))
    sums = counts[:, window:] - counts[:, :-window]
    size = (len(sums), 1, *sums.shape[2:])
    times = torch.randint(sums.shape[1], size, generator=generator).to(sums.device)
    return sums.gather(1, times) / window


def _check_range(spikes: Tensor, start: int, stop: int) -> None:
    """Reject planes outside the clip.

    Raises:
        ValueError: If the range is empty or leaves the stream.
    """
    if not 0 <= start < stop <= spikes.shape[1]:
        raise ValueError(
            f"planes {start}..{stop} were asked for, the stream has 0..{spikes.shape[1]} (first, "
            "past the last)"
        )


def reordered(image: Tensor, order: ChannelOrder) -> Tensor:
    """Return R,G,B images ``(..., 3, H, W)`` in another order, or back: both are one step."""
    return image.flip(-3) if order == "bgr" else image


def grey(image: Tensor, order: ChannelOrder = "rgb") -> Tensor:
    """Return the grey image ``(..., 1, H, W)`` of colour images ``(..., 3, H, W)``.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024: one set of weights for the simulated spikes,
    the training of the enlarging network and metrics.
    """
    weights = torch.tensor(GREY, dtype=image.dtype, device=image.device)
    weights = weights.flip(0) if order == "bgr" else weights
    return (image * weights[:, None, None]).sum(dim=-3, keepdim=True)
