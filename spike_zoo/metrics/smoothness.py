"""How smooth features are in space, and how still pictures of a scene at rest are in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST_SIDE = 3  # the Laplacian takes a pixel and its four neighbours
FEWEST_IMAGES = 2  # one has no deviation


class LaplacianNorms(NamedTuple):
    """How much the Laplacian of features is, ``(B,)`` each.

    Attributes:
        lap1: Mean of its magnitude.
        lap2: Mean of its square.
        lap1_normalised: ``lap1`` over the deviation of all values of a sample, so that features
            of less contrast are not smoother by that alone.
        lap2_normalised: ``lap2`` over the square of that deviation.
    """

    lap1: Tensor
    lap2: Tensor
    lap1_normalised: Tensor
    lap2_normalised: Tensor


def laplacian(features: Tensor) -> Tensor:
    """Return the sum of the four neighbours of each inner pixel less four times the pixel.

    That is the kernel [[0, 1, 0], [1, -4, 1], [0, 1, 0]] on each channel, without padding. kornia's
    ``laplacian`` has another one (eight neighbours, mirrored borders); its ``filter2d`` with this
    kernel gives these numbers, but in bf16 where a step is autocast, which slices are not.

    Shape:
        - features: ``(B, C, H, W)``, H and W at least 3.
        - Output: ``(B, C, H - 2, W - 2)``.

    Raises:
        ValueError: If a side is smaller.
    """
    if features.ndim != 4 or min(features.shape[-2:]) < SMALLEST_SIDE:
        raise ValueError(
            f"a Laplacian needs features (B, C, H, W) of at least {SMALLEST_SIDE}x{SMALLEST_SIDE} "
            f"pixels, got {tuple(features.shape)}"
        )
    above, below = features[..., :-2, 1:-1], features[..., 2:, 1:-1]
    left, right = features[..., 1:-1, :-2], features[..., 1:-1, 2:]
    return above + below + left + right - 4 * features[..., 1:-1, 1:-1]


def laplacian_norms(features: Tensor) -> LaplacianNorms:
    """Return how rough features are, raw and by their own contrast; a loss may use it.

    Shape:
        - features: ``(B, C, H, W)``.

    Returns:
        One value for each sample; 0 where a sample is of one value throughout.

    Raises:
        ValueError: If a side is below 3 pixels.

    Source: *A Joint Visual Compression and Perception Framework for Neuralmorphic Spiking Camera*,
    Table II; its "L2" is a mean square.
    """
    dims = (1, 2, 3)
    values = laplacian(features)
    lap1, lap2 = values.abs().mean(dims), values.square().mean(dims)
    deviation = features.std(dims, correction=0)
    least = torch.finfo(features.dtype).tiny  # nothing over nothing is nothing
    return LaplacianNorms(
        lap1,
        lap2,
        lap1 / deviation.clamp(min=least),
        lap2 / deviation.square().clamp(min=least),
    )


def frame_deviation(images: Tensor) -> Tensor:
    """Return how much pictures of a scene at rest flicker: 0 where all are the same.

    Args:
        images: ``(N, 1, H, W)`` in [0, 1], pictures of a static scene in order of time.

    Returns:
        The mean over pixels of the deviation over time (of N values, not N - 1), a scalar.

    Raises:
        ValueError: If there are fewer than two images.
    """
    if images.ndim != 4 or len(images) < FEWEST_IMAGES:
        raise ValueError(
            f"a deviation over time needs at least {FEWEST_IMAGES} images (N, 1, H, W), got "
            f"{tuple(images.shape)}"
        )
    return images.std(0, correction=0).mean()
