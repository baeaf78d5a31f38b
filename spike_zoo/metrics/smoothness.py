"""Spatial smoothness of features (Laplacian), and flicker of images of a static scene."""

from typing import NamedTuple

import torch
from torch import Tensor

MIN_SIDE = 3  # the Laplacian needs a pixel and its four neighbours
MIN_IMAGES = 2  # a single image has no deviation


class LaplacianNorms(NamedTuple):
    """Norms of the Laplacian of features, each ``(B,)``."""

    lap1: Tensor  #: mean magnitude of the Laplacian
    lap2: Tensor  #: mean square of the Laplacian
    #: ``lap1`` divided by the standard deviation of a sample's values, so that low contrast alone
    #: does not count as smoothness
    lap1_normalised: Tensor
    lap2_normalised: Tensor  #: ``lap2`` divided by the variance of a sample's values


def laplacian(features: Tensor) -> Tensor:
    """Return the Laplacian of each channel: four neighbours minus four times the pixel.

    The kernel is [[0, 1, 0], [1, -4, 1], [0, 1, 0]], without padding. kornia's ``laplacian`` uses
    eight neighbours and mirrored borders. kornia's ``filter2d`` with this kernel gives the same
    values, but computes in bf16 under autocast; sums of slices are not affected by autocast.

    Shape:
        - features: ``(B, C, H, W)``, H and W at least 3.
        - Output: ``(B, C, H - 2, W - 2)``.

    Raises:
        ValueError: If a side is smaller.
    """
    if features.ndim != 4 or min(features.shape[-2:]) < MIN_SIDE:
        raise ValueError(
            f"a Laplacian needs features (B, C, H, W) of at least {MIN_SIDE}x{MIN_SIDE} "
            f"pixels, got {tuple(features.shape)}"
        )
    above, below = features[..., :-2, 1:-1], features[..., 2:, 1:-1]
    left, right = features[..., 1:-1, :-2], features[..., 1:-1, 2:]
    return above + below + left + right - 4 * features[..., 1:-1, 1:-1]


def laplacian_norms(features: Tensor) -> LaplacianNorms:
    """Return the norms of the Laplacian of features; differentiable, so losses may use them.

    Shape:
        - features: ``(B, C, H, W)``.

    Returns:
        One value per sample for each norm; 0 for constant samples.

    Raises:
        ValueError: If a side is below 3 pixels.

    Source: *A Joint Visual Compression and Perception Framework for Neuralmorphic Spiking Camera*,
    Table II; the table's "L2" is a mean square.
    """
    dims = (1, 2, 3)
    values = laplacian(features)
    lap1, lap2 = values.abs().mean(dims), values.square().mean(dims)
    deviation = features.std(dims, correction=0)
    least = torch.finfo(features.dtype).tiny  # avoids 0 / 0 for constant samples
    return LaplacianNorms(
        lap1, lap2, lap1 / deviation.clamp(min=least), lap2 / deviation.square().clamp(min=least)
    )


def frame_deviation(images: Tensor) -> Tensor:
    """Return the flicker of images of a static scene; 0 if all images are equal.

    Args:
        images: ``(N, 1, H, W)`` in [0, 1], images of a static scene in order of time.

    Returns:
        The mean over pixels of the standard deviation over time (divisor N, not N - 1), a scalar.

    Raises:
        ValueError: If there are fewer than two images.
    """
    if images.ndim != 4 or len(images) < MIN_IMAGES:
        raise ValueError(
            f"a deviation over time needs at least {MIN_IMAGES} images (N, 1, H, W), got "
            f"{tuple(images.shape)}"
        )
    return images.std(0, correction=0).mean()
