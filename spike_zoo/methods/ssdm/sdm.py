"""Spike-guided deblurring model (SDM), firing rates of exposures, and grey conversion."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

ChannelOrder = Literal["rgb", "bgr"]
"""Channel order of a network; images outside of networks are R,G,B."""
GREY = (0.30, 0.59, 0.11)  # R, G, B, as published


def spike_guided_deblur(blur: Tensor, long_exposure: Tensor, short_exposure: Tensor) -> Tensor:
    """Return the blurry image times the ratio of short-exposure to long-exposure rates.

    ``L(t) = B * short / long``: firing threshold and colour cancel, because they are the same in
    both exposures. The result is 0 at pixels with a long-exposure rate of 0.

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
    # division by 1 at dark pixels: a masked 0 / 0 would give NaN gradients
    ratio = blur / torch.where(dark, 1.0, long_exposure)
    return torch.where(dark, 0.0, ratio * short_exposure)


def mean_rate(spikes: Tensor, start: int, stop: int) -> Tensor:
    """Return spikes per plane over planes ``[start, stop)``: ``(B, T, h, w)`` -> ``(B, 1, h, w)``.

    Raises ValueError if the range is empty or leaves the stream.
    """
    _check_range(spikes, start, stop)
    return spikes[:, start:stop].float().mean(dim=1, keepdim=True)


def random_window_rate(
    spikes: Tensor, start: int, stop: int, window: int, generator: torch.Generator
) -> Tensor:
    """Return the rate of a short window at a random time per pixel.

    The expected value is the mean rate over all windows in the exposure; the noise is that of a
    short window.

    Args:
        spikes: ``(B, T, h, w)``, 0 or 1.
        start: First plane of the exposure.
        stop: Past the last plane of the exposure.
        window: Planes that are averaged.
        generator: Random generator on the CPU.

    Returns:
        ``(B, 1, h, w)``.

    Raises:
        ValueError: If the exposure leaves the stream, or the window is longer than the exposure.
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
    """Raise ValueError if a range of planes is empty or leaves the stream."""
    if not 0 <= start < stop <= spikes.shape[1]:
        raise ValueError(
            f"planes {start}..{stop} (first, past the last) are empty or outside of the stream's "
            f"planes 0..{spikes.shape[1]}"
        )


def reorder_channels(image: Tensor, order: ChannelOrder) -> Tensor:
    """Convert images ``(..., 3, H, W)`` from R,G,B to another order, or back."""
    return image.flip(-3) if order == "bgr" else image


def grey(image: Tensor) -> Tensor:
    """Return the grey image ``(..., 1, H, W)`` of R,G,B images ``(..., 3, H, W)``.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024. The same weights are used for simulated
    spikes, the training of the enlarging network and metrics.
    """
    weights = torch.tensor(GREY, dtype=image.dtype, device=image.device)
    return (image * weights[:, None, None]).sum(dim=-3, keepdim=True)
