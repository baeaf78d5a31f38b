"""Removal of a lens blur of known width from images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

MAX_SOFTNESS: Final = 2.0
"""Widest blur that can be removed, in pixels."""

_BINS: Final = 80  # of the power spectrum, per cycle per pixel
_NOISE: Final = 0.7  # of the highest frequency; the power above it is that of noise


def sharpened(images: Tensor, softness: float) -> Tensor:
    """Remove a Gaussian blur from images by a Wiener filter.

    The filter multiplies a spatial frequency f by ``(1 - N / P(f)) / H(f)``, where H is the
    transfer function of the blur, P the power of the image at f, averaged over all directions, and
    N an upper bound of its noise, from the mean power above 0.7 of the highest frequency.

    Args:
        images: ``(..., H, W)`` in [0, 1]; each image is filtered by itself.
        softness: Standard deviation of the blur in pixels, above 0 and at most 2.

    Returns:
        The images on the same device, clipped to [0, 1].

    Raises:
        ValueError: If ``softness`` is out of its range.

    Example:
        >>> import torch
        >>> sharpened(torch.full((1, 8, 8), 0.5), softness=0.5).unique()
        tensor([0.5000])
    """
    if not 0 < softness <= MAX_SOFTNESS:
        raise ValueError(
            f"softness must be above 0 and at most {MAX_SOFTNESS:g} pixels, got {softness}"
        )
    from scipy.fft import dctn, idctn

    spectra = dctn(images.double().cpu().numpy(), axes=(-2, -1), norm="ortho")
    rows, columns = (np.arange(side) / (2 * side) for side in images.shape[-2:])
    frequency = np.hypot(rows[:, None], columns)
    blur = np.exp(-2 * (np.pi * softness * frequency) ** 2)
    rings = np.rint(_BINS * frequency).astype(np.intp)
    pixels = np.bincount(rings.ravel())
    filled = np.flatnonzero(pixels)
    for spectrum in spectra.reshape(-1, *frequency.shape):
        power = spectrum**2
        noise = power[frequency >= _NOISE * frequency.max()].mean()
        of_ring = np.bincount(rings.ravel(), power.ravel())[filled] / pixels[filled]
        # three standard deviations above the mean: 1 / H of wide blurs would amplify the rest
        highest = noise * (1 + 3 * np.sqrt(2 / pixels[filled]))
        share = np.clip(1 - highest / np.maximum(of_ring, 1e-12), 0, 1)
        share[0] = 1  # the mean of the image has no blur and little noise
        spectrum *= np.interp(_BINS * frequency, filled, share) / blur
    return images.new_tensor(idctn(spectra, axes=(-2, -1), norm="ortho")).clamp(0, 1)
